"""Runs a tool's strokes against a document."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox, Image, LabelMap
from segstudio.editing.document import MaskDocument
from segstudio.editing.geometry import moved
from segstudio.editing.rules import PaintRules, Protection
from segstudio.editing.stroke import Stroke
from segstudio.editing.superpixels import Segments
from segstudio.editing.tool import (
    Answer,
    EditingTool,
    StrokeGenerator,
    ToolError,
    ToolView,
    patches_of,
)

__all__ = ["StrokeDriver", "Surroundings"]

_PART = 1 << 19
"""Pixels of a large patch that are applied at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a tool may look at beside the label map; see `ToolView` for the meanings.

    Attributes
    ----------
    source : ndarray of shape (H, W) or None
    image : ndarray of shape (H, W, 3), uint8, or None
    layers : mapping of str to ndarray of shape (H, W)
    segments : Segments or None
    region : BBox or None
    """

    source: LabelMap | None = None
    image: Image | None = None
    layers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    segments: Segments | None = None
    region: BBox | None = None


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
    surroundings : Surroundings, optional
        What else the tool may look at; its ``source`` counts when ``source`` is left out.
    rules : PaintRules, optional
        What may be painted over; everything when left out.
    window : BBox, optional
        The only part of the map that the tool is shown, for slow tools on very large maps.  To the
        tool it is a whole image; everything when left out.
    stroke_name : str, optional
        What the history list says; the tool's title when left out.

    Raises
    ------
    UsageError
        When the active class is not of the document's label space, or a rule needs the entropy
        and there is none.
    SizeMismatchError
        When a layer has another size.
    """

    def __init__(
        self,
        document: MaskDocument,
        tool: EditingTool,
        *,
        active_class: int,
        options: Any = None,
        source: LabelMap | None = None,
        surroundings: Surroundings | None = None,
        rules: PaintRules | None = None,
        stroke_name: str | None = None,
        window: BBox | None = None,
    ) -> None:
        if not 0 <= active_class < document.classes and active_class != document.ignore_index:
            raise UsageError(
                f"There is no class {active_class} to paint with: the label space has "
                f"{document.classes} classes."
            )
        around = Surroundings() if surroundings is None else surroundings
        source = around.source if source is None else source
        _check_sizes(document, {**around.layers, "source": source, "image": around.image})
        self._document = document
        self._tool = tool
        self._name = stroke_name or tool.title
        self._window = window
        view = ToolView(
            document.label_map,
            active_class,
            document.ignore_index,
            tool.Options() if options is None else options,
            source,
            around.image,
            around.layers,
            around.segments,
            around.region,
        )
        self._view = view if window is None else view.cut(window)
        self._protection = Protection(
            rules or PaintRules(), document.label_map, around.layers.get("entropy")
        )
        self._revision = document.revision
        self._is_active = False
        self._generator: StrokeGenerator | None = None

    @property
    def is_active(self) -> bool:
        """Whether a stroke was begun and is neither finished nor taken back."""
        return self._is_active

    @property
    def held_back(self) -> int:
        """Pixels that the tool would have changed, but the rules of painting kept."""
        return self._protection.held_back

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
            self._generator = self._tool.stroke(self._view, self._inward(event))
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
        return self._document.commit_stroke() if self.end(event) else None

    def end(self, event: PointerEvent) -> bool:
        """Let the tool answer the release, but leave the stroke open.

        `MaskDocument.commit_stroke` then finishes it; a window that must not stand still for a
        large stroke calls `MaskDocument.prepare_commit` in a thread before.

        Returns
        -------
        bool
            Whether there is a stroke to finish.

        Raises
        ------
        SegStudioError
            When the tool fails; the stroke is taken back.
        """
        if not self._is_active:
            return False
        self._advance(event)
        try:
            self._close_generator()
        except Exception as error:
            raise self._failed(error) from error
        self._is_active = False
        return True

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

    def find(self, events: Sequence[PointerEvent]) -> MaskPatch | None:
        """Return what a slow tool would change; nothing is changed and no stroke is begun.

        May run in another thread than the document's: what is painted meanwhile makes the answer
        useless, and `paint` then says so.

        Parameters
        ----------
        events : sequence of PointerEvent
            The whole stroke, from press to release.

        Raises
        ------
        SegStudioError
            When the tool fails.
        """
        found: list[MaskPatch] = []
        try:
            generator = self._tool.stroke(self._view, self._inward(events[0]))
            found += self._outward(next(generator))
            for event in events[1:]:
                found += self._outward(generator.send(self._inward(event)))
            generator.close()
        except StopIteration:
            pass
        except Exception as error:
            raise self._told(error, "nothing was changed") from error
        if len(found) > 1:
            raise ToolError(f"The tool {self._tool.title} answered twice; nothing was changed.")
        return self._protection.restrict(found[0]) if found else None

    def paint(self, patch: MaskPatch | None) -> Stroke | None:
        """Apply what `find` returned as one stroke; return it, None when nothing changes.

        A window that must not stand still for a large patch uses `paint_parts`.

        Raises
        ------
        ToolError
            When the label map is another than when this driver was made.
        WriteError
            When the journal cannot be written; the stroke stands.
        """
        if patch is None:
            return None
        for _ in self.paint_parts(patch):
            pass
        return self._document.commit_stroke()

    def paint_parts(self, patch: MaskPatch) -> Generator[None]:
        """Apply what `find` returned a part at a time, half a million pixels between two yields.

        At the end the stroke is complete but open: `MaskDocument.commit_stroke` finishes it.  When
        the generator is closed before, the stroke is taken back.

        Raises
        ------
        ToolError
            When the label map is another than when this driver was made; no stroke is begun.
        """
        if self._document.revision != self._revision:
            raise ToolError(
                f"The label map changed while {self._tool.title} was at work; use it once more."
            )
        self._document.begin_stroke(self._name)
        try:
            for part in _parts(patch):
                self._document.apply(part)
                yield
        except BaseException:
            self._document.abort_stroke()
            raise

    def _advance(self, event: PointerEvent | None) -> None:
        if self._generator is None:
            return
        try:
            if event is None:
                answer = next(self._generator)
            else:
                answer = self._generator.send(self._inward(event))
            patches = self._outward(answer)
        except StopIteration:
            self._generator = None
            return
        except Exception as error:
            raise self._failed(error) from error
        try:
            for patch in patches:
                allowed = self._protection.restrict(patch)
                if allowed is not None:
                    self._document.apply(allowed)
        except BaseException:
            self._abandon()
            raise

    def _inward(self, event: PointerEvent) -> PointerEvent:
        """Return an event in the coordinates of the window."""
        if self._window is None:
            return event
        top, left = self._window.top, self._window.left
        return replace(event, row=event.row - top, col=event.col - left)

    def _outward(self, answer: Answer) -> tuple[MaskPatch, ...]:
        """Return the patches of an answer in the coordinates of the map."""
        patches, window = patches_of(answer), self._window
        if window is None:
            return patches
        return tuple(
            replace(patch, box=moved(patch.box, window.top, window.left)) for patch in patches
        )

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
        return self._told(error, "its stroke was taken back")

    def _told(self, error: Exception, outcome: str) -> SegStudioError:
        if isinstance(error, SegStudioError):
            return error
        return ToolError(
            f"The tool {self._tool.title} failed and {outcome}: {type(error).__name__}, {error}."
        )


def _parts(patch: MaskPatch) -> Iterator[MaskPatch]:
    """Cut a patch into bands of rows."""
    box, rows = patch.box, max(1, _PART // patch.box.width)
    for top in range(0, box.height, rows):
        band = slice(top, min(top + rows, box.height))
        where = BBox(box.top + band.start, box.left, box.top + band.stop, box.right)
        yield MaskPatch(where, patch.before[band], patch.after[band])


def _check_sizes(document: MaskDocument, layers: Mapping[str, NDArray[Any] | None]) -> None:
    for name, layer in layers.items():
        if layer is not None and layer.shape[:2] != document.shape:
            raise SizeMismatchError(
                f"The {name.replace('_', ' ')} layer has {layer.shape[0]} x {layer.shape[1]} "
                f"pixels, but the correction has {document.shape[0]} x {document.shape[1]}."
            )
