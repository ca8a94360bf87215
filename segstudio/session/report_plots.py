"""The plots of a report, as SVG that stands inside a page and takes its colours and typeface.

Drawn with matplotlib's object interface alone: no window, no state of pyplot's.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.metrics.counts import LEVELS
from segstudio.metrics.uncertainty import CONFIDENT_BELOW, UNSURE_ABOVE, right_and_wrong
from segstudio.metrics.uncertainty import reliability as reliability_bins
from segstudio.metrics.uncertainty import sparsification as sparsification_curves
from segstudio.session.report_markup import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "plot_confusion",
    "plot_entropy",
    "plot_mious",
    "plot_reliability",
    "plot_scatter",
    "plot_shift",
    "plot_sparsification",
]

_INK = "#010203"
"""Stands for the page's own colour of text until the SVG is written."""
_RIGHT = "#3b82c4"
_WRONG = "#d9622b"
_SIZE = (4.9, 3.1)
_LEAST_SHARE = 1e-6
"""Where the axis of the histograms ends; less is a pixel in a million."""
_NUMBERED_UP_TO = 30
"""Classes up to which the cells of a confusion matrix say their number."""
_SETTINGS = {
    "svg.fonttype": "none",
    # A class may be called "$x_1$"; nothing here is a formula.
    "text.parse_math": False,
    "font.size": 9.0,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "grid.color": _INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.6,
}


class _Drawing:
    """A figure with one pair of axes, and after the ``with`` its SVG."""

    def __init__(self, figure: Figure) -> None:
        self.axes: Axes = figure.add_subplot()
        self.figure = figure
        self.svg = ""


@contextlib.contextmanager
def _drawing(name: str, size: tuple[float, float] = _SIZE) -> Iterator[_Drawing]:
    """Yield a drawing; ``name`` keeps its marks apart from those of a page's other plots."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser draws the text, in a typeface that has the letters which this one lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        drawing = _Drawing(figure)
        yield drawing
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        drawing.svg = _inline(buffer.getvalue())


def _inline(document: str) -> str:
    """Return a whole SVG document as an element of an HTML page."""
    text = document[document.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text, count=2)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"(?<=font: )([\d.]+px) [^;\"]*", r"\1 inherit", text)
    text = text.replace(_INK, "currentColor")
    pointed_at = set(re.findall(r"#([\w-]+)[\")]", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in pointed_at else "", text)
    return text.replace("<svg ", '<svg class="plot" role="img" ', 1).strip()


def _percent_axes(axes: Axes, *which: str) -> None:
    for name in which:
        getattr(axes, name).set_major_formatter(_percent_tick)


def _percent_tick(value: float, _: object) -> str:
    return f"{100 * value:g} %"


def plot_reliability(histogram: NDArray[Any], name: str) -> str | None:
    """Return the reliability diagram of a (..., 2, 256) confidence histogram; None without pixels.

    Bars are accuracies of 15 bins of equal width at their place on the axis of confidence; how
    dark one is says how many of the pixels it holds.
    """
    bins = reliability_bins(histogram)
    held = bins.pixels > 0
    if not held.any():
        return None
    with _drawing(name) as drawing:
        axes = drawing.axes
        share = bins.pixels / bins.pixels.sum()
        # By the root: else the last bin, which holds most pixels, leaves the others invisible.
        alphas = 0.25 + 0.75 * np.sqrt(share / share.max())
        widths = bins.upper - bins.lower
        for place in np.flatnonzero(held).tolist():
            axes.bar(
                bins.lower[place],
                bins.accuracy[place],
                widths[place],
                align="edge",
                color=_RIGHT,
                alpha=float(alphas[place]),
            )
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot(bins.confidence[held], bins.accuracy[held], "o", color=_WRONG, markersize=3.5)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of pixels right")
        _percent_axes(axes, "xaxis", "yaxis")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
    return drawing.svg


def plot_entropy(histogram: NDArray[Any], name: str) -> str | None:
    """Return the entropy of right and of wrong pixels; None without pixels."""
    right, wrong = right_and_wrong(histogram)
    if not right.any() and not wrong.any():
        return None
    with _drawing(name) as drawing:
        for part, color, label in ((right, _RIGHT, "right"), (wrong, _WRONG, "wrong")):
            _level_curve(drawing.axes, part, color, f"{label} pixels")
        for threshold in (CONFIDENT_BELOW, UNSURE_ABOVE):
            drawing.axes.axvline(threshold, color=_INK, linewidth=0.7, linestyle=(0, (2, 3)))
        _entropy_axes(drawing.axes)
    return drawing.svg


def plot_shift(inside: NDArray[np.int64], outside: NDArray[np.int64], name: str) -> str | None:
    """Return the entropy of data that a model was made for and of other data, each (256,)."""
    if not inside.any() and not outside.any():
        return None
    with _drawing(name) as drawing:
        _level_curve(drawing.axes, inside, _RIGHT, "in distribution")
        _level_curve(drawing.axes, outside, _WRONG, "out of distribution")
        _entropy_axes(drawing.axes)
    return drawing.svg


def _level_curve(axes: Axes, pixels: NDArray[np.int64], color: str, label: str) -> None:
    """Draw a (256,) histogram in 64 steps, as shares of its own pixels."""
    if not pixels.any():
        return
    steps = pixels.reshape(64, LEVELS // 64).sum(1) / pixels.sum()
    axes.stairs(steps, np.linspace(0, 1, 65), color=color, fill=True, alpha=0.22)
    axes.stairs(steps, np.linspace(0, 1, 65), color=color, linewidth=1.3, label=label)


def _entropy_axes(axes: Axes) -> None:
    # Most right pixels are in the first step; a linear scale would show nothing else.
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log")
    # Whole powers of ten at both ends, so that there are always marks with a number.
    ends = np.clip([axes.dataLim.minposy, axes.dataLim.ymax], _LEAST_SHARE, 1.0)
    low, high = np.floor(np.log10(ends[0])), np.ceil(np.log10(ends[1]))
    axes.set_ylim(10.0**low, 10.0 ** max(high, low + 1))
    axes.yaxis.set_major_formatter(_percent_tick)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=(0, 1), xlabel="entropy / log C", ylabel="share of their pixels")
    axes.grid(axis="y")
    axes.legend()


def plot_sparsification(histogram: NDArray[Any], name: str) -> str | None:
    """Return the sparsification curve of an entropy histogram and its oracle."""
    removed, error, oracle = sparsification_curves(histogram)
    if np.isnan(error).all():
        return None
    with _drawing(name) as drawing:
        axes = drawing.axes
        axes.fill_between(removed, oracle, error, color=_RIGHT, alpha=0.18, linewidth=0)
        axes.plot(removed, error, color=_RIGHT, linewidth=1.5, label="by entropy")
        axes.plot(removed, oracle, color=_INK, linewidth=1, linestyle=(0, (4, 3)), label="oracle")
        axes.set(
            xlim=(0, 1),
            ylim=(0, None),
            xlabel="most uncertain pixels taken away",
            ylabel="error rate of the rest",
        )
        _percent_axes(axes, "xaxis", "yaxis")
        axes.grid(axis="y")
        axes.legend()
    return drawing.svg


def plot_mious(mious: Sequence[float], name: str) -> str | None:
    """Return the distribution of per-image mean IoU; NaN ones are left out."""
    known = np.array([value for value in mious if not np.isnan(value)])
    if not known.size:
        return None
    from matplotlib.ticker import MaxNLocator

    with _drawing(name) as drawing:
        axes = drawing.axes
        counts, ends = np.histogram(known, bins=25, range=(0.0, 1.0))
        axes.bar(ends[:-1], counts, np.diff(ends), align="edge", color=_RIGHT, alpha=0.75)
        for value, style, label in (
            (float(known.mean()), "-", "mean"),
            (float(np.median(known)), "--", "median"),
        ):
            text = f"{label} {100 * value:.1f} %"
            axes.axvline(value, color=_WRONG, linewidth=1.2, linestyle=style, label=text)
        axes.set(xlim=(0, 1), xlabel="mean IoU of an image", ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        _percent_axes(axes, "xaxis")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend()
    return drawing.svg


def plot_scatter(
    pairs: Sequence[tuple[float, float]], runs: tuple[str, str], name: str
) -> str | None:
    """Return the per-image mean IoU of two runs against each other; pairs with NaN are left out."""
    known = np.array([pair for pair in pairs if not np.isnan(sum(pair))]).reshape(-1, 2)
    if not known.size:
        return None
    with _drawing(name, (4.9, 4.3)) as drawing:
        axes = drawing.axes
        # Thousands of marks become one picture: as elements they would weigh megabytes.
        many = len(known) > 1000
        axes.plot(*known.T, "o", color=_RIGHT, alpha=0.55, markersize=3.5, rasterized=many)
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
        low, high = float(known.min()), float(known.max())
        room = max(0.02, 0.05 * (high - low))
        ends = max(0.0, low - room), min(1.0, high + room)
        first, second = (_short(run, 34) for run in runs)
        axes.set(xlim=ends, ylim=ends, xlabel=first, ylabel=second, aspect="equal")
        _percent_axes(axes, "xaxis", "yaxis")
        axes.grid()
    return drawing.svg


def plot_confusion(
    confusion: NDArray[np.int64], names: Sequence[str], name: str
) -> tuple[str | None, int]:
    """Return the confusion matrix, each row as shares of its target's pixels.

    Parameters
    ----------
    confusion : ndarray of shape (C, C + 1), int64
        The last column, ignored predictions, is drawn where it holds any.
    names : sequence of str
        C names.
    name : str
        Of the drawing.

    Returns
    -------
    svg : str or None
        None without pixels.
    left_out : int
        Classes that neither side holds; they are not drawn.
    """
    classes = len(names)
    held = (confusion.sum(1) > 0) | (confusion[:, :classes].sum(0) > 0)
    chosen = np.flatnonzero(held)
    if not chosen.size:
        return None, classes
    columns = chosen
    texts = [_short(names[place].split(";")[0], 18) for place in chosen.tolist()]
    across = list(texts)
    if confusion[:, classes].any():
        columns = np.append(chosen, classes)
        across.append("ignored")
    counts = confusion[chosen][:, columns]
    pixels = confusion[chosen].sum(1, keepdims=True)
    shares = np.divide(counts, pixels, out=np.full(counts.shape, np.nan), where=pixels > 0)
    numbered = len(chosen) <= _NUMBERED_UP_TO
    cell, letters = (26.0, 8.5) if numbered else (7.2, 6.0)
    size = ((len(columns) * cell + 110) / 72, (len(chosen) * cell + 110) / 72)
    with _drawing(name, size) as drawing:
        axes = drawing.axes
        _cells(axes, shares)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=letters, pad=2)
        axes.set_xticks(range(len(columns)), across, rotation=90)
        axes.set_yticks(range(len(chosen)), texts)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("predicted")
        axes.set_ylabel("target")
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(chosen) + 1) - 0.5, minor=True)
        axes.grid(which="minor", linewidth=0.4 if numbered else 0.2)
        axes.tick_params(which="minor", length=0)
        if numbered:
            _number_cells(axes, shares)
    return drawing.svg, classes - len(chosen)


def _cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    """Paint cells by opacity, so that they read on a light page and on a dark one."""
    picture = np.zeros((*shares.shape, 4))
    right = np.equal.outer(np.arange(shares.shape[0]), np.arange(shares.shape[1]))
    picture[..., :3] = np.array([0xC4, 0x4E, 0x1A]) / 255
    picture[right, :3] = np.array([0x2F, 0x74, 0xB5]) / 255
    # The root shows confusions of a few percent, which is where the errors are.
    picture[..., 3] = np.sqrt(np.nan_to_num(shares))
    axes.imshow(picture, interpolation="none", aspect="equal")


def _number_cells(axes: Axes, shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if np.isnan(share) or share < 0.005:
            continue
        color = "#ffffff" if share > 0.3 else _INK
        axes.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize=8
        )


def _short(text: str, letters: int) -> str:
    known = clean(text)
    return known if len(known) <= letters else known[: letters - 1].rstrip() + "…"
