"""Reports from the menu: scores, plots and failures in a folder, written as a job."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QDialog

from segstudio.core.errors import SegStudioError
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dialogs.report import ReportDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.palettes import class_style

__all__ = ["ReportsController"]

_TOPIC = "report"


class ReportsController(QObject):
    """Joins Analyse ▸ Write report… with the session."""

    def __init__(
        self, window: MainWindow, session: Session, bridge: SessionBridge, tasks: Tasks, desk: Desk
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self._folders: dict[str, Path] = {}
        window.actions_["write_report"].triggered.connect(lambda _checked: self.ask())
        bridge.job_changed.connect(self._on_job)

    def ask(self) -> None:
        """Ask which runs and where to, then write."""
        session, window = self._session, self._window
        dataset, runs = session.dataset, session.runs()
        if dataset is None or not runs:
            window.show_notice(
                _TOPIC,
                "Run a model on images with ground truth; then a report can be written.",
            )
            return
        counts = [(record.run, session.finished_count(record.run)) for record in runs]
        dialog = ReportDialog(
            counts,
            chosen=self._desk.run,
            folder=Path(session.settings.get("report_folder") or dataset.root / "report"),
            parent=window,
        )
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.write(dialog.runs, dialog.folder)

    def write(self, runs: list[str], folder: Path) -> None:
        """Write a report of runs; the jobs panel shows how far it is."""
        session = self._session
        try:
            session.settings.set("report_folder", str(folder))
        except SegStudioError as error:
            self._window.show_notice("settings", str(error), kind="warning")

        def on_started(job_id: str) -> None:
            self._folders[job_id] = folder
            for state in session.jobs():
                if state.job_id == job_id:
                    self._on_job(state)  # it may be over already

        style = class_style()  # a report looks like the window
        self._tasks.start(
            _TOPIC,
            lambda: session.studies.start_report(runs, folder, style=style),
            on_started,
            self._fail,
        )

    def _fail(self, error: Exception) -> None:
        self._window.show_notice(_TOPIC, sentence(error), kind="error")

    def _on_job(self, state: JobState) -> None:
        if state.job_id not in self._folders or not state.is_over:
            return
        folder = self._folders.pop(state.job_id)
        if state.state == "done":
            page = folder / "report.html"
            self._window.show_notice(
                _TOPIC,
                f"The report is {page}.",
                kind="done",
                buttons=[("Open it", lambda: _open(page))],
            )
        elif state.state == "cancelled":
            self._window.show_notice(_TOPIC, "No report was written; the regions found are kept.")
        # What failed is said by the session's own problem.


def _open(page: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))
