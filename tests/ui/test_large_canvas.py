"""A canvas with a large image: what one repaint colours, and what it shows at the end."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.datasets.levels import build_levels
from segstudio.ui.canvas.image_canvas import ImageCanvas
from segstudio.ui.canvas.overlays import LabelOverlay

TIMEOUT = 20_000
COLORS = [(10, 20, 30), (200, 100, 50), (255, 255, 255)]
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a window


def _stale(canvas: ImageCanvas) -> list[bool]:
    layers = (canvas.photo, *canvas.layers)
    sheets = [layer._raster._sheets for layer in layers]
    return [not known or not known[0].is_whole for known in sheets]


@pytest.mark.parametrize("before", [None, 1.0])
def test_layers_share_the_time_of_a_repaint_and_are_whole_at_the_end(
    qtbot, monkeypatch: pytest.MonkeyPatch, before: float | None
) -> None:
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 256, (2400, 2600, 1), np.uint8), 3, 2)
    labels = rng.integers(0, 3, image.shape[:2], np.uint8)
    layers = [LabelOverlay("prediction"), LabelOverlay("correction")]
    canvas = ImageCanvas()
    qtbot.addWidget(canvas)
    canvas.set_layers(layers)
    canvas.resize(1200, 1000)
    canvas.set_image(image, build_levels(image))
    for layer in layers:
        layer.set_labels(labels, COLORS)
    canvas.show()
    qtbot.waitExposed(canvas)
    if before is not None:  # colours of another place and zoom are at hand
        canvas.set_scale(before)
        qtbot.waitUntil(lambda: not any(_stale(canvas)), timeout=TIMEOUT)
    monkeypatch.setattr("segstudio.ui.canvas.viewport.FRAME_SECONDS", 0.0)
    monkeypatch.setattr("segstudio.ui.canvas.raster_item.FRAME_SECONDS", 60.0)  # of a layer alone
    canvas.set_scale(0.55)
    canvas._view.viewport().repaint()
    # No time at all: each layer goes on by one chunk and leaves the rest for later.
    assert all(_stale(canvas))
    qtbot.waitUntil(lambda: not any(_stale(canvas)), timeout=TIMEOUT)
    for layer in layers:
        sheet = layer._raster._sheets[0]
        assert sheet.level == 0
        np.testing.assert_array_equal(sheet.pixels, layer._table[labels[sheet.box.slices]])
    sheet = canvas.photo._raster._sheets[0]
    np.testing.assert_array_equal(sheet.pixels & 0xFF, image[sheet.box.slices][..., 2])
