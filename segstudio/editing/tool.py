"""What a tool is: a generator that lives from press to release.

A tool is one module of `segstudio.editing.tools`: an `EditingTool` with an Options dataclass,
entered with ``@TOOLS.register(name)``.  It knows neither the window nor the document: it is given
pointer events, looks at the label map and answers with patches.
"""

from __future__ import annotations

import abc
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.registry import Registry
from segstudio.core.types import BBox, Image, LabelMap, Mask
from segstudio.editing.geometry import mask_bounds, moved
from segstudio.editing.superpixels import Segments

__all__ = [
    "GROUPS",
    "TOOLS",
    "Answer",
    "EditingTool",
    "Gesture",
    "NoOptions",
    "Outline",
    "StrokeGenerator",
    "ToolError",
    "ToolView",
    "patches_of",
    "sorted_tools",
]

GROUPS = ("paint", "shape", "region", "smart", "repair", "other")
"""Groups of tools in the order in which the window shows them."""

Gesture = Literal["drag", "clicks"]
"""What one stroke is for the hand: press to release, or a row of clicks."""

Outline = Literal["none", "path", "area", "box"]
"""What the window draws while a stroke lasts: nothing, the way, the way closed, a box."""

Answer = MaskPatch | tuple[MaskPatch, ...] | None
"""What a tool answers to one event: a patch, several whose boxes do not overlap, or nothing."""

StrokeGenerator = Generator[Answer, PointerEvent, None]
"""What `EditingTool.stroke` returns."""


class ToolError(SegStudioError):
    """A tool that failed; its stroke was taken back."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a tool that has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ToolView:
    """What a tool sees during one stroke.

    Attributes
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16, read-only
        The document's map; always shows what it holds now.
    active_class : int
        The class to paint with; may be the ignore index.
    ignore_index : int
        The value of pixels without a class.
    options : Options
        A value of the tool's ``Options``.
    source : ndarray of shape (H, W), same type, or None
        What the correction was started from, where there is such a layer.
    image : ndarray of shape (H, W, 3), uint8, or None
        The photograph, RGB.
    layers : mapping of str to ndarray of shape (H, W)
        What else is known of the image, as far as there is any: "prediction", "runner_up" and
        "ground_truth" in the document's classes, "entropy" as uint8 (divided by log C, times 255).
    segments : Segments or None
        Superpixels of what is in view, for tools with ``needs_segments``.
    region : BBox or None
        What is in view; None when nobody looks.
    """

    label_map: LabelMap
    active_class: int
    ignore_index: int
    options: Any
    source: LabelMap | None = None
    image: Image | None = None
    layers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    segments: Segments | None = None
    region: BBox | None = None

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.label_map.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.label_map.shape[1])

    def cut(self, window: BBox) -> ToolView:
        """Return the view of a part of the image as if that were all; nothing is copied."""
        region = self.region
        if region is not None:
            region = moved(region, -window.top, -window.left).clipped(window.height, window.width)
        segments = self.segments
        if segments is not None:
            segments = replace(segments, box=moved(segments.box, -window.top, -window.left))
        return replace(
            self,
            label_map=self.label_map[window.slices],
            source=None if self.source is None else self.source[window.slices],
            image=None if self.image is None else self.image[window.slices],
            layers={name: layer[window.slices] for name, layer in self.layers.items()},
            segments=segments,
            region=region,
        )

    def need_image(self) -> Image:
        """Return the photograph.

        Raises
        ------
        ToolError
            When there is none.
        """
        if self.image is None:
            raise ToolError("This tool looks at the photograph, but there is none here.")
        return self.image

    def need_layer(self, name: str) -> NDArray[Any]:
        """Return a layer by name.

        Raises
        ------
        ToolError
            When there is none; one sentence says what to do.
        """
        layer = self.source if name == "source" else self.layers.get(name)
        if layer is None:
            raise ToolError(_MISSING.get(name, f"This tool needs a layer {name!r}; there is none."))
        return layer

    def patch_where(self, mask: Mask, box: BBox, value: int | LabelMap) -> MaskPatch | None:
        """Return the patch that gives some pixels another value.

        Parameters
        ----------
        mask : ndarray of shape (box.height, box.width), bool
            The pixels.
        box : BBox
            Where ``mask`` lies; inside the image.
        value : int or ndarray of shape (box.height, box.width)
            What they get.

        Returns
        -------
        MaskPatch or None
            Only as large as what really changes; None when nothing does.
        """
        here = self.label_map[box.slices]
        changed = here != value
        changed &= mask
        bounds = mask_bounds(changed)
        if bounds is None:
            return None
        within = bounds.slices
        before = here[within].copy()
        after = before.copy()
        new: int | LabelMap = value if isinstance(value, int) else value[within]
        np.putmask(after, changed[within], new)
        return MaskPatch(moved(bounds, box.top, box.left), before, after)


_RUN_FIRST = "has none in the classes that are painted; run a model on it first."

_MISSING = {
    "prediction": f"This tool needs a prediction, but this image {_RUN_FIRST}",
    "runner_up": f"This tool needs the runner-up classes, but this image {_RUN_FIRST}",
    "entropy": "This tool needs the entropy map, but this image has none; run a model on it first.",
    "ground_truth": "This tool needs ground truth, but this image has none in the classes that "
    "are painted.",
    "source": "This tool needs what the correction started from, but it started from an empty map.",
}


class EditingTool(abc.ABC):
    """A way to change a label map with the pointer.

    Attributes
    ----------
    name : str
        Set by the registry.
    title, shortcut, icon : str
        What the window shows: words, key ("" for none), name of the icon.
    description : str
        One sentence.
    group : str
        One of `GROUPS`: where the window shows it.
    place : int
        Order within the group.
    gesture : {"drag", "clicks"}
        "drag": a stroke is what happens between press and release.  "clicks": the window gathers
        clicks until the figure is finished (Enter, a double click, a click on the first point) and
        only then hands them on as one stroke, the first as press, the others as moves, the last
        once more as release.  To the tool both are the same: a way of points.
    outline : {"none", "path", "area", "box"}
        What the window draws of that way while it lasts.
    needs_segments : bool
        Whether the window has to find superpixels before a stroke begins.  `Options` then has
        ``segment_size`` (pixels) and ``compactness``.
    Options : type
        Dataclass of `segstudio.core.options.option` fields.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    shortcut: ClassVar[str] = ""
    icon: ClassVar[str] = "tool"
    group: ClassVar[str] = "other"
    place: ClassVar[int] = 100
    gesture: ClassVar[Gesture] = "drag"
    outline: ClassVar[Outline] = "none"
    needs_segments: ClassVar[bool] = False
    Options: ClassVar[type] = NoOptions

    def is_slow(self, options: Any) -> bool:
        """Return whether a stroke may take longer than a frame, so that it belongs in a thread.

        A slow tool answers with one patch at most in the whole stroke.  Its ``stroke`` may run in
        another thread, after the release, on the whole way at once (`StrokeDriver.find`).

        Parameters
        ----------
        options : Options
            A value of the tool's ``Options``.
        """
        return False

    @abc.abstractmethod
    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Yield what each pointer event of one stroke changes.

        The press comes as ``event``; every further one, the release last, is the value of the
        ``yield``.  What is yielded is applied before the next event comes.  A tool may return
        early: later events of the stroke then do nothing.  After the answer to the release the
        generator is closed.  When the stroke is cancelled it is closed at once and everything is
        taken back by the document; a tool has nothing to clean up.

        Parameters
        ----------
        view : ToolView
            What the tool sees.
        event : PointerEvent
            The press.

        Yields
        ------
        MaskPatch, tuple of MaskPatch, or None
            From `ToolView.patch_where`; None when nothing changes.  Several where one box around
            all that changes would be much larger; boxes must not overlap.
        """


def patches_of(answer: Answer) -> tuple[MaskPatch, ...]:
    """Return what a tool answered as patches.

    Raises
    ------
    TypeError
        When it is something else.
    """
    patches = answer if isinstance(answer, tuple) else () if answer is None else (answer,)
    for patch in patches:
        if not isinstance(patch, MaskPatch):
            raise TypeError(f"it answered with a {type(patch).__name__}, not with a patch")
    return patches


TOOLS: Registry[type[EditingTool]] = Registry("tool", "segstudio.editing.tools")
"""Every tool by name."""


def sorted_tools() -> list[tuple[str, type[EditingTool]]]:
    """Return every tool in the order in which it is shown; plugins' tools behind ours."""
    groups = {group: number for number, group in enumerate(GROUPS)}
    return sorted(
        TOOLS.items(), key=lambda item: (groups.get(item[1].group, len(GROUPS)), item[1].place)
    )
