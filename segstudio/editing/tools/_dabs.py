"""The stroke that brush and eraser share: dabs joined without gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import LabelMap
from segstudio.editing.geometry import SHAPES, swept_shape
from segstudio.editing.tool import StrokeSteps, ToolView


@dataclass(frozen=True)
class DabOptions:
    """Size and shape of a brush."""

    size: int = option(20, "Diameter in image pixels.", minimum=1, maximum=2000)
    shape: str = option("round", "Shape of the brush.", choices=SHAPES)


def paint_dabs(
    view: ToolView, event: PointerEvent, options: DabOptions, value: int | LabelMap
) -> StrokeSteps:
    """Set the pixels under the brush to ``value``, an index or a label map to copy from."""
    height, width = view.shape
    last = (event.row, event.col)
    while True:
        here = (event.row, event.col)
        box, mask = swept_shape(
            last, here, options.size, shape=options.shape, height=height, width=width
        )
        inside = value[box.slices] if isinstance(value, np.ndarray) else value
        patch = view.patch_where(box, mask, inside)
        last = here
        if event.kind is PointerKind.RELEASE:
            if patch is not None:
                yield patch
            return
        event = yield patch
