"""The model wand: paints what the model said the same of as of the pixel under the pointer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox
from segstudio.editing.regions import flooded, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class


@TOOLS.register("model-wand")
class ModelWand(EditingTool):
    """Paints pixels with the same prediction, the same runner-up and a similar entropy.

    Where a model takes one thing for another it mostly does so all over the thing, with the same
    second choice: one click corrects it.
    """

    title = "Model wand"
    description = "Paint the pixels of which the model said the same as of the one clicked."
    shortcut = "Shift+W"
    icon = "model-wand"
    group = "smart"
    place = 20

    @dataclass(frozen=True)
    class Options:
        """What has to be the same."""

        tolerance: int = option(
            25, "Largest difference of entropy in per cent of its range.", minimum=0, maximum=100
        )
        runner_up: bool = option(True, "The second most likely class has to be the same too.")
        contiguous: bool = option(True, "Stop where this ends; else paint it everywhere.")

    def is_slow(self, options: Any) -> bool:
        """Return True: it looks at the whole image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint once, at the press.

        Raises
        ------
        ToolError
            When the prediction, its runner-up classes or its entropy are missing.
        """
        yield _same(view, event)


def _same(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    prediction, entropy = view.need_layer("prediction"), view.need_layer("entropy")
    runner_up = view.need_layer("runner_up") if view.options.runner_up else None
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    same = prediction == prediction[pixel]
    if runner_up is not None:
        same &= runner_up == runner_up[pixel]
    here, reach = int(entropy[pixel]), view.options.tolerance * 255 / 100
    same &= entropy >= np.uint8(max(0, int(np.ceil(here - reach))))
    same &= entropy <= np.uint8(min(255, int(here + reach)))
    box = BBox(0, 0, view.height, view.width)
    if view.options.contiguous:
        box, same = flooded(same, *pixel)
    return view.patch_where(same, box, painted_class(view, event))
