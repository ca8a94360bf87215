"""Corrections: opened and saved with their image, repainted and scored with every stroke."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.editing.live_counts import LiveCounts
from segstudio.session.corrections import GROUND_TRUTH, Correction
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk, Shown
from segstudio.ui.controllers.painting import Painter
from segstudio.ui.controllers.saving import Saver
from segstudio.ui.controllers.score import ScoreController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor

__all__ = ["EditController"]

_LIVE_MS = 50

_DRAWN_MS = 20
"""After which a workspace's panels are laid out and drawn.  What else it takes to correct comes
then, so that neither makes the window stand still for long."""


class EditController(QObject):
    """Joins painting, layers, scores and files of the correction shown.

    Attributes
    ----------
    opened : Signal(Correction)
        The sample shown can be painted.
    saved : Signal(str)
        A sample's correction is on the disk.
    """

    opened = Signal(object)
    saved = Signal(str)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        scores: ScoreController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._scores = desk, scores
        self.correction: Correction | None = None
        self._counts: LiveCounts | None = None
        self._painter = Painter(window, session, tasks, desk)
        self._saver = Saver(window, session, tasks)
        self._prediction_was_visible = True
        self._last_class = 1
        self._status_before = ""
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(_LIVE_MS)
        self._live.timeout.connect(self._show_live)
        self._connect()

    def _connect(self) -> None:
        window, actions = self._window, self._window.actions_
        for digit in range(1, 10):
            actions[f"favourite_{digit}"].triggered.connect(
                lambda _checked, digit=digit: self._choose_favourite(digit)
            )
        actions["undo"].triggered.connect(lambda _checked: self.travel("undo"))
        actions["redo"].triggered.connect(lambda _checked: self.travel("redo"))
        actions["save"].triggered.connect(lambda _checked: self.save())
        actions["swap_class"].triggered.connect(lambda _checked: self._swap_class())
        self._saver.saved.connect(self._on_saved)
        window.workspace_changed.connect(self._on_workspace)
        self._painter.class_picked.connect(self._on_picked)
        window.classes_panel.class_chosen.connect(self.choose_class)
        window.classes_panel.favourite_requested.connect(window.legend.set_favourite)
        window.classes_panel.view.digit_pressed.connect(window.legend.set_favourite)
        self._desk.leaving.connect(self._on_leaving)
        self._desk.shown_changed.connect(self._on_shown)
        self._desk.space_changed.connect(lambda _space: self._show_class())
        self._follow_state()

    # -- workspace and sample ---------------------------------------------------------------

    @property
    def is_correcting(self) -> bool:
        """Whether the Correct workspace is shown."""
        return self._window.workspace == "correct"

    def _on_workspace(self, name: str) -> None:
        panel = self._window.layers_panel
        if name == "correct":
            self._prediction_was_visible = panel.is_visible("prediction")
            panel.set_visible("prediction", False)
            panel.set_visible("correction", True)
            QTimer.singleShot(_DRAWN_MS, self, self._begin_correcting)
        else:
            self._painter.rest()
            panel.set_visible("prediction", self._prediction_was_visible)
            self._painter.finish_stroke()
            if self.correction is not None and self.correction.document.is_dirty:
                self.save()

    def _begin_correcting(self) -> None:
        if self.is_correcting:
            self._painter.resume()
            # The thread that opens the map would hold up the drawing of the tools.
            QTimer.singleShot(_DRAWN_MS, self, lambda: self._on_shown(self._desk.shown))

    def _on_shown(self, shown: Shown | None) -> None:
        if shown is None or not self.is_correcting:
            return
        if self.correction is not None and self.correction.sample_id == shown.sample_id:
            return
        source: str | None = None
        if shown.prediction is not None:
            source = shown.run
        elif shown.target is not None:
            source = GROUND_TRUTH
        sample_id = shown.sample_id
        self._tasks.start(
            "correction",
            lambda: self._open(sample_id, source),
            self._on_opened,
            self._on_failed,
            priority=2,
        )

    def _open(self, sample_id: str, source: str | None) -> tuple[Correction, LiveCounts]:
        """Open a correction and count its pixels; runs in a thread."""
        correction = self._session.open_correction(sample_id, source=source)
        return correction, LiveCounts(correction.document, correction.live)

    def _on_opened(self, opened: tuple[Correction, LiveCounts]) -> None:
        correction, counts = opened
        if correction.sample_id != self._desk.sample_id:
            counts.close()
            self._session.corrections.leave(correction.sample_id)
            return
        self.correction = self._painter.correction = correction
        document = correction.document
        self._counts = counts
        document.changed.connect(self._on_changed)
        document.state_changed.connect(self._on_state)
        self._saver.follow(correction)
        self._desk.corrected = document.label_map
        if self._desk.space is None or self._desk.space.names != correction.label_space.names:
            self._desk.space = correction.label_space
            self._desk.space_changed.emit(correction.label_space)
        self._desk.lay()
        self._follow_state()
        self._show_class()
        self._show_live()
        if correction.recovered_strokes:
            count = correction.recovered_strokes
            self._window.show_notice(
                "recovered",
                f"{count} stroke{'s' if count > 1 else ''} that had not been saved "
                f"{'are' if count > 1 else 'is'} back; Ctrl+Z takes them away one by one.",
                kind="done",
            )
        if correction.note:
            self._window.show_notice("recovered", correction.note, kind="warning")
        self.opened.emit(correction)

    def _on_failed(self, error: Exception) -> None:
        self._window.show_notice("correct", sentence(error), kind="warning")

    def put_away(self) -> None:
        """Save and close the correction of the image shown, so that a job can change it."""
        if self.correction is not None:
            self._on_leaving(self.correction.sample_id)
            self._desk.lay()

    def take_up(self) -> None:
        """Open the correction of the image shown again."""
        self._on_shown(self._desk.shown)

    def _on_leaving(self, sample_id: str) -> None:
        self._painter.give_up()
        correction = self.correction
        if correction is None:
            return
        self._painter.finish_stroke()
        document = correction.document
        document.changed.disconnect(self._on_changed, missing_ok=True)
        document.state_changed.disconnect(self._on_state, missing_ok=True)
        if self._counts is not None:
            self._counts.close()
        self.correction = self._painter.correction = self._counts = None
        self._status_before = ""
        self._saver.follow(None)
        self._desk.corrected = None
        # Saved in a thread: the next image need not wait for it.
        saved = self._session.corrections.leave(sample_id).result
        self._tasks.start(
            f"leave {sample_id}",
            saved,
            lambda was_saved: self._on_saved(sample_id) if was_saved else None,
        )
        self._follow_state()

    # -- what strokes change ----------------------------------------------------------------

    def _on_changed(self, patch: MaskPatch) -> None:
        self._desk.labels["correction"].update_box(patch.box)
        self._desk.errors.update_box(patch.box)
        self._saver.note_change()
        if not self._live.isActive():
            self._live.start()

    def _show_live(self) -> None:
        correction = self.correction
        if correction is not None:
            confusion = None if correction.live is None else correction.live.confusion
            assert self._counts is not None
            self._scores.show_live(confusion, self._counts.shares)

    def travel(self, way: str) -> None:
        """Undo or redo ("undo", "redo") a stroke; what is under way is finished first."""
        self._painter.travel(way)

    # -- saving -----------------------------------------------------------------------------

    def save_if_dirty(self) -> None:
        """Save and wait for it, before the files are read or the window closes.

        A stroke that goes on is finished first.
        """
        self._painter.finish_stroke()
        correction = self.correction
        if correction is None or not correction.document.is_dirty:
            return
        try:
            self._session.save_correction(correction.sample_id)
        except SegStudioError as error:
            self._window.show_notice(
                "save", f"{error} The strokes are kept in the journal.", kind="error"
            )
            return
        self._on_saved(correction.sample_id)

    def save(self) -> None:
        """Save the correction of the sample shown, in a thread."""
        self._painter.finish_stroke()
        self._saver.save()

    def _on_saved(self, sample_id: str) -> None:
        correction = self.correction
        again = correction is not None and correction.sample_id == sample_id
        if not (again and correction.document.is_dirty):  # type: ignore[union-attr]
            self._window.samples.set_status(sample_id, "corrected")
            if again:
                self._status_before = ""
        self._follow_state()
        self.saved.emit(sample_id)

    def _on_state(self) -> None:
        """Hear that a stroke was finished, undone or redone, or that the map was saved."""
        self._follow_state()
        self._saver.note_stroke()
        self._desk.release_pages()

    def _follow_state(self) -> None:
        """Enable undo, redo and save, and say what the correction is."""
        actions, correction = self._window.actions_, self.correction
        document = None if correction is None else correction.document
        actions["undo"].setEnabled(document is not None and document.history.can_undo)
        actions["redo"].setEnabled(document is not None and document.history.can_redo)
        actions["save"].setEnabled(document is not None and document.is_dirty)
        if correction is None or document is None:
            self._window.tool_strip.set_state("")
            return
        source = {None: "an empty map", GROUND_TRUTH: "ground truth"}.get(
            correction.source, correction.source
        )
        samples, sample_id = self._window.samples, correction.sample_id
        if document.is_dirty:
            if not self._status_before:
                self._status_before = samples.status(sample_id)
            samples.set_status(sample_id, "in progress")
        elif self._status_before:  # every stroke was undone
            samples.set_status(sample_id, self._status_before)
            self._status_before = ""
        state = "not saved yet" if document.is_dirty else "saved"
        self._window.tool_strip.set_state(f"{state.capitalize()}  ·  from {source}")

    # -- tool and class ---------------------------------------------------------------------

    def _on_picked(self, class_index: int) -> None:
        if class_index < self._window.legend.rowCount():
            self.choose_class(class_index)
            self._window.classes_panel.reveal(class_index)

    def choose_class(self, class_index: int) -> None:
        """Paint with a class from now on."""
        if class_index != self._window.legend.active:
            self._last_class = self._window.legend.active
        self._window.legend.set_active(class_index)
        self._show_class()

    def _swap_class(self) -> None:
        """Paint with the class that was used before the present one."""
        if self._last_class < self._window.legend.rowCount():
            self.choose_class(self._last_class)

    def _choose_favourite(self, digit: int) -> None:
        favourites = self._window.legend.favourites
        if digit <= len(favourites) and favourites[digit - 1] >= 0:
            self.choose_class(favourites[digit - 1])

    def _show_class(self) -> None:
        space, active = self._desk.space, self._window.legend.active
        if space is not None and active < len(space):
            entry = space.classes[active]
            self._window.tool_strip.set_class(short_name(entry.name), ClassColor.of(entry))
