"""From a matplotlib figure to SVG that takes its colours from the page, and to PNG.

Colours are drawn as stand-ins and replaced by CSS variables, so that one SVG serves a light and a dark page;
the PNG has the light colours.
"""

import contextlib
import dataclasses
import io
import pathlib
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed
import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pep_tf.training.state import replacing

# Each entry: what it is for, and its colour on a light and on a dark page. Series follow Okabe and Ito's
# palette (told apart by colour-blind readers as well), a little darker or lighter where contrast asks for it.
_THEME = {
    "ink": ("#1a2330", "#e8ecf2"),
    "muted": ("#5b6675", "#a3adba"),
    "grid": ("#dfe4ea", "#323b48"),
    "paper": ("#ffffff", "#171d26"),
    "series0": ("#0067a5", "#56b4e9"),
    "series1": ("#c24e00", "#f2a65a"),
    "series2": ("#00795a", "#3fc79a"),
    "series3": ("#a8467f", "#e39cc5"),
    "series4": ("#7a6200", "#f0e442"),
    "series5": ("#4d4d4d", "#c8c8c8"),
}
TICKET_COLOURS = 8  # steps of the scale for budgets; more budgets share a colour
SERIES_COLOURS = 6
_PNG_DPI = 200
MARKERS = "osD^vPX*<>"


def _scale(low: float, high: float) -> list[str]:
    """Steps of viridis, dark to light: also told apart in grey."""
    places = [low + (high - low) * i / (TICKET_COLOURS - 1) for i in range(TICKET_COLOURS)]
    return [matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](place)) for place in places]


_THEME |= {
    f"ticket{i}": pair for i, pair in enumerate(zip(_scale(0, 0.72), _scale(0.38, 1), strict=True))
}
# A stand-in is a grey that nothing else has: #0b0b00, #0b0b01, ...
_STAND_INS = {name: f"#0b0b{index:02x}" for index, name in enumerate(_THEME)}


def css_variables(dark: bool) -> str:
    """The colours of one theme as CSS declarations."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in _THEME.items())


def colour(name: str) -> str:
    """What to give matplotlib for a colour of the theme."""
    return _STAND_INS[name]


def ticket_colour(index: int, count: int) -> str:
    """Colour of the ticket with the `index`-th largest budget of `count`."""
    step = round(index * (TICKET_COLOURS - 1) / max(1, count - 1))
    return colour(f"ticket{step}")


def series_colour(index: int) -> str:
    """Colour of a run in a comparison."""
    return colour(f"series{index % SERIES_COLOURS}")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        name: file name of the PNG without its ending; unique on the page.
        title, caption: what it shows; why to look at it.
        alt: the picture in words.
        svg: `<svg>...</svg>`, to be put into a page with the variables of `css_variables`.
        columns, cells: its numbers as a table, where the page has them nowhere else.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    columns: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


@contextlib.contextmanager
def canvas(height: float = 3.3, rows: int = 1, columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A figure in the page's style and its axes; text in it is never read as a formula."""
    ink, muted = colour("ink"), colour("muted")
    style: Any = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "pep_tf",
        "font.family": "DejaVu Sans",  # comes with matplotlib; the page replaces it by its own
        "font.size": 9.5,
        "axes.labelsize": 9.5,
        "legend.fontsize": 8.5,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": muted,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": colour("grid"),
        "grid.linewidth": 0.8,
        "axes.axisbelow": True,
        "lines.linewidth": 1.6,
        "lines.markersize": 5.5,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Of a lone point, and of letters that its font lacks and the page's has: no fault of a run.
        warnings.simplefilter("ignore", UserWarning)
        figure, axes = plt.subplots(
            rows, columns, figsize=(4.2, height), layout="constrained", squeeze=rows * columns == 1
        )
        try:
            yield figure, axes
        finally:
            plt.close(figure)


def finish(
    figure: Figure,
    folder: pathlib.Path,
    name: str,
    *,
    title: str,
    caption: str,
    alt: str,
    columns: Sequence[str] = (),
    cells: Sequence[Sequence[str]] = (),
) -> Picture:
    """Writes `<folder>/<name>.png` and returns the figure for a page."""
    text = io.StringIO()
    # The canvases themselves: `savefig` would draw each figure once more, only to lay it out.
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = _for_page(text.getvalue(), name)
    figure.set_layout_engine("none")  # keeps the layout found, which takes long
    for artist in figure.findobj(lambda artist: True):
        _recolour(artist)
    for label in figure.findobj(Text):
        _recolour(label.get_bbox_patch())  # which is none of the figure's children
    with replacing(folder / f"{name}.png") as neighbour:
        figure.set_facecolor(_THEME["paper"][0])
        figure.set_dpi(_PNG_DPI)
        FigureCanvasAgg(figure).print_png(neighbour)
    table = tuple(tuple(row) for row in cells)
    return Picture(name, title, caption, alt, svg, tuple(columns), table)


def _for_page(svg: str, name: str) -> str:
    """The `<svg>` element with ids of its own, the page's font and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.S)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', _open_tag, svg, count=1, flags=re.S)
    svg = re.sub(r'(<[a-z][^>]*?\s)id="', rf'\1id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    for key, stand_in in _STAND_INS.items():
        svg = svg.replace(stand_in, f"var(--{key})")
    return svg


def _open_tag(found: re.Match[str]) -> str:
    return (
        f'<svg {found[1]} xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true" focusable="false">'
    )


_LIGHT = {stand_in: _THEME[name][0] for name, stand_in in _STAND_INS.items()}


def _recolour(artist: Any) -> None:
    """Gives one part of a figure the light colours in place of the stand-ins."""
    for part in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
        get, put = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
        if get is None or put is None:
            continue
        found = get()
        try:
            known = matplotlib.colors.to_hex(found if isinstance(found, str) else _one(found))
        except (ValueError, TypeError, IndexError):
            continue
        if known in _LIGHT:
            put(_LIGHT[known])


def _one(colours: Any) -> Any:
    """The colour of a collection that has only one."""
    return colours[0] if getattr(colours, "ndim", 1) == 2 and len(colours) == 1 else colours


def short(number: float, _: Any = None) -> str:
    """1234567 as `1.23M`: for tick labels."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def short_bytes(number: float, _: Any = None) -> str:
    """1234567 as `1.23 MB`; decimal units."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def log_axis(axis: Any, form: Any = short, narrow: bool = False) -> None:
    """Labels of a log-scaled axis: every decade, with 2 and 5 between where there is room."""
    low, high = sorted(axis.get_view_interval())
    steps = (1.0, 2.0, 5.0) if high / max(low, 1e-12) < (8 if narrow else 1000) else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=4 if narrow else 9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(form))


def few_ticks(whole: bool = False) -> MaxNLocator:
    """Round numbers on an axis, few enough for a small screen."""
    return MaxNLocator(5, integer=whole)
