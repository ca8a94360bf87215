"""The comparison grid as a figure: PNG, PDF or SVG, with the legend of the classes present.

The pictures are those of the window (`segstudio.analysis.side_by_side`); matplotlib sets words and
pictures on a page, so that a PDF or SVG keeps its text as text.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.side_by_side import (
    CellStyle,
    Column,
    ComparedImage,
    Key,
    classes_present,
    color_keys,
    draw_cell,
)
from segstudio.core.atomic import write_bytes
from segstudio.core.class_style import OWN_COLORS, ClassStyle, line_colors, pattern_tile
from segstudio.core.errors import UsageError
from segstudio.core.palette import hex_color
from segstudio.core.types import BBox

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURE_FORMATS", "GridFigure", "draw_grid_figure", "write_grid_figure"]

FIGURE_FORMATS = ("png", "pdf", "svg")
"""What a figure can be written as, by the file's suffix."""

_INK, _GREY, _LINE = "#1c2126", "#69727d", "#dbdfe4"
_CELL = 2.3
"""Inches that a cell is wide; a narrow page has cells of one size, whatever the image."""
_HIGHEST = 2.6
_EDGE, _GAP = 0.22, 0.06
_TITLE, _HEAD, _CAPTION = 0.34, 0.22, 0.25
_LEGEND_LINE, _SWATCH = 0.21, 0.11
_POINTS = 72.0


@dataclass(frozen=True, slots=True, eq=False)
class GridFigure:
    """What a figure shows.

    Attributes
    ----------
    compared : ComparedImage
        At least one run.
    columns : tuple of Column
        At least one.
    opacity : float
        Of label maps over the photograph, 0..1.
    part : BBox or None
        The part of the image that is drawn; None is all of it.
    remarks : mapping of str to str
        What stands beside a run's name, such as its score.
    classes : ClassStyle
        Colours and patterns of the classes.
    """

    compared: ComparedImage
    columns: tuple[Column, ...]
    opacity: float = 1.0
    part: BBox | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    classes: ClassStyle = OWN_COLORS


def write_grid_figure(
    path: Path, content: GridFigure, *, dpi: int = 200, existing: str = "error"
) -> None:
    """Write a figure; the suffix says in which format.

    Parameters
    ----------
    path : Path
        Ends in one of `FIGURE_FORMATS`; its folder is made when missing.
    content : GridFigure
    dpi : int
        Pixels per inch of a PNG.
    existing : {"error", "replace"}
        What becomes of a file that is there.

    Raises
    ------
    UsageError
        When the suffix is none of the formats, there is nothing to draw, or the file exists.
    WriteError
        When the file cannot be written.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FIGURE_FORMATS:
        raise UsageError(
            f"{path} ends in none of .{', .'.join(FIGURE_FORMATS)}; name the figure so."
        )
    if existing == "error" and path.exists():
        raise UsageError(f"{path} exists already; choose another name, or replace it.")
    write_bytes(path, draw_grid_figure(content, form, dpi=dpi))


def draw_grid_figure(content: GridFigure, form: str, *, dpi: int = 200) -> bytes:
    """Return a figure as the bytes of a file.

    Parameters
    ----------
    content : GridFigure
    form : str
        One of `FIGURE_FORMATS`.
    dpi : int
        Pixels per inch of a PNG.

    Raises
    ------
    UsageError
        When there is no run or no column.
    """
    import matplotlib

    if not content.compared.runs or not content.columns:
        raise UsageError("There is nothing to draw: choose a model and a column first.")
    compared = _cut(content.compared, content.part)
    settings: Any = {
        # Whatever a person has set for plots of their own.
        "savefig.bbox": None,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans", "sans-serif"],
        "svg.fonttype": "none",
        "svg.hashsalt": "segstudio",  # the same figure is the same file
        "pdf.fonttype": 42,
        # A class may be called "$x_1$"; nothing here is a formula.
        "text.parse_math": False,
    }
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
    target = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A name in letters that the typeface lacks shows boxes; that is no reason to stop.
        warnings.filterwarnings("ignore", message=".*Glyph.*missing")
        page = _Page(replace(content, compared=compared), vector=form != "png")
        page.draw().savefig(target, format=form, dpi=dpi, metadata=metadata)
    return target.getvalue()


def _cut(compared: ComparedImage, part: BBox | None) -> ComparedImage:
    """Return a part of an image and of all its maps."""
    if part is None:
        return compared
    part = part.clipped(*compared.shape)
    if part.is_empty:
        raise UsageError("The part in view holds nothing of the image; move the image into view.")

    def cut(pixels: NDArray[Any] | None) -> Any:
        return None if pixels is None else np.ascontiguousarray(pixels[part.slices])

    return replace(
        compared,
        image=cut(compared.image),
        target=cut(compared.target),
        correction=cut(compared.correction),
        runs=tuple(
            replace(run, labels=cut(run.labels), entropy=cut(run.entropy)) for run in compared.runs
        ),
    )


class _Page:
    """Words and pictures in inches from the top left corner of a page."""

    def __init__(self, content: GridFigure, *, vector: bool) -> None:
        from matplotlib.figure import Figure

        self._content, self._vector = content, vector
        height, width = content.compared.shape
        scale = min(_CELL / width, _HIGHEST / height)
        self._picture = width * scale, height * scale
        columns, rows = len(content.columns), len(content.compared.runs)
        self._cell = max(self._picture[0], 1.1)
        self._width = 2 * _EDGE + columns * self._cell + (columns - 1) * _GAP
        self._width = max(self._width, 4.2)
        keys = (*classes_present(content.compared), *color_keys(content.columns))
        self._legend = list(self._flow(keys))
        lines = 1 + max((line for _, line, _ in self._legend), default=-1)
        body = rows * (_CAPTION + self._picture[1] + _GAP)
        self._height = 2 * _EDGE + _TITLE + _HEAD + body + 0.1 + lines * _LEGEND_LINE
        self.figure: Figure = Figure((self._width, self._height), facecolor="white")

    def draw(self) -> Figure:
        """Return the figure."""
        content = self._content
        compared, columns = content.compared, content.columns
        title = compared.sample_id
        self._text(_EDGE, _EDGE, self._fitting(title, 11, self._width - 2 * _EDGE), 11, bold=True)
        top = _EDGE + _TITLE
        for number, column in enumerate(columns):
            left = self._left(number)
            self._text(left, top, self._fitting(column.value, 8.5, self._cell), 8.5, color=_GREY)
        top += _HEAD
        for row in range(len(compared.runs)):
            self._caption(row, top)
            top += _CAPTION
            for number, column in enumerate(columns):
                self._picture_at(self._left(number), top, row, column)
            top += self._picture[1] + _GAP
        self._draw_legend(top + 0.1)
        return self.figure

    def _left(self, column: int) -> float:
        return _EDGE + column * (self._cell + _GAP)

    def _caption(self, row: int, top: float) -> None:
        compared = self._content.compared
        run, badge = compared.runs[row].run, ""
        if (
            compared.pair is not None
            and row in compared.pair
            and Column.PAIR in self._content.columns
        ):
            badge = f"{'AB'[compared.pair.index(row)]}   "
        remark = self._content.remarks.get(run, "")
        room = self._width - 2 * _EDGE - _text_width(remark, 8.5) - 0.2
        name = self._fitting(badge + run, 9.5, room)
        self._text(_EDGE, top + 0.04, name, 9.5, bold=True)
        self._text(
            _EDGE + _text_width(name, 9.5, bold=True) + 0.15, top + 0.05, remark, 8.5, color=_GREY
        )

    def _picture_at(self, left: float, top: float, row: int, column: Column) -> None:
        style = CellStyle(opacity=self._content.opacity, classes=self._content.classes)
        drawn = draw_cell(self._content.compared, row, column, style)
        width, height = self._picture
        box = self._box(left, top, width, height)
        axes = self.figure.add_axes(box)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(_LINE)
            spine.set_linewidth(0.5)
        if drawn.pixels is None:
            axes.set_facecolor("#f4f5f7")
            words = self._fitting(drawn.remark, 7, width - 0.1)
            self._text(
                left + width / 2, top + height / 2 - 0.05, words, 7, color=_GREY, middle=True
            )
            return
        # In a PDF or SVG the pixels are kept as they are; on a page of pixels they are averaged.
        axes.imshow(drawn.pixels, aspect="auto", interpolation="none" if self._vector else "auto")
        if drawn.remark:
            axes.text(
                0.015,
                0.03,
                drawn.remark,
                transform=axes.transAxes,
                fontsize=6.5,
                color="white",
                bbox={"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "pad": 1.6},
            )

    def _flow(self, keys: Sequence[Key]) -> Iterator[tuple[float, int, Key]]:
        """Yield where each entry of the legend is: inches from the left, line, entry."""
        left, line = _EDGE, 0
        for key in keys:
            width = _SWATCH + 0.07 + _text_width(_short(key.name), 8) + 0.16
            if left + width > self._width - _EDGE + 0.16 and left > _EDGE:
                left, line = _EDGE, line + 1
            yield left, line, key
            left += width

    def _draw_legend(self, top: float) -> None:
        for left, line, key in self._legend:
            y = top + line * _LEGEND_LINE
            axes = self.figure.add_axes(self._box(left, y, _SWATCH, _SWATCH))
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color(_GREY)
                spine.set_linewidth(0.4)
            style, index = self._content.classes, key.class_index
            color = key.color if index is None else style.color(index, key.color)
            axes.set_facecolor(hex_color(color))
            if style.patterns and index is not None and pattern_tile(index).any():
                tile = np.full((16, 16, 3), color, np.uint8)
                lines = np.tile(pattern_tile(index), (2, 2))
                tile[lines] = line_colors(np.array([color], np.uint8))[0]
                axes.imshow(tile, aspect="auto", interpolation="none" if self._vector else "auto")
            self._text(left + _SWATCH + 0.07, y - 0.015, _short(key.name), 8)

    def _box(self, left: float, top: float, width: float, height: float) -> Any:
        """Return a rectangle as matplotlib counts: shares of the page from the bottom left."""
        page_width, page_height = self._width, self._height
        return (
            left / page_width,
            1.0 - (top + height) / page_height,
            width / page_width,
            height / page_height,
        )

    def _text(
        self,
        left: float,
        top: float,
        text: str,
        size: float,
        *,
        color: str = _INK,
        bold: bool = False,
        middle: bool = False,
    ) -> None:
        self.figure.text(
            left / self._width,
            1.0 - top / self._height,
            text,
            fontsize=size,
            color=color,
            fontweight="bold" if bold else "normal",
            ha="center" if middle else "left",
            va="top",
        )

    @staticmethod
    def _fitting(text: str, size: float, room: float) -> str:
        """Return a text, cut where it would be wider than ``room`` inches."""
        if _text_width(text, size, bold=True) <= room:
            return text
        fits, too_long = 0, len(text)
        while too_long - fits > 1:  # each measure outlines every letter
            middle = (fits + too_long) // 2
            if _text_width(text[:middle] + "…", size, bold=True) <= room:
                fits = middle
            else:
                too_long = middle
        return text[:fits].rstrip() + "…"


def _text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the inches that a text is wide."""
    if not text.strip():
        return 0.0
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    width = float(TextPath((0, 0), text, size=size, prop=font, usetex=False).get_extents().width)
    return math.ceil(width) / _POINTS


def _short(name: str) -> str:
    """Return the first of ADE20K's synonyms; other names as they are."""
    return name.split(";")[0].strip() or name
