"""Strings and numbers as terminal and page show them."""

import math
import unicodedata
from typing import Any

_LONGEST = 200


def clean(value: Any, longest: int = _LONGEST) -> str:
    """Text that can be written to any file: no control or surrogate characters, no endless lines.

    Markup stays as it is; the template escapes it.
    """
    text = "".join(
        c if unicodedata.category(c)[0] != "C" or c == "\n" else "\N{REPLACEMENT CHARACTER}"
        for c in str(value)
    )
    return text if len(text) <= longest else text[: longest - 1] + "…"


def auc(value: float | None) -> str:
    """.8523, and - where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def signed(value: float) -> str:
    """A difference with its sign, + and a true minus."""
    return f"{value:+.4f}".replace("-", "−")


def count(value: float | None) -> str:
    """12,345, and - where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """0.0499 as 5 %: three significant digits at most; - where there is none."""
    return "-" if share is None else f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """45 s, 12 min, 3.5 h."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def shorter(text: str, longest: int = 18) -> str:
    """A label that fits beside an axis."""
    text = clean(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def short(number: float, _: Any = None) -> str:
    """1234567 as `1.23M`: for tick labels, whose position is the second argument."""
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next((one for one in units if abs(number) >= one[0]), (1, ""))
    return f"{number / size:.3g}{unit}"


def short_bytes(number: float, _: Any = None) -> str:
    """1234567 as `1.23 MB`; decimal units."""
    if abs(number) < 1e3:
        return f"{number:.0f} B"
    own = short(number)
    return f"{own[:-1]} {own[-1]}B"
