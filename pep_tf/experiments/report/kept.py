"""What a page was drawn from, so that no page replaces one that shows more.

A page carries the list of its inputs, by the folder that they lie in, in a `<meta>` element. One that
was drawn before pages did so is judged by its sections, figures and folded tables.
"""

import html
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from pep_tf.errors import RunError
from pep_tf.experiments.text import clean

_FOOTER = "Made by pep_tf"
_RESULTS = ("results.json", "search.json", "stages")  # a folder without any of these has no page
_FEW = 4  # names in a message
_WAY_OUT = "Name another folder with --output, or replace the page with --overwrite."
_INPUTS = re.compile(r'<meta name="pep_tf:drawn-from" content="([^"]*)">')
# Figures last: a section's name says more to a reader.
_PARTS = {
    "section": r'<section id="([^"]*)"',
    "table": r"<summary>(?!The numbers of this figure)([^<]*)",
    "figure": r'<figure id="figure-([^"]*)"',
}

Inputs = dict[str, list[str]]


def inputs_of(target: pathlib.Path, runs: Mapping[pathlib.Path, Sequence[str]]) -> Inputs:
    """The inputs of a page in `target`, by folder, relative to `target`."""
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
            self._page = report.read_text("utf-8", "replace")
        except FileNotFoundError:
            self._page = _FOOTER
        except OSError as error:
            raise RunError(f"{report} cannot be read: {error.strerror}.") from error
        if _FOOTER not in self._page:
            raise RunError(f"{report} is no page of this package. {_WAY_OUT}")
        self._inputs = _inputs(self._page)

    def compare_inputs(self, now: Inputs) -> None:
        """Raises RunError where the new page, not drawn yet, would lack an input of the earlier one."""
        lost = []
        for folder, names in (self._inputs or {}).items():
            if folder in now:
                lost += [name for name in names if name not in now[folder]]
            elif not any((self._report.parent / folder / name).exists() for name in _RESULTS):
                lost.append(f"the run {folder}")
        self._refuse(lost)

    def compare_parts(self, page: str) -> None:
        """The same for an earlier page that does not list its inputs, from the text of the new one."""
        if self._inputs is None:
            now = _parts(page)
            self._refuse([part for part in _parts(self._page) if part not in now])

    def _refuse(self, lost: list[str]) -> None:
        if not lost:
            return
        more = f" and {len(lost) - _FEW} more" if len(lost) > _FEW else ""
        shown = " ".join(f"{', '.join(lost[:_FEW])}{more}".split())
        raise RunError(
            f"{self._report} shows more than a page drawn now would, which lacks {shown}. {_WAY_OUT}"
        )


def _parts(page: str) -> list[str]:
    """Sections and figures of a page by their anchors, folded tables by their titles."""
    return [
        f"the {kind} {clean(html.unescape(name))!r}"
        for kind, pattern in _PARTS.items()
        for name in re.findall(pattern, page)
    ]


def _inputs(page: str) -> Inputs | None:
    """What a page says that it was drawn from; None where it does not, or not so that it can be read."""
    try:
        found = json.loads(html.unescape(_INPUTS.search(page)[1]))  # type: ignore[index]
        return {clean(key): [clean(name) for name in names] for key, names in found.items()}
    except (AttributeError, TypeError, ValueError):
        return None
