"""Figures in the page's style: as SVG that takes its colours from the page, and as PNG."""

import contextlib
import dataclasses
import io
import pathlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed
import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pep_tf.experiments.report.parts import Table
from pep_tf.experiments.text import clean, short
from pep_tf.training.state import replacing

# Each entry: what it is for, and its colour on a light and on a dark page. Series follow Okabe and Ito's
# palette (told apart by colour-blind readers as well), a little darker or lighter where contrast asks for it.
# A figure is drawn in the light colours. No two of them are the same, so that each can be replaced in the SVG
# by its CSS variable.
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
_TICKET_COLOURS = 8  # steps of the scale for budgets; more budgets share a colour
_SERIES_COLOURS = 6
_PNG_DPI = 200
MARKERS = "osD^vPX*<>"


def _scale(low: float, high: float) -> list[str]:
    """Steps of viridis, dark to light: also told apart in grey."""
    places = [low + (high - low) * i / (_TICKET_COLOURS - 1) for i in range(_TICKET_COLOURS)]
    return [matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](place)) for place in places]


_THEME |= {
    f"ticket{i}": pair for i, pair in enumerate(zip(_scale(0, 0.72), _scale(0.38, 1), strict=True))
}


def css_variables(dark: bool) -> str:
    """The colours of one theme as CSS declarations."""
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in _THEME.items())


def colour(name: str) -> str:
    """A colour of the theme, for matplotlib."""
    return _THEME[name][0]


def ticket_colour(index: int, count: int) -> str:
    """Colour of the ticket with the `index`-th largest budget of `count`."""
    return colour(f"ticket{round(index * (_TICKET_COLOURS - 1) / max(1, count - 1))}")


def series_colour(index: int) -> str:
    """Colour of a run in a comparison."""
    return colour(f"series{index % _SERIES_COLOURS}")


_STYLE: Any = {
    "text.parse_math": False,  # text of a run is never read as a formula
    "svg.fonttype": "none",
    "svg.hashsalt": "pep_tf",
    "font.family": "DejaVu Sans",  # comes with matplotlib; the page replaces it by its own
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    **dict.fromkeys(("legend.fontsize", "xtick.labelsize", "ytick.labelsize"), 8.5),
    **dict.fromkeys(("text.color", "axes.labelcolor"), colour("ink")),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), colour("ink")),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), colour("muted")),
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


@dataclasses.dataclass
class Picture:
    """A figure of a page.

    Attributes:
        name: file name of the PNG without its ending; unique on the page.
        title, caption: what it shows; why to look at it.
        alt: the picture in words; a picture without it is left out.
        table: its numbers, where the page has them nowhere else.
        svg: `<svg>...</svg>`, to be put into a page with the variables of `css_variables`.
    """

    name: str
    title: str
    caption: str = ""
    alt: str = ""
    table: Table | None = None
    svg: str = ""

    def numbers(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Adds a table of its numbers."""
        self.table = Table(f"Numbers of: {self.title}", columns, rows)


class Sheet:
    """Draws the figures of a page.

    Args:
        folder: for the PNG files.
        notes: receives what could not be drawn.
    """

    def __init__(self, folder: pathlib.Path, notes: list[str]) -> None:
        self._folder, self._notes = folder, notes
        self._drawn: list[Picture] = []

    def draw(self, plot: Callable[..., None], *arguments: Any) -> list[Picture]:
        """The pictures that `plot(sheet, *arguments)` draws.

        Where numbers cannot be drawn, the page has a note in place of these pictures.
        """
        self._drawn = []
        try:
            plot(self, *arguments)
        except (ArithmeticError, IndexError, ValueError) as error:
            self._notes.append(f"Some figures could not be drawn: {clean(error)}")
            return []
        return self._drawn

    @contextlib.contextmanager
    def picture(
        self, name: str, title: str, height: float = 3.3, rows: int = 1, columns: int = 1
    ) -> Iterator[tuple[Picture, Any]]:
        """A picture to be described, and its axes to be drawn on; kept once it has an `alt`."""
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # Of a lone point, and of letters that its font lacks and the page's has: no fault of a run.
            warnings.simplefilter("ignore", UserWarning)
            options: Any = {"figsize": (4.2, height), "layout": "constrained", "squeeze": rows == 1}
            figure, axes = plt.subplots(rows, columns, **options)
            try:
                picture = Picture(name, title)
                yield picture, axes
                if picture.alt:
                    picture.svg = _save(figure, self._folder / f"{name}.png")
                    self._drawn.append(picture)
            finally:
                plt.close(figure)


def _save(figure: Any, png: pathlib.Path) -> str:
    """Writes the PNG and returns the `<svg>` element for a page."""
    text = io.StringIO()
    # The canvases themselves: `savefig` would draw each figure once more, only to lay it out.
    FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # keeps the layout found, which takes long
    figure.set_facecolor(colour("paper"))
    figure.set_dpi(_PNG_DPI)
    with replacing(png) as neighbour:
        FigureCanvasAgg(figure).print_png(neighbour)
    return _for_page(text.getvalue(), png.stem)


def _for_page(svg: str, name: str) -> str:
    """The `<svg>` element with ids of its own, the page's font and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, count=1, flags=re.S)
    opened = (
        r'<svg \1 xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true" focusable="false">'
    )
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', opened, svg, count=1, flags=re.S)
    svg = re.sub(r'(<[a-z][^>]*?\s)id="', rf'\1id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    for key, (light, _) in _THEME.items():
        svg = svg.replace(light, f"var(--{key})")
    return svg


def log_axis(axis: Any, form: Any = short, narrow: bool = False) -> None:
    """Labels of a log-scaled axis: every decade, with 2 and 5 between where there is room."""
    low, high = sorted(axis.get_view_interval())
    steps = (1.0, 2.0, 5.0) if high / max(low, 1e-12) < (8 if narrow else 1000) else (1.0,)
    few = (
        high / max(low, 1e-12) < 3
    )  # where a `LogLocator` would set as many as fit on a large screen
    ticks = MaxNLocator(4) if few else LogLocator(subs=steps, numticks=4 if narrow else 9)
    axis.set_major_locator(ticks)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(form))


def few_ticks(whole: bool = False) -> MaxNLocator:
    """Round numbers on an axis, few enough for a small screen."""
    return MaxNLocator(5, integer=whole)


def legend(axes: Any, ncols: int, **options: Any) -> None:
    """A legend below the axes."""
    axes.figure.legend(loc="outside lower left", ncols=ncols, **options)
