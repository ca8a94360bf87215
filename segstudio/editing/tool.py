"""What every tool provides, and what drives one from press to release.

A tool is a generator: it is started with the press, receives one event per ``send`` and ends
itself on the release.  The state of a drag is its local variables.
"""

from __future__ import annotations

import abc
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.registry import Registry
from segstudio.core.types import BBox, LabelMap, Mask
from segstudio.editing.document import MaskDocument, Stroke

__all__ = ["TOOLS", "EditingTool", "NoOptions", "StrokeDriver", "StrokeSteps", "ToolView"]

StrokeSteps = Generator[MaskPatch | None, PointerEvent, None]
"""Yields a patch or None per event."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a tool that has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ToolView:
    """What a tool sees of the document.

    Attributes
    ----------
    label_map : ndarray of shape (H, W)
        The living label map, read-only.
    active_class : int
        The class index to paint, or the ignore index.
    ignore_index : int
        Value of unlabelled pixels.
    source : ndarray of shape (H, W) or None
        What the correction started from (the prediction).
    """

    label_map: LabelMap
    active_class: int
    ignore_index: int
    source: LabelMap | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.label_map.shape
        return height, width

    def patch_where(self, box: BBox, mask: Mask, value: int | LabelMap) -> MaskPatch | None:
        """Return the patch that sets the masked pixels of a box, None when nothing changes.

        Parameters
        ----------
        box : BBox
            Inside the image.
        mask : ndarray of shape (box.height, box.width), bool
        value : int or ndarray of the mask's shape
            A class index, or one per pixel.
        """
        if box.is_empty:
            return None
        before = self.label_map[box.slices]
        after = np.where(mask, np.asarray(value, before.dtype), before)
        if np.array_equal(before, after):
            return None
        return MaskPatch(box, before.copy(), after)


class EditingTool(abc.ABC):
    """A way to change a label map with the pointer.

    Attributes
    ----------
    title, shortcut : str
        What a person reads; the key.
    has_brush : bool
        Whether a size preview follows the pointer.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    shortcut: ClassVar[str] = ""
    has_brush: ClassVar[bool] = False
    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    @abc.abstractmethod
    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeSteps:
        """Run one stroke, from the press in ``event`` to the release."""


TOOLS: Registry[type[EditingTool]] = Registry("tool", "segstudio.editing.tools")


class StrokeDriver:
    """Runs a tool against a document.

    Parameters
    ----------
    document : MaskDocument
    tool : EditingTool
    active_class : int
    source : ndarray of shape (H, W), optional
        See `ToolView`.
    """

    def __init__(
        self,
        document: MaskDocument,
        tool: EditingTool,
        active_class: int,
        *,
        source: LabelMap | None = None,
    ) -> None:
        self._document = document
        self._tool = tool
        self._view = ToolView(document.label_map, active_class, document.ignore_index, source)
        self._steps: StrokeSteps | None = None

    @property
    def is_active(self) -> bool:
        """Whether a stroke is going on."""
        return self._steps is not None

    def handle(self, event: PointerEvent) -> Stroke | None:
        """Pass one event on; the release returns the finished stroke if it changed anything.

        Raises
        ------
        SegStudioError
            When the tool fails; what its stroke did is taken back.
        """
        if event.kind is PointerKind.CANCEL:
            self.cancel()
            return None
        if event.kind is PointerKind.PRESS:
            if self._steps is not None:
                self.cancel()
            self._document.begin_stroke(self._tool.title)
            self._steps = self._tool.stroke(self._view, event)
            self._advance(None)
        elif self._steps is not None:
            self._advance(event)
        if event.kind is PointerKind.RELEASE and self._document.in_stroke:
            self._steps = None
            return self._document.commit_stroke()
        return None

    def cancel(self) -> None:
        """Take the unfinished stroke back."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None
            self._document.abort_stroke()

    def _advance(self, event: PointerEvent | None) -> None:
        assert self._steps is not None
        try:
            patch = next(self._steps) if event is None else self._steps.send(event)
        except StopIteration:
            return
        except SegStudioError:
            self._fail()
            raise
        except Exception as error:  # a plugin's tool may raise anything
            self._fail()
            raise SegStudioError(
                f"The tool {self._tool.title} failed and its stroke was taken back: {error}."
            ) from error
        if patch is not None:
            self._document.apply(patch)

    def _fail(self) -> None:
        self._steps = None
        self._document.abort_stroke()
