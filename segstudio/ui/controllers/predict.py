"""Running models: the dialog, the jobs, and results as they come."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QDialog

from segstudio.core.errors import SegStudioError
from segstudio.inference.catalogue import member_names
from segstudio.session.events import JobState, PredictionReady, SampleFailed
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import SessionBridge
from segstudio.ui.dialogs.run import ModelChoice, RunDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import images_text
from segstudio.ui.models.catalogue import best_miou, network_titles, short_title
from segstudio.ui.models.jobs import JobView

__all__ = ["PredictController"]

_SCORES_EVERY_MS = 1500


class PredictController(QObject):
    """Joins run dialog, jobs panel and status bar with the session.

    Attributes
    ----------
    scores_stale : Signal
        More samples are scored; at most every second and a half while a job runs.
    finished : Signal(JobState)
        A run is over.
    more_models_requested : Signal
        The run dialog's models are not enough.
    """

    scores_stale = Signal()
    finished = Signal(object)
    more_models_requested = Signal()

    def __init__(
        self, window: MainWindow, session: Session, bridge: SessionBridge, desk: Desk
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._desk = window, session, desk
        self._bridge = bridge
        self._devices = ["auto", "cpu"]
        self._job_ids: dict[str, str] = {}
        self._current_job = ""
        self._seen_runs: set[str] = set()
        self._scores = QTimer(self)
        self._scores.setSingleShot(True)
        self._scores.setInterval(_SCORES_EVERY_MS)
        self._scores.timeout.connect(self.scores_stale)
        actions = window.actions_
        actions["run"].setEnabled(False)
        actions["cancel_job"].setEnabled(False)
        actions["run"].triggered.connect(lambda _checked: self.ask())
        actions["cancel_job"].triggered.connect(lambda _checked: self._cancel(self._current_job))
        window.jobs_panel.cancel_requested.connect(self._cancel)
        window.jobs_panel.again_requested.connect(self._run_again)
        window.status.cancel_requested.connect(self._cancel)
        bridge.job_changed.connect(self._on_job)
        bridge.prediction_ready.connect(self._on_prediction)
        bridge.sample_failed.connect(self._on_failure)
        bridge.devices_changed.connect(self._on_devices)

    def ask(self) -> None:
        """Show the run dialog and start what it says."""
        session, settings = self._session, self._session.settings
        dataset = session.dataset
        if dataset is None:
            return
        try:
            models = session.library.familiar()
            networks = network_titles(session.catalogue())
            finished = {
                record.model: session.finished_count(record.run) for record in session.runs()
            }
        except SegStudioError as error:
            self._window.show_notice("run", str(error), kind="error")
            return
        choices = [
            ModelChoice(
                model.name,
                short_title(model),
                networks.get(model.architecture, model.architecture),
                model.label_space,
                best_miou(model),
                model.parameters,
                finished.get(model.name, 0),
            )
            for model in models
        ]
        session.request_devices()
        dialog = RunDialog(
            choices,
            self._devices,
            len(dataset),
            chosen=settings.get("run_models", []),
            device=settings.get("device", "auto"),
            precision=settings.get("precision", "auto"),
            parent=self._window,
        )
        self._bridge.devices_changed.connect(lambda _names: dialog.set_devices(self._devices))
        dialog.more_models_requested.connect(dialog.reject)
        dialog.more_models_requested.connect(
            self.more_models_requested, Qt.ConnectionType.QueuedConnection
        )
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        choice = dialog.choice()
        for key, value in (
            ("run_models", list(choice.models)),
            ("device", choice.device),
            ("precision", choice.precision),
        ):
            settings.set(key, value)
        self.start(
            list(choice.runs),
            device=choice.device,
            precision=choice.precision,
            limit=choice.limit,
            restart=choice.restart,
        )

    def start(
        self,
        models: list[str],
        *,
        device: str = "auto",
        precision: str = "auto",
        limit: int | None = None,
        restart: bool = False,
    ) -> None:
        """Run models over the open dataset."""
        try:
            self._session.start_run(
                models, device=device, precision=precision, limit=limit, restart=restart
            )
            used = [member for name in models for member in member_names(name)]
            self._session.library.mark_used(used)
        except SegStudioError as error:
            self._window.show_notice("run", str(error), kind="error")

    def _run_again(self, job_id: str) -> None:
        try:
            self._session.run_again(job_id)
        except SegStudioError as error:
            self._window.show_notice("run", str(error), kind="error")

    def _cancel(self, job_id: str) -> None:
        if job_id:
            self._session.cancel(job_id)

    # -- news -------------------------------------------------------------------------------

    def _on_job(self, state: JobState) -> None:
        job = JobView(
            state.job_id,
            state.title,
            done=state.done,
            total=state.total,
            failed=state.failed,
            seconds_left=state.seconds_left,
            state=state.state,
            message=state.message if state.state not in ("cancelled", "failed") else "",
            unit=state.unit,
            is_run=state.is_run,
        )
        window = self._window
        window.jobs.set_job(job)
        if state.state == "failed" and state.message:
            window.jobs.add_error(state.job_id, "", state.message)
        active = window.jobs.active
        # A run comes before downloads, which go on beside it.
        active.sort(key=lambda entry: entry.unit != "bytes")
        self._current_job = active[-1].job_id if active else ""
        window.status.set_job(active[-1] if active else None)
        window.actions_["cancel_job"].setEnabled(bool(active))
        if state.is_over and state.unit == "samples":
            self._desk.refresh_runs()
            self.scores_stale.emit()
            self.finished.emit(state)
            if state.failed:
                window.show_notice(
                    "run",
                    f"{state.failed} of {images_text(state.total)} failed; the Jobs panel says "
                    "why.",
                    kind="warning",
                )

    def _on_prediction(self, event: PredictionReady) -> None:
        if event.generation != self._session.generation:
            return
        window, desk = self._window, self._desk
        self._job_ids[event.run] = self._current_job
        window.samples.set_status(event.sample_id, self._status_after(event.sample_id))
        desk.forget(event.sample_id, event.run)
        if event.problem is not None:
            window.jobs.add_error(self._current_job, event.sample_id, event.problem)
        if desk.run != event.run and (not desk.run or self._is_new(event.run)):
            desk.refresh_runs(choose=event.run)
        if desk.run == event.run:
            window.samples.set_score(event.sample_id, event.miou)
            if desk.sample_id == event.sample_id:
                desk.reload(fresh=True)
        if not self._scores.isActive():
            self._scores.start()

    def _status_after(self, sample_id: str) -> str:
        before = self._window.samples.status(sample_id)
        return before if before in ("in progress", "corrected") else "predicted"

    def _is_new(self, run: str) -> bool:
        """Whether a run has just begun: then its results are what one wants to see."""
        fresh = run not in self._seen_runs
        self._seen_runs.add(run)
        return fresh

    def _on_failure(self, event: SampleFailed) -> None:
        job_id = event.job_id or self._current_job
        self._window.jobs.add_error(job_id, event.sample_id, event.error)

    def _on_devices(self, names: list[str]) -> None:
        self._devices = ["auto", *names]
