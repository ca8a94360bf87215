"""What the canvas shows: a photograph below, overlays above.

A layer outlives the images it is shown over: its visibility, opacity and colours stay when its data
are replaced.  It paints from a `Raster`; while it is hidden nothing is coloured, the boxes that
changed meanwhile are made up for when it is shown again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError
from segstudio.core.types import BBox, Image
from segstudio.ui.canvas.raster import Pixels, Raster, RasterItem

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
        self._stale: BBox | None = None
        self._filled = False

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the data, None without any."""
        return self._raster.shape if self._raster is not None and self._filled else None

    @property
    def pixels(self) -> Pixels | None:
        """The (H, W) 0xAARRGGBB memory that is painted, None without data.

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
        if self._visible:
            self._catch_up()
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
        self._stale = None
        self.item.set_raster(None)

    def update_box(self, box: BBox) -> None:
        """Colour a box anew after its data changed, and repaint only that.

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
        if not self._visible:
            self._stale = box if self._stale is None else self._stale.union(box)
            return
        self._raster.refresh(box)
        self.item.update_box(box)

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        """Write the premultiplied pixels of a box; overridden by each kind of layer."""
        raise NotImplementedError

    def _affected(self, box: BBox) -> BBox:
        """Return the box whose pixels change when the data in ``box`` do."""
        return box

    def _renders_levels(self) -> bool:
        """Whether far views are rendered from the data instead of averaged from near ones."""
        return False

    def _painted_opacity(self) -> float:
        return self._opacity

    def _show_opacity(self) -> None:
        self.item.setOpacity(self._painted_opacity())

    def _refill(self, height: int, width: int) -> None:
        """Colour everything anew for data of this size; the buffer is kept if it fits."""
        if self._raster is None or self._raster.shape != (height, width):
            self._raster = Raster(height, width, self._render, opaque=self.opaque)
        self._filled = True
        self._recolor()
        self.item.set_raster(self._raster)

    def _recolor(self) -> None:
        """Colour everything anew, now or when the layer is shown."""
        if self._raster is None or not self._filled:
            return
        self._stale = BBox(0, 0, *self._raster.shape)
        self._raster.renders_levels = self._renders_levels()
        if self._visible:
            self._catch_up()
            self.item.update()

    def _catch_up(self) -> None:
        if self._stale is None or self._raster is None:
            return
        everything = self._stale == BBox(0, 0, *self._raster.shape)
        self._raster.refresh(None if everything else self._stale)
        self._stale = None


class PhotoLayer(Layer):
    """The photograph: smooth until 200 %, then crisp pixels."""

    opaque = True

    def __init__(self, name: str = "photograph") -> None:
        super().__init__(name, smooth_below=2.0)
        self._image: Image | None = None

    def set_image(self, image: Image) -> None:
        """Show another photograph; the array is copied.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Raises
        ------
        ValueError
            If the array is not of that form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"a photograph is (H, W, 3) uint8, not {image.shape} {image.dtype}")
        self._image = np.ascontiguousarray(image)
        self._refill(image.shape[0], image.shape[1])
        if self._visible:
            self._image = None

    def _catch_up(self) -> None:
        super()._catch_up()
        self._image = None

    def _render(self, level: int, box: BBox, out: Pixels) -> None:
        import cv2

        assert self._image is not None
        out[...] = cv2.cvtColor(self._image[box.slices], cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]


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
