"""What a tool is: a generator that lives from press to release.

A tool is one module of `segstudio.editing.tools`: an `EditingTool` with an Options dataclass,
entered with ``@TOOLS.register(name)``.  It knows neither the window nor the document: it is given
pointer events, looks at the label map and answers with patches.
"""

from __future__ import annotations

import abc
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.registry import Registry
from segstudio.core.types import BBox, LabelMap, Mask
from segstudio.editing.geometry import mask_bounds

__all__ = ["TOOLS", "EditingTool", "NoOptions", "StrokeGenerator", "ToolError", "ToolView"]

StrokeGenerator = Generator[MaskPatch | None, PointerEvent, None]
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
    """

    label_map: LabelMap
    active_class: int
    ignore_index: int
    options: Any
    source: LabelMap | None = None

    @property
    def height(self) -> int:
        """Rows of the image."""
        return int(self.label_map.shape[0])

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.label_map.shape[1])

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
        new = value if isinstance(value, int) else value[within]
        np.copyto(after, np.asarray(new, after.dtype), where=changed[within])
        where = BBox(
            box.top + bounds.top,
            box.left + bounds.left,
            box.top + bounds.bottom,
            box.left + bounds.right,
        )
        return MaskPatch(where, before, after)


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
    Options : type
        Dataclass of `segstudio.core.options.option` fields.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    shortcut: ClassVar[str] = ""
    icon: ClassVar[str] = "tool"
    Options: ClassVar[type] = NoOptions

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
        MaskPatch or None
            From `ToolView.patch_where`; None when nothing changes.
        """


TOOLS: Registry[type[EditingTool]] = Registry("tool", "segstudio.editing.tools")
"""Every tool by name."""
