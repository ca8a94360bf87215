"""Runs a tool's strokes against a document."""

from __future__ import annotations

from typing import Any

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import LabelMap
from segstudio.editing.document import MaskDocument
from segstudio.editing.stroke import Stroke
from segstudio.editing.tool import EditingTool, StrokeGenerator, ToolError, ToolView

__all__ = ["StrokeDriver"]


class StrokeDriver:
    """Takes pointer events, lets a tool answer and applies its patches.

    Cheap to make: a new one for every change of tool, class or options.

    Parameters
    ----------
    document : MaskDocument
        What is painted.
    tool : EditingTool
        With what.
    active_class : int
        The class to paint with, or the ignore index.
    options : Options, optional
        A value of the tool's ``Options``; the defaults when left out.
    source : ndarray of shape (H, W), optional
        What the correction was started from, for tools that restore it.
    stroke_name : str, optional
        What the history list says; the tool's title when left out.

    Raises
    ------
    UsageError
        When the active class is not of the document's label space.
    SizeMismatchError
        When ``source`` has another size.
    """

    def __init__(
        self,
        document: MaskDocument,
        tool: EditingTool,
        *,
        active_class: int,
        options: Any = None,
        source: LabelMap | None = None,
        stroke_name: str | None = None,
    ) -> None:
        if not 0 <= active_class < document.classes and active_class != document.ignore_index:
            raise UsageError(
                f"There is no class {active_class} to paint with: the label space has "
                f"{document.classes} classes."
            )
        if source is not None and source.shape != document.shape:
            raise SizeMismatchError(
                f"The source layer has {source.shape[0]} x {source.shape[1]} pixels, but the "
                f"correction has {document.shape[0]} x {document.shape[1]}."
            )
        self._document = document
        self._tool = tool
        self._name = stroke_name or tool.title
        self._view = ToolView(
            document.label_map,
            active_class,
            document.ignore_index,
            tool.Options() if options is None else options,
            source,
        )
        self._is_active = False
        self._generator: StrokeGenerator | None = None

    @property
    def is_active(self) -> bool:
        """Whether a stroke was begun and is neither finished nor taken back."""
        return self._is_active

    def handle(self, event: PointerEvent) -> Stroke | None:
        """Do what the event's kind asks for; return the stroke that a release finished."""
        if event.kind is PointerKind.PRESS:
            self.press(event)
        elif event.kind is PointerKind.MOVE:
            self.move(event)
        elif event.kind is PointerKind.RELEASE:
            return self.release(event)
        else:
            self.cancel()
        return None

    def press(self, event: PointerEvent) -> None:
        """Begin a stroke.

        Raises
        ------
        SegStudioError
            When another stroke is not finished, or the tool fails; it is taken back then.
        """
        self._document.begin_stroke(self._name)
        self._is_active = True
        try:
            self._generator = self._tool.stroke(self._view, event)
        except Exception as error:
            raise self._failed(error) from error
        self._advance(None)

    def move(self, event: PointerEvent) -> None:
        """Go on with the stroke; without one (it was cancelled) nothing happens.

        Raises
        ------
        SegStudioError
            When the tool fails; the stroke is taken back.
        """
        if self._is_active:
            self._advance(event)

    def release(self, event: PointerEvent) -> Stroke | None:
        """Finish the stroke; return it, None when nothing is another than before.

        Raises
        ------
        WriteError
            When the journal cannot be written; the stroke stands.
        SegStudioError
            When the tool fails; the stroke is taken back.
        """
        if not self._is_active:
            return None
        self._advance(event)
        try:
            self._close_generator()
        except Exception as error:
            raise self._failed(error) from error
        self._is_active = False
        return self._document.commit_stroke()

    def cancel(self) -> None:
        """Take the unfinished stroke back; without one nothing happens."""
        if not self._is_active:
            return
        try:
            self._close_generator()
        except Exception as error:
            raise self._failed(error) from error
        self._is_active = False
        self._document.abort_stroke()

    def _advance(self, event: PointerEvent | None) -> None:
        if self._generator is None:
            return
        try:
            patch = next(self._generator) if event is None else self._generator.send(event)
            if patch is not None and not isinstance(patch, MaskPatch):
                raise TypeError(f"it answered with a {type(patch).__name__}, not with a patch")
        except StopIteration:
            self._generator = None
            return
        except Exception as error:
            raise self._failed(error) from error
        if patch is None:
            return
        try:
            self._document.apply(patch)
        except BaseException:
            self._abandon()
            raise

    def _close_generator(self) -> None:
        generator, self._generator = self._generator, None
        if generator is not None:
            generator.close()

    def _abandon(self) -> None:
        self._is_active = False
        self._generator = None
        self._document.abort_stroke()

    def _failed(self, error: Exception) -> SegStudioError:
        """Take the stroke back and return what to tell the user."""
        self._abandon()
        if isinstance(error, SegStudioError):
            return error
        return ToolError(
            f"The tool {self._tool.title} failed and its stroke was taken back: "
            f"{type(error).__name__}, {error}."
        )
