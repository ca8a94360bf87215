"""The pictures of a comparison grid: drawn and halved in a thread, painted by the window."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter

from segstudio.analysis.side_by_side import CellStyle, Column, ComparedImage, draw_cell
from segstudio.core.types import Image
from segstudio.ui.canvas.comparison_view import GridView

__all__ = ["CellKey", "GridCell", "Pyramid", "build_cells", "thinned"]

CellKey = tuple[int, Column]
"""Row and column of a cell; -1 is the row of what all rows share."""

_MOST_PIXELS = 16_000_000
"""Of larger images every second, third, ... pixel is drawn: a grid holds many pictures."""

_SMALLEST_LEVEL = 64


class Pyramid:
    """A picture and its half-size levels.

    Parameters
    ----------
    pixels : ndarray of shape (H, W, 3), uint8
        RGB.
    step : int
        Image pixels per pixel of the picture, along each side.
    crisp : bool
        Whether pixels stay squares from 100 % on; photographs are smooth until 200 %.
    """

    def __init__(self, pixels: Image, *, step: int = 1, crisp: bool = True) -> None:
        import cv2

        self.step = step
        self._smooth_below = 1.0 if crisp else 2.0
        self._levels: list[tuple[NDArray[Any], QImage]] = []
        level = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGRA)
        self._append(level)
        while max(level.shape[:2]) > _SMALLEST_LEVEL:
            height, width = level.shape[:2]
            size = max(1, (width + 1) // 2), max(1, (height + 1) // 2)
            level = cv2.resize(level, size, interpolation=cv2.INTER_AREA)
            self._append(level)

    def _append(self, pixels: NDArray[Any]) -> None:
        height, width = pixels.shape[:2]
        # The buffer must outlive the image that looks into it: they are stored as a pair.
        form = QImage.Format.Format_RGB32
        self._levels.append((pixels, QImage(pixels.data, width, height, 4 * width, form)))

    def image(self, level: int = 0) -> QImage:
        """Return the picture of a level."""
        return self._levels[level][1]

    def paint(self, painter: QPainter, cell: QRectF, view: GridView) -> QRectF:
        """Paint what the view shows of it into a cell, and return where.

        The painter is clipped to the cell.
        """
        scale = view.state.scale * self.step
        wanted = int(-math.log2(scale) + 1e-9) if scale < 1.0 else 0
        level = min(max(wanted, 0), len(self._levels) - 1)
        image = self._levels[level][1]
        top, left = view.corner
        # Image pixels per pixel of this level: odd sizes are halved to the next whole number.
        across = view.shape[1] / image.width()
        down = view.shape[0] / image.height()
        logical = view.logical_scale
        x0 = max(0, math.floor(left / across))
        y0 = max(0, math.floor(top / down))
        x1 = min(image.width(), math.ceil((left + cell.width() / logical) / across))
        y1 = min(image.height(), math.ceil((top + cell.height() / logical) / down))
        if x1 <= x0 or y1 <= y0:
            return QRectF()
        target = QRectF(
            cell.left() + (x0 * across - left) * logical,
            cell.top() + (y0 * down - top) * logical,
            (x1 - x0) * across * logical,
            (y1 - y0) * down * logical,
        )
        smooth = scale < self._smooth_below and scale != 1.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        flags = Qt.ImageConversionFlag.AutoColor
        painter.drawImage(target, image, QRectF(x0, y0, x1 - x0, y1 - y0), flags)
        return target & cell


@dataclass(frozen=True, slots=True, eq=False)
class GridCell:
    """What a cell shows.

    Attributes
    ----------
    picture : Pyramid or None
    remark : str
        A number about the picture, or why there is none.
    """

    picture: Pyramid | None
    remark: str = ""


def thinned(compared: ComparedImage, step: int) -> ComparedImage:
    """Return every ``step``-th pixel of an image and its maps."""
    if step == 1:
        return compared

    def thin(pixels: NDArray[Any] | None) -> Any:
        return None if pixels is None else np.ascontiguousarray(pixels[::step, ::step])

    return replace(
        compared,
        image=thin(compared.image),
        target=thin(compared.target),
        correction=thin(compared.correction),
        runs=tuple(
            replace(run, labels=thin(run.labels), entropy=thin(run.entropy))
            for run in compared.runs
        ),
    )


def build_cells(
    compared: ComparedImage, keys: Iterable[CellKey], style: CellStyle
) -> dict[CellKey, GridCell]:
    """Draw cells; takes long enough for a thread.

    Parameters
    ----------
    compared : ComparedImage
    keys : iterable of CellKey
        Which.
    style : CellStyle
    """
    height, width = compared.shape
    step = max(1, math.ceil(math.sqrt(height * width / _MOST_PIXELS)))
    small = thinned(compared, step)
    cells: dict[CellKey, GridCell] = {}
    for row, column in keys:
        drawn = draw_cell(small, max(row, 0), column, style)
        picture = None
        if drawn.pixels is not None:
            picture = Pyramid(drawn.pixels, step=step, crisp=column is not Column.PHOTO)
        cells[row, column] = GridCell(picture, drawn.remark)
    return cells
