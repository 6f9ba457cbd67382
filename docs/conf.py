"""The site: `sphinx-build -W docs site`; every command's flags and every docstring are read here."""

import contextlib
import importlib
import io
import os
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # pages and figures show the clone, not an installed copy

from pep_tf.version import __version__  # noqa: E402 - found by the line above

project = "pep_tf"
version = release = __version__
author = copyright = "the pep_tf authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["commands/*.txt"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings tell types with their shapes and units
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"

plot_include_source = False
plot_formats = [("svg", 100)]
plot_html_show_source_link = False
plot_html_show_formats = False

html_theme = "furo"
html_title = f"pep_tf {__version__}"
html_favicon = "favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False

COMMANDS = {
    "train": "pep_tf.experiments.main",
    "search": "pep_tf.tuning.search",
    "report": "pep_tf.experiments.report.__main__",
    "inspect": "pep_tf.export.inspect",
    "prepare": "pep_tf.prepare.criteo",
    "export": "pep_tf.experiments.export",
}


def write_help(app: Any) -> None:
    """Every command's `--help`, as it prints it, for the page on commands."""
    folder = ROOT / "docs" / "commands"
    folder.mkdir(exist_ok=True)
    os.environ["COLUMNS"] = "86"  # what a page is wide
    for name, module in COMMANDS.items():
        with contextlib.redirect_stdout(io.StringIO()) as told:
            importlib.import_module(module).main(["--help"])
        (folder / f"{name}.txt").write_text(told.getvalue(), encoding="utf-8")


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings as Sphinx reads them: tables that are written with `|`, and `**kwargs`."""
    rst: list[str] = []
    in_table = False
    for line in lines:
        row = line.strip()
        cells = [cell.strip() for cell in row.split("|")[1:-1]] if row.startswith("|") else []
        if cells and not in_table:
            rst += ["", ".. list-table::", "   :header-rows: 1", ""]
        in_table = bool(cells)
        if not cells:
            rst.append(line.replace("**kwargs", "\\*\\*kwargs"))
        elif set("".join(cells)) != {"-"}:
            rst += [f"   {' ' if i else '*'} - {cell}" for i, cell in enumerate(cells)]
    lines[:] = rst


def setup(app: Any) -> None:
    app.connect("builder-inited", write_help)
    app.connect("autodoc-process-docstring", as_rst)
