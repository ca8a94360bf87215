"""What leaves and enters: exports, and predictions of other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QFileDialog, QMessageBox

from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import (
    label_space_names,
    load_label_space,
    load_mapping,
    mapping_names,
)
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.session.transfers import ExistingFiles, TransferDone
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dialogs.export import ExportChoice, ExportDialog, ExporterChoice, ask_existing
from segstudio.ui.dialogs.import_run import ImportChoice, ImportDialog
from segstudio.ui.main_window import MainWindow

__all__ = ["TransferController"]


class TransferController(QObject):
    """Asks, starts the jobs, and says what came of them."""

    _finished = Signal(object)  # from a job's thread to this one

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        edit: EditController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self._topics: dict[str, str] = {}  # strips by job
        actions = window.actions_
        actions["export"].triggered.connect(lambda _checked: self.export())
        actions["import_predictions"].triggered.connect(lambda _checked: self.import_predictions())
        session.transfers.finished.connect(self._finished.emit)
        self._finished.connect(self._on_finished)
        bridge.job_changed.connect(self._on_job)

    # -- export -----------------------------------------------------------------------------

    def export(self) -> None:
        """Ask what to export and where, then look what is there already."""
        session, window = self._session, self._window
        if session.dataset is None:
            window.show_notice(
                "export", "Open a dataset first; then its label maps can be exported."
            )
            return
        sources = self._sources()
        if not sources:
            window.show_notice(
                "export", "There is nothing to export yet: run a model or correct an image."
            )
            return
        from segstudio.exporters.base import EXPORTERS

        dialog = ExportDialog(
            sources,
            [ExporterChoice(n, entry.description, entry.Options) for n, entry in EXPORTERS.items()],
            session.dataset.root / "export",
            remarks=lambda what, name, options: session.transfers.remarks(name, what, options),
            exporter=session.settings.get("exporter", "index-png"),
            parent=window,
        )
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self._edit.save_if_dirty()
            self._look(dialog.choice())

    def _sources(self) -> list[tuple[str, str]]:
        """Return what can be exported: key and title."""
        session, found = self._session, []
        corrected = len(session.store.corrected_samples())
        if corrected:
            found.append(("corrections", f"Corrections ({corrected})"))
        for record in session.runs():
            count = session.finished_count(record.run)
            found.append((f"prediction:{record.run}", f"Prediction of {record.run} ({count})"))
        dataset = session.dataset
        if dataset is not None and dataset.has_targets and dataset.label_space is not None:
            found.append(("ground-truth", "Ground truth"))
        return found

    def _look(self, choice: ExportChoice) -> None:
        """Look in a thread which files are there, then go on or ask."""
        try:
            self._session.settings.set("exporter", choice.exporter)
        except SegStudioError as error:
            self._window.show_notice("settings", str(error), kind="warning")
        self._window.show_notice("export", f"Looking at {choice.destination} …")
        self._tasks.start(
            "export",
            lambda: self._session.transfers.find_existing(
                choice.exporter, choice.destination, choice.what, choice.options
            ),
            partial(self._on_looked, choice),
            self._on_refused,
        )

    def _on_looked(self, choice: ExportChoice, found: ExistingFiles) -> None:
        answer: str | None = "refuse"
        if found.there:
            answer = ask_existing(
                self._window, choice.destination, found.there, found.total, found.first
            )
        if answer == "other":
            folder = QFileDialog.getExistingDirectory(
                self._window, "Export to", str(choice.destination.parent)
            )
            if folder:
                self._look(ExportChoice(choice.what, choice.exporter, Path(folder), choice.options))
                return
            answer = None
        if answer is None:
            self._window.notices.dismiss("export")
            return
        self._window.show_notice("export", f"Exporting to {choice.destination} …")
        self._tasks.start(
            "export",
            lambda: self._session.transfers.start_export(
                choice.exporter,
                choice.destination,
                what=choice.what,
                options=choice.options,
                existing=answer,  # type: ignore[arg-type]
            ),
            lambda job_id: self._started(job_id, "export"),
            self._on_refused,
        )

    def _on_refused(self, error: Exception) -> None:
        self._window.show_notice("export", sentence(error), kind="error")

    # -- import -----------------------------------------------------------------------------

    def import_predictions(self) -> None:
        """Ask for predictions of another program and bring them in as a run."""
        session, window = self._session, self._window
        dataset = session.dataset
        if dataset is None:
            window.show_notice("import", "Open the dataset that was predicted first.")
            return
        dialog = ImportDialog(
            dataset.label_space.name if dataset.label_space is not None else "",
            label_space_names(),
            mapping_names(),
            dataset.root,
            parent=window,
        )
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self._import(dialog.choice())

    def _import(self, choice: ImportChoice) -> None:
        self._window.show_notice("import", f"Importing {choice.predictions} …")
        try:
            job_id = self._session.transfers.start_import(
                choice.predictions,
                name=choice.name or None,
                values=choice.values,
                label_space=load_label_space(choice.label_space) if choice.label_space else None,
                mapping=load_mapping(choice.mapping) if choice.mapping else None,
            )
        except SegStudioError as error:
            self._window.show_notice("import", str(error), kind="error")
            return
        self._started(job_id, "import")

    # -- news -------------------------------------------------------------------------------

    def _started(self, job_id: str, topic: str) -> None:
        self._topics[job_id] = topic
        for state in self._session.transfers.jobs.states():
            if state.job_id == job_id:
                self._on_job(state)  # it may be over already

    def _on_job(self, state: JobState) -> None:
        """Take the strip of a job away that was stopped or failed; others say why."""
        topic = self._topics.get(state.job_id)
        if topic is not None and state.is_over:
            del self._topics[state.job_id]
            if state.state != "done":
                self._window.notices.dismiss(topic)

    def _on_finished(self, done: TransferDone) -> None:
        window = self._window
        if done.kind == "import":
            self._desk.refresh_runs(choose=done.run)
        kind = "warning" if done.failed else "done"
        buttons = []
        if done.notes:
            noun = "note" if len(done.notes) == 1 else "notes"
            buttons = [(f"{len(done.notes)} {noun}…", lambda: self._show_notes(done))]
        window.show_notice(done.kind, done.sentence, kind=kind, buttons=buttons)

    def _show_notes(self, done: TransferDone) -> None:
        box = QMessageBox(self._window)
        box.setWindowTitle("Export" if done.kind == "export" else "Import")
        box.setIcon(QMessageBox.Icon.Information)
        box.setText(done.sentence)
        box.setInformativeText("\n\n".join(done.notes))
        box.exec()
