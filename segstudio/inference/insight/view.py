"""What a model's network sees of an image, and where its grids of features lie in the image.

A pass covers a piece: the whole network input, or a window or tile of it, exactly as
`Model.predict` cuts it.  The network itself is called, in float32, whatever backend predicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.architectures._base import SegmentationNetwork
from segstudio.architectures._scales import MultiScaleNetwork
from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.types import BBox, Image
from segstudio.datasets.rows import ArrayRows
from segstudio.inference.augmentation import parse_tta
from segstudio.inference.backends.eager import cudnn_for
from segstudio.inference.memory import is_out_of_memory
from segstudio.inference.passes import NetworkInput
from segstudio.inference.planning import Planner
from segstudio.inference.windows import Span, fill_window

if TYPE_CHECKING:
    from torch import Tensor

    from segstudio.inference.model import Model

__all__ = ["NetworkView", "Piece", "TokenGrid", "grid_extent", "inner_network"]


@dataclass(frozen=True, slots=True)
class TokenGrid:
    """A grid of tokens or features over a piece of the network's input.

    Attributes
    ----------
    rows, columns : int
    height, width : float
        Input pixels that the grid spans; with padding inside the network more than the piece has.
    top, left : float
        Where it begins in the piece: below 0 with padding at those sides, too.
    """

    rows: int
    columns: int
    height: float
    width: float
    top: float = 0.0
    left: float = 0.0

    def cell_at(self, y: float, x: float) -> tuple[int, int]:
        """Return the row and column of the cell in which a point of the piece lies."""
        row = int((y - self.top) / self.height * self.rows)
        column = int((x - self.left) / self.width * self.columns)
        return min(row, self.rows - 1), min(column, self.columns - 1)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return y by row and x by column of the cells' centres, in input pixels."""
        y = np.arange(0.5, self.rows, dtype=np.float64) * (self.height / self.rows) + self.top
        x = np.arange(0.5, self.columns, dtype=np.float64) * (self.width / self.columns) + self.left
        return y, x


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """What goes through the network in one pass.

    Attributes
    ----------
    batch : Tensor of shape (1, 3, h, w), float32
    top, left : int
        Its place in the network's input.
    area : BBox
        Pixels of the image whose centres it holds.
    """

    batch: Tensor
    top: int
    left: int
    area: BBox

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in network input pixels."""
        return int(self.batch.shape[2]), int(self.batch.shape[3])


class NetworkView:
    """An image as a model's network sees it, unmirrored and at the scale of plain prediction.

    Parameters
    ----------
    model : Model
        Its network is only called; nothing else may run it at the same time.
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Attributes
    ----------
    image_size : (int, int)
        H and W.
    size : (int, int)
        Height and width of the network's input without the padding of the model's divisor.
    """

    def __init__(self, model: Model, image: Image) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UsageError(
                f"An image has the shape (H, W, 3) and the type uint8, not {image.shape} and "
                f"{image.dtype}."
            )
        self._model = model
        self.network = inner_network(model)
        rule = model.preprocessing
        given = NetworkInput.of(ArrayRows(image), rule, parse_tta("none")[0])
        planner = Planner(self._forward, model.device, model.window, tiles=True)
        plan = planner.plan(given.padded)
        batch = given.read(0, given.padded[0], model.device)
        self.image_size = given.image_size
        self.size = given.size
        if rule.fill_window and plan.window is not None:
            batch = fill_window(batch, plan.window)
            if tuple(batch.shape[-2:]) != given.padded:
                self.size = int(batch.shape[2]), int(batch.shape[3])
        self._batch = batch
        down, across = int(batch.shape[2]), int(batch.shape[3])
        whole = [Span(0, down, 0, down)], [Span(0, across, 0, across)]
        self._spans = plan.spans((down, across), rule.divisor) or whole

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, padding included."""
        return int(self._batch.shape[2]), int(self._batch.shape[3])

    def pieces(self) -> Iterator[Piece]:
        """Yield all pieces in reading order."""
        for down in self._spans[0]:
            for across in self._spans[1]:
                yield self._piece(down, across)

    def piece_at(self, row: int, column: int) -> Piece:
        """Return the piece that sees most around a pixel of the image.

        Raises
        ------
        UsageError
            When the pixel is outside the image.
        """
        height, width = self.image_size
        if not (0 <= row < height and 0 <= column < width):
            raise UsageError(
                f"The pixel in row {row}, column {column} is outside the image of {height} x "
                f"{width} pixels; rows and columns count from 0."
            )
        y, x = self.input_point(row, column)
        return self._piece(_most_central(self._spans[0], y), _most_central(self._spans[1], x))

    def input_point(self, row: int, column: int) -> tuple[float, float]:
        """Return where the centre of a pixel of the image lies in the network's input."""
        y, x = self._line(0), self._line(1)
        return float(y[row]), float(x[column])

    def run(self, piece: Piece) -> None:
        """Send a piece through the network, for what hooks see of it.

        Raises
        ------
        SegStudioError
            When it does not fit into memory.
        """
        try:
            self._forward(piece.batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise SegStudioError(
                f"A pass over {piece.size[0]} x {piece.size[1]} pixels does not fit into the "
                f"memory of {self._model.device}; set a window, for instance 512x512."
            ) from error

    def spread(
        self, values: NDArray[np.floating], grid: TokenGrid, piece: Piece
    ) -> NDArray[np.float32]:
        """Interpolate values on a grid bilinearly to the pixels of a piece's area.

        The way back through the model's own rule: cells lie where padding, window and resizing put
        them.

        Parameters
        ----------
        values : ndarray of shape (grid.rows, grid.columns)
        grid : TokenGrid
        piece : Piece

        Returns
        -------
        ndarray of shape (piece.area.height, piece.area.width), float32
        """
        area = piece.area
        y = self._line(0)[area.top : area.bottom] - piece.top - grid.top
        x = self._line(1)[area.left : area.right] - piece.left - grid.left
        above, down = _neighbours(y, grid.height, grid.rows)
        left, right = _neighbours(x, grid.width, grid.columns)
        lines: NDArray[np.float32] = np.asarray(values, np.float32)[above]
        below = np.asarray(values, np.float32)[np.minimum(above + 1, grid.rows - 1)]
        lines = lines + (below - lines) * down[:, None]
        found = lines[:, left]
        beside = lines[:, np.minimum(left + 1, grid.columns - 1)]
        return found + (beside - found) * right

    def cell_box(self, grid: TokenGrid, cell: tuple[int, int], piece: Piece) -> BBox:
        """Return the pixels of the image whose centres lie in a cell, clipped to the area."""
        ends = []
        sides = (
            (grid.rows, grid.height, piece.top + grid.top),
            (grid.columns, grid.width, piece.left + grid.left),
        )
        for axis, (count, extent, origin) in enumerate(sides):
            step = extent / count
            low = origin + cell[axis] * step
            ends.append(np.searchsorted(self._line(axis), [low, low + step]))
        (top, bottom), (left, right) = ends
        area = piece.area
        return BBox(
            max(int(top), area.top),
            max(int(left), area.left),
            min(int(bottom), area.bottom),
            min(int(right), area.right),
        )

    def _line(self, axis: int) -> NDArray[np.float64]:
        """Return where the image's pixels lie along an axis of the network's input."""
        count = self.image_size[axis]
        return np.arange(0.5, count, dtype=np.float64) * (self.size[axis] / count)

    def _piece(self, down: Span, across: Span) -> Piece:
        batch = self._batch[:, :, down.start : down.stop, across.start : across.stop]
        top, bottom = (int(end) for end in np.searchsorted(self._line(0), [down.start, down.stop]))
        left, right = (
            int(end) for end in np.searchsorted(self._line(1), [across.start, across.stop])
        )
        return Piece(batch, down.start, across.start, BBox(top, left, bottom, right))

    @torch.inference_mode()
    def _forward(self, batch: Tensor) -> Tensor:
        with cudnn_for("fp32"):
            out: Tensor = self.network(batch.contiguous(memory_format=torch.channels_last))
            return out


def inner_network(model: Model) -> SegmentationNetwork:
    """Return the network that looks at one scale: of those over several scales, the inner one."""
    network = model.network
    return network.inner if isinstance(network, MultiScaleNetwork) else network


def grid_extent(pixels: int, cells: int) -> float:
    """Return how many input pixels a side of a feature map spans, padding included.

    Strides round what they do not divide up or down; the stride is the power of two, else the whole
    number, that explains the number of cells.  Where none does, the cells share the input.

    Parameters
    ----------
    pixels : int
        Of the input.
    cells : int
        Of the feature map.
    """
    ratio = pixels / cells
    for stride in (2 ** max(0, round(float(np.log2(ratio)))), -(-pixels // cells)):
        if cells in {pixels // stride, -(-pixels // stride)}:
            return float(cells * stride)
    return float(pixels)


def _most_central(spans: list[Span], place: float) -> Span:
    """Return the span that counts at a place and sees most to its nearer side."""
    counting = [span for span in spans if span.first <= place < span.last]
    return max(counting, key=lambda span: min(place - span.start, span.stop - place))


def _neighbours(
    places: NDArray[np.float64], extent: float, cells: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the cell whose centre is before each place and the weight of the next one."""
    position = np.clip(places / extent * cells - 0.5, 0, cells - 1)
    before = position.astype(np.int64)
    return before, (position - before).astype(np.float32)
