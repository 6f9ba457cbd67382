"""Puts a page together: reads, draws, fills the template."""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from pep_tf.errors import RunError
from pep_tf.experiments.report import drawing, kept
from pep_tf.experiments.report.page import comparison_page, run_page
from pep_tf.experiments.report.reading import read_run
from pep_tf.experiments.report.search import SearchRecord, read_search
from pep_tf.experiments.report.search_page import search_page
from pep_tf.experiments.search_record import SEARCH
from pep_tf.paths import resolve
from pep_tf.training.state import replacing, save_text

_PACKAGE = "pep_tf.experiments.report"


def write_report(
    folders: Sequence[pathlib.Path | str],
    output: pathlib.Path | str | None = None,
    *,
    overwrite: bool = False,
) -> pathlib.Path:
    """Writes `report.html`, and its figures as PNG to `figures/`.

    Args:
        folders: one run or search, or several runs to compare.
        output: folder to write to. By default the run's own; for several runs `comparison` beside the
            first.
        overwrite: replaces a page there that shows more than this one will.

    Returns:
        Path of the page: one file that needs no other and no network.

    Raises:
        RunError: a folder without results, results that are damaged, searches among several folders,
            a page that cannot be written, or that would take the place of one that shows more.
    """
    paths = [resolve(folder) for folder in folders]
    if not paths:
        raise RunError("Give the folder of a run.")
    single = len(paths) == 1
    target = resolve(output or (paths[0] if single else paths[0].parent / "comparison"))
    searches = [path for path in paths if (path / SEARCH).exists()]
    if searches and not single:
        raise RunError(f"{searches[0]} is a search: a search has a page of its own, give it alone.")
    report = target / "report.html"
    earlier = None if overwrite else kept.Earlier(report)
    read = [read_search(paths[0]) if searches else read_run(path) for path in paths]
    inputs = kept.inputs_of(target, {found.path: found.inputs for found in read})
    if earlier:
        earlier.compare_inputs(inputs)
    with tempfile.TemporaryDirectory() as scratch:
        figures = pathlib.Path(scratch)
        if isinstance(read[0], SearchRecord):
            page = search_page(read[0], figures)
        else:
            page = run_page(read[0], figures) if single else comparison_page(read, figures)
        html = _render(**page, inputs=json.dumps(inputs))
        if earlier:
            earlier.compare_parts(html)
        for picture in sorted(figures.iterdir()):
            with replacing(target / "figures" / picture.name) as neighbour:
                shutil.copyfile(picture, neighbour)
    save_text(report, html)
    return report


def _render(**page: object) -> str:
    """The page as HTML; every value is escaped but for the drawings and the style sheet."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        **page,
        style=Markup(resources.files(_PACKAGE).joinpath("templates/style.css").read_text("utf-8")),
        light=Markup(drawing.css_variables(dark=False)),
        dark=Markup(drawing.css_variables(dark=True)),
    )
