"""What a page was drawn from: so that none takes the place of one that shows more.

A page carries the list of its inputs, by the folder that they lie in, in a `<meta>` element. One that
was drawn before pages did so is judged by its sections, figures and folded tables.
"""

import html.parser
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from pep_tf.errors import RunError
from pep_tf.experiments.text import clean

META = "pep_tf:drawn-from"
_FOOTER = "Made by pep_tf"
_RESULTS = ("results.json", "search.json", "stages")  # a folder without any of these has no page
_FEW = 4  # names in a message
_WAY_OUT = "Name another folder with --output, or replace the page with --overwrite."
_EACH_FIGURE = "The numbers of this figure"

Inputs = dict[str, list[str]]


def inputs_of(target: pathlib.Path, runs: Mapping[pathlib.Path, Sequence[str]]) -> Inputs:
    """The inputs of a page in `target`, by folder as it is reached from there."""
    here = target.resolve()
    return {
        os.path.relpath(folder.resolve(), here): list(dict.fromkeys(map(clean, names)))
        for folder, names in runs.items()
    }


class Earlier:
    """The page that a new one would replace.

    Args:
        report: its file, which need not be there.

    Raises:
        RunError: a file that cannot be read, or that is no page of this package.
    """

    def __init__(self, report: pathlib.Path) -> None:
        self._report = report
        try:
            self._page = _Page(report.read_text("utf-8", "replace"))
        except FileNotFoundError:
            self._page = _Page(_FOOTER)
        except OSError as error:
            raise RunError(f"{report} cannot be read: {error.strerror}.") from error
        if not self._page.known:
            raise RunError(f"{report} is no page of this package. {_WAY_OUT}")

    def compare_inputs(self, now: Inputs) -> None:
        """Raises RunError where the new page, not drawn yet, would lack an input of the earlier one."""
        lost = []
        for folder, names in (self._page.inputs or {}).items():
            if folder in now:
                lost += [name for name in names if name not in now[folder]]
            elif not any((self._report.parent / folder / name).exists() for name in _RESULTS):
                lost.append(f"the run {folder}")
        self._refuse(lost)

    def compare_parts(self, page: str) -> None:
        """The same for an earlier page that does not tell its inputs, from the text of the new one."""
        if self._page.inputs is None:
            now = _Page(page).parts
            lost = [part for part in self._page.parts if part not in now]
            self._refuse(sorted(lost, key=_is_detail))

    def _refuse(self, lost: list[str]) -> None:
        if not lost:
            return
        more = f" and {len(lost) - _FEW} more" if len(lost) > _FEW else ""
        shown = " ".join(f"{', '.join(lost[:_FEW])}{more}".split())
        raise RunError(
            f"{self._report} shows more than a page drawn now would, which lacks {shown}. {_WAY_OUT}"
        )


class _Page(html.parser.HTMLParser):
    """What a page says of itself.

    Attributes:
        known: whether it is a page of this package.
        inputs: what it was drawn from; None where it does not say so.
        parts: sections and figures by their anchors, folded tables by their titles.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.known = _FOOTER in text
        self.inputs: Inputs | None = None
        self.parts: list[str] = []
        self._summary = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "meta" and values.get("name") == META:
            self.inputs = _inputs(values.get("content") or "")
        elif tag == "section" and (anchor := values.get("id")):
            self.parts.append(f"the section {anchor!r}")
        elif tag == "figure" and (anchor := values.get("id")):
            self.parts.append(f"the figure {anchor.removeprefix('figure-')!r}")
        self._summary = tag == "summary"

    def handle_data(self, data: str) -> None:
        if self._summary and data != _EACH_FIGURE:
            self.parts.append(f"the table {clean(data)!r}")
        self._summary = False


def _is_detail(part: str) -> bool:
    """A figure, whose section tells more to who reads its name."""
    return part.startswith("the figure")


def _inputs(text: str) -> Inputs | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(found, dict) and all(isinstance(names, list) for names in found.values())
    return (
        {clean(key): [clean(n) for n in names] for key, names in found.items()} if whole else None
    )
