"""The overlays: classes, numbers, errors."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.class_style import class_pattern, line_colors
from segstudio.core.palette import Color
from segstudio.core.types import BBox, LabelMap
from segstudio.ui.canvas.colormaps import color_map, look_up, premultiplied
from segstudio.ui.canvas.layers import Overlay
from segstudio.ui.canvas.raster import Pixels
from segstudio.ui.canvas.sampling import averaged, edges, thinned

__all__ = [
    "ERROR_COLOR",
    "IGNORED_COLOR",
    "ErrorOverlay",
    "LabelMode",
    "LabelOverlay",
    "ScalarOverlay",
]

ERROR_COLOR: Color = (240, 10, 90)
"""A wrong pixel: a red with blue in it, which stays apart from foliage for red-green blindness."""

IGNORED_COLOR: Color = (150, 150, 150)
"""The stripes over pixels that do not count."""


class LabelMode(enum.Enum):
    """How a label map is drawn."""

    FILL = "fill"
    OUTLINE = "outline"
    FILL_OUTLINE = "fill and outline"
    PATTERN = "fill with patterns"


class LabelOverlay(Overlay):
    """A label map in the colours of its classes.

    The label map is not copied: whoever changes it calls `update_box`.

    Parameters
    ----------
    name : str
        How the canvas finds it.
    opacity : float
        0..1.
    visible : bool
        Whether it is painted.
    """

    def __init__(self, name: str, *, opacity: float = 0.55, visible: bool = True) -> None:
        self._labels: LabelMap | None = None
        self._colors: list[Color] = []
        self._hidden: frozenset[int] = frozenset()
        self._solo: frozenset[int] | None = None
        self._highlight: int | None = None
        self._mode = LabelMode.FILL
        self._table = self._line_table = np.zeros(256, np.uint32)
        super().__init__(name, opacity=opacity, visible=visible)

    @property
    def mode(self) -> LabelMode:
        """Fill, outline or both."""
        return self._mode

    @mode.setter
    def mode(self, value: LabelMode) -> None:
        if value is not self._mode:
            self._mode = value
            self._show_opacity()
            self._recolor()

    @property
    def labels(self) -> LabelMap | None:
        """The label map that is shown, None without one."""
        return self._labels

    @property
    def hidden(self) -> frozenset[int]:
        """Class indices that are not drawn."""
        return self._hidden

    @property
    def solo(self) -> frozenset[int] | None:
        """The only class indices that are drawn, None for all."""
        return self._solo

    def set_labels(self, labels: LabelMap, colors: Sequence[Color] | None = None) -> None:
        """Show another label map.

        Parameters
        ----------
        labels : ndarray of shape (H, W), uint8 or uint16
            Class indices; values without a colour (the ignore index) are transparent.
        colors : sequence of (R, G, B), optional
            Colours by class index; those there are stay by default.

        Raises
        ------
        SizeMismatchError
            If it is not as large as the image.
        """
        if labels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a label map is uint8 or uint16, not {labels.dtype}")
        height, width = self._check_size(labels)
        if colors is not None:
            self._colors = list(colors)
        same, self._labels = labels is self._labels, labels
        self._build_tables()
        self._refill(height, width, same=same)

    def set_colors(self, colors: Sequence[Color]) -> None:
        """Change the colours, by class index."""
        self._colors = list(colors)
        self._restyle()

    def set_hidden(self, classes: Collection[int]) -> None:
        """Draw all classes but these."""
        self._hidden = frozenset(classes)
        self._restyle()

    def set_solo(self, classes: Collection[int] | None) -> None:
        """Draw only these classes, whether hidden or not; None ends it."""
        self._solo = None if classes is None else frozenset(classes)
        self._restyle()

    def set_highlight(self, class_index: int | None) -> None:
        """Make one class stand out and the others step back; None ends it."""
        if class_index != self._highlight:
            self._highlight = class_index
            self._restyle()

    def class_alpha(self) -> NDArray[np.uint8]:
        """Return the alpha (C,) of each class, 0..255, as hidden, solo and highlight have it."""
        count = len(self._colors)
        indices = np.arange(count)
        if self._solo is not None:
            shown = np.isin(indices, list(self._solo))
        else:
            shown = ~np.isin(indices, list(self._hidden))
        alpha = np.where(shown, 255, 0).astype(np.uint8)
        if self._highlight is not None:
            alpha = np.where(indices == self._highlight, 255, alpha // 4).astype(np.uint8)
        return alpha

    def clear(self) -> None:
        """Forget the label map; settings stay."""
        self._labels = None
        super().clear()

    def mirror(self, other: LabelOverlay) -> None:
        """Show the label map of another layer as it does; neither is copied."""
        self._colors, self._hidden = other._colors, other._hidden
        self._solo, self._highlight = other._solo, other._highlight
        self.mode, self.opacity = other.mode, other.opacity
        if other._labels is None:
            self.clear()
        else:
            self.set_labels(other._labels)

    def _restyle(self) -> None:
        self._build_tables()
        self._recolor()

    def _build_tables(self) -> None:
        wide = self._labels is not None and self._labels.dtype == np.uint16
        size = 65536 if wide else 256
        self._table = np.zeros(size, np.uint32)
        self._line_table = np.zeros(size, np.uint32)
        colors = np.asarray(self._colors[:size], np.uint8).reshape(-1, 3)
        alpha = self.class_alpha()[:size]
        self._table[: len(colors)] = premultiplied(colors, alpha)
        self._line_table[: len(colors)] = premultiplied(line_colors(colors), alpha)

    def _data(self) -> Sequence[NDArray[Any] | None]:
        return (self._labels,)

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._labels is not None
        if self._mode is LabelMode.FILL:
            averaged(self._fill, self._labels.shape, level, box, out)
            return
        # Far views take every 2nd, 4th, ... label, so that an outline is always one pixel wide.
        labels = thinned(self._labels, level)
        part = labels[box.slices]
        edge = np.empty(0, bool) if self._mode is LabelMode.PATTERN else edges(labels, box)
        look_up(self._table, part, out)
        if self._mode is LabelMode.PATTERN:
            lines = np.empty(part.shape, np.uint32)
            look_up(self._line_table, part, lines)
            np.copyto(out, lines, where=class_pattern(part, box))
        elif self._mode is LabelMode.OUTLINE:
            out[~edge] = 0
        else:
            out[edge] = self._line_table[part[edge]]

    def _fill(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._labels is not None
        look_up(self._table, thinned(self._labels, level)[box.slices], out)

    def _affected(self, box: BBox) -> BBox:
        if self._mode in (LabelMode.FILL, LabelMode.PATTERN):
            return box
        return BBox(box.top - 1, box.left - 1, box.bottom + 1, box.right + 1)

    def _painted_opacity(self) -> float:
        # Lines hide little of the photograph and vanish when they are as faint as a fill.
        if self._mode is LabelMode.OUTLINE:
            return 1.0 - (1.0 - self.opacity) ** 2
        return self.opacity


class ScalarOverlay(Overlay):
    """A map of numbers, such as entropy or confidence, through a colour map.

    The map is not copied: whoever changes it calls `update_box`.

    Parameters
    ----------
    name : str
        How the canvas finds it.
    colormap : str
        "gray", "magma" or "viridis".
    opacity : float
        0..1.
    visible : bool
        Whether it is painted.
    """

    def __init__(
        self, name: str, *, colormap: str = "gray", opacity: float = 0.8, visible: bool = True
    ) -> None:
        self._values: NDArray[np.uint8] | None = None
        self._colormap = colormap
        self._table = premultiplied(color_map(colormap), 255)
        super().__init__(name, opacity=opacity, visible=visible)

    @property
    def colormap(self) -> str:
        """Name of the colour map."""
        return self._colormap

    @colormap.setter
    def colormap(self, name: str) -> None:
        self._table = premultiplied(color_map(name), 255)
        self._colormap = name
        self._recolor()

    def set_values(self, values: NDArray[np.uint8]) -> None:
        """Show another map.

        Parameters
        ----------
        values : ndarray of shape (H, W), uint8
            0..255 from one end of the colour map to the other.

        Raises
        ------
        SizeMismatchError
            If it is not as large as the image.
        """
        if values.dtype != np.uint8:
            raise ValueError(f"a map of numbers is uint8, not {values.dtype}")
        height, width = self._check_size(values)
        same, self._values = values is self._values, values
        self._refill(height, width, same=same)

    def mirror(self, other: ScalarOverlay) -> None:
        """Show the map of another layer as it does; it is not copied."""
        self.colormap, self.opacity = other.colormap, other.opacity
        if other._values is None:
            self.clear()
        else:
            self.set_values(other._values)

    def clear(self) -> None:
        """Forget the map; settings stay."""
        self._values = None
        super().clear()

    def _data(self) -> Sequence[NDArray[Any] | None]:
        return (self._values,)

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._values is not None
        averaged(self._shade, self._values.shape, level, box, out)

    def _shade(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._values is not None
        look_up(self._table, thinned(self._values, level)[box.slices], out)


class ErrorOverlay(Overlay):
    """Where a prediction is wrong: wrong is coloured, right is clear, ignored is striped.

    The maps are not copied: whoever changes one calls `update_box`.

    Parameters
    ----------
    name : str
        How the canvas finds it.
    opacity : float
        0..1.
    visible : bool
        Whether it is painted.
    """

    def __init__(self, name: str, *, opacity: float = 0.75, visible: bool = True) -> None:
        self._target: LabelMap | None = None
        self._prediction: LabelMap | None = None
        self._ignore_index = 255
        self._table = np.zeros(256, np.uint32)
        self._table[1:3] = premultiplied([ERROR_COLOR, IGNORED_COLOR], 255)
        super().__init__(name, opacity=opacity, visible=visible)

    def set_maps(self, target: LabelMap, prediction: LabelMap, *, ignore_index: int) -> None:
        """Compare two label maps of one label space.

        Parameters
        ----------
        target, prediction : ndarray of shape (H, W), uint8 or uint16
            Class indices.
        ignore_index : int
            Target value of the pixels that do not count.

        Raises
        ------
        SizeMismatchError
            If one of them is not as large as the image.
        """
        height, width = self._check_size(target)
        if prediction.shape != target.shape:
            self._check_size(prediction)
            raise ValueError(f"target {target.shape} and prediction {prediction.shape} differ")
        same = target is self._target and prediction is self._prediction
        self._target, self._prediction = target, prediction
        self._ignore_index = ignore_index
        self._refill(height, width, same=same)

    def mirror(self, other: ErrorOverlay) -> None:
        """Show the errors that another layer shows; the maps are not copied."""
        self.opacity = other.opacity
        if other._target is None or other._prediction is None:
            self.clear()
        else:
            self.set_maps(other._target, other._prediction, ignore_index=other._ignore_index)

    def clear(self) -> None:
        """Forget the maps; settings stay."""
        self._target = self._prediction = None
        super().clear()

    def _data(self) -> Sequence[NDArray[Any] | None]:
        return (self._target, self._prediction)

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._target is not None
        averaged(self._mark, self._target.shape, level, box, out)

    def _mark(self, level: int, box: BBox, out: Pixels) -> None:
        assert self._target is not None and self._prediction is not None
        target: NDArray[Any] = thinned(self._target, level)[box.slices]
        wrong = target != thinned(self._prediction, level)[box.slices]
        counts = target != self._ignore_index
        rows = np.arange(box.top, box.bottom, dtype=np.uint32)[:, None]
        cols = np.arange(box.left, box.right, dtype=np.uint32)[None, :]
        stripes = (rows + cols) % 8 < 2
        kind = (wrong & counts).view(np.uint8)
        kind += (stripes & ~counts).view(np.uint8) * np.uint8(2)
        look_up(self._table, kind, out)
