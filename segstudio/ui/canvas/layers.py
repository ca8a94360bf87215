"""What the canvas shows: a photograph below, overlays above.

A layer outlives the images it is shown over: its visibility, opacity and colours stay when its data
are replaced.  It paints from a `Raster`, which asks it for the colours of what is in view only; so
a layer holds no picture of its own, and while it is hidden nothing is coloured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError
from segstudio.core.types import BBox, Image
from segstudio.datasets.levels import half_size
from segstudio.datasets.scratch import release_pages
from segstudio.ui.canvas.raster import Pixels, Raster
from segstudio.ui.canvas.raster_item import RasterItem

__all__ = ["Layer", "Overlay", "PhotoLayer"]


class Layer:
    """Base of everything that is painted in image coordinates.

    Parameters
    ----------
    name : str
        How the canvas finds it; unique on a canvas.
    smooth_below : float
        See `RasterItem`.
    """

    opaque = False

    def __init__(self, name: str, *, smooth_below: float = 1.0) -> None:
        self.name = name
        self.item = RasterItem(smooth_below)
        self._raster: Raster | None = None
        self._visible = True
        self._opacity = 1.0
        self._filled = False

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the data, None without any."""
        return self._raster.shape if self._raster is not None and self._filled else None

    @property
    def pixels(self) -> Pixels | None:
        """All (H, W) pixels as 0xAARRGGBB, None without data; for small images and checks.

        Colours are premultiplied by alpha; the layer's opacity is not in them.
        """
        return self._raster.pixels if self._raster is not None and self._filled else None

    @property
    def visible(self) -> bool:
        """Whether it is painted."""
        return self._visible

    @visible.setter
    def visible(self, value: bool) -> None:
        self._visible = bool(value)
        self.item.setVisible(self._visible)

    @property
    def opacity(self) -> float:
        """0 (invisible) .. 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, value: float) -> None:
        self._opacity = min(max(float(value), 0.0), 1.0)
        self._show_opacity()

    def clear(self) -> None:
        """Forget the data; settings stay."""
        self._filled = False
        if self._raster is not None:
            self._raster.forget()
        self.item.set_raster(None)

    def update_box(self, box: BBox) -> None:
        """Colour a box anew after its data changed, as far as it is held, and repaint only that.

        Parameters
        ----------
        box : BBox
            In image pixels; what lies outside the image is left out.
        """
        if self._raster is None or not self._filled:
            return
        box = self._affected(box).clipped(*self._raster.shape)
        if box.is_empty:
            return
        self._raster.refresh(box, later=not self._visible)
        if self._visible:
            self.item.update_box(box)

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        """Write the premultiplied pixels of a box of a level; overridden by each kind of layer.

        A pixel of level k stands for 2^k x 2^k pixels of the data.
        """
        raise NotImplementedError

    def _data(self) -> Sequence[NDArray[Any] | None]:
        """Return the arrays that are looked at, to let go of those that lie in files."""
        return ()

    def _release(self) -> None:
        for array in self._data():
            if array is not None:
                release_pages(array)

    def _affected(self, box: BBox) -> BBox:
        """Return the box whose pixels change when the data in ``box`` do."""
        return box

    def _painted_opacity(self) -> float:
        return self._opacity

    def _show_opacity(self) -> None:
        self.item.setOpacity(self._painted_opacity())

    def _refill(self, height: int, width: int, *, same: bool = False) -> None:
        """Paint other data, of this size; they are coloured as they come into view.

        The same data keep their colours until then, others are never seen in them.
        """
        if self._raster is None or self._raster.shape != (height, width):
            self._raster = Raster(
                height, width, self._render, opaque=self.opaque, after=self._release
            )
        self._filled = True
        if not same:
            self._raster.forget()
        self._recolor()
        self.item.set_raster(self._raster)

    def _recolor(self) -> None:
        """Colour anew what is in view when it is next painted."""
        if self._raster is not None and self._filled:
            self._raster.refresh()
            self.item.update()


class PhotoLayer(Layer):
    """The photograph: smooth until 200 %, then crisp pixels."""

    opaque = True

    def __init__(self, name: str = "photograph") -> None:
        super().__init__(name, smooth_below=2.0)
        self._levels: list[Image] = []

    def set_image(self, image: Image, levels: Sequence[Image] = ()) -> None:
        """Show another photograph; the array is not copied and must stay as it is.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.
        levels : sequence of ndarray
            The image itself and smaller ones, see `segstudio.datasets.levels`; what is missing is
            made when it is first in view, which takes a moment for a large image.

        Raises
        ------
        ValueError
            If the array is not of that form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"a photograph is (H, W, 3) uint8, not {image.shape} {image.dtype}")
        self._levels = list(levels) or [image]
        self._refill(image.shape[0], image.shape[1])

    def _data(self) -> Sequence[NDArray[Any] | None]:
        return self._levels

    def clear(self) -> None:
        """Forget the photograph; settings stay."""
        self._levels = []
        super().clear()

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        import cv2

        while len(self._levels) <= level:
            self._levels.append(half_size(self._levels[-1]))
        part = np.ascontiguousarray(self._levels[level][box.slices])
        out[...] = cv2.cvtColor(part, cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]


class Overlay(Layer):
    """Base of the layers over a photograph: they must be as large as it is."""

    def __init__(self, name: str, *, opacity: float = 0.55, visible: bool = True) -> None:
        super().__init__(name)
        self._image_shape: tuple[int, int] | None = None
        self.opacity = opacity
        self.visible = visible

    def bind(self, image_shape: tuple[int, int] | None) -> None:
        """Say how large the image is; called by the canvas.

        Parameters
        ----------
        image_shape : (int, int) or None
            Height and width; None takes any size.

        Raises
        ------
        SizeMismatchError
            If the overlay holds data of another size.
        """
        if image_shape is not None and self.shape is not None and self.shape != image_shape:
            raise SizeMismatchError(self._mismatch(self.shape, image_shape))
        self._image_shape = image_shape

    def _check_size(self, data: NDArray[Any]) -> tuple[int, int]:
        """Return the height and width of an overlay's data, refused if they are not the image's."""
        if data.ndim != 2 or data.size == 0:
            raise ValueError(f"an overlay is (H, W), not {data.shape}")
        height, width = data.shape
        if self._image_shape is not None and (height, width) != self._image_shape:
            raise SizeMismatchError(self._mismatch((height, width), self._image_shape))
        return height, width

    def _mismatch(self, size: tuple[int, int], image: tuple[int, int]) -> str:
        return (
            f"The layer {self.name} is {size[1]} x {size[0]} pixels but the image is "
            f"{image[1]} x {image[0]}; it is not shown."
        )
