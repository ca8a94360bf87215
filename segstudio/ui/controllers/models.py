"""Models: the dialog that finds them, downloads, and checkpoints that are dropped or opened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog

from segstudio.checkpoints.readers import checkpoint_suffixes
from segstudio.core.errors import SegStudioError
from segstudio.inference.catalogue import ModelInfo
from segstudio.session.costs import known_costs
from segstudio.session.events import JobState, ModelReport
from segstudio.session.inspection import describe, fit_problem
from segstudio.session.session import Session
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dialogs.models import ModelsDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.catalogue import Fetching

__all__ = ["ModelsController"]

_SETTING = "models_dialog"


class ModelsController(QObject):
    """Joins the models dialog and dropped checkpoints with the session.

    Attributes
    ----------
    dialog : ModelsDialog or None
        Made when it is first wanted; it stays beside the window.
    """

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        predict: PredictController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._predict = predict
        self.dialog: ModelsDialog | None = None
        self._downloads: dict[str, str] = {}  # job id -> name of the model
        self._looked_at: set[str] = set()
        window.actions_["models"].triggered.connect(lambda _checked: self.show())
        window.actions_["open_model"].triggered.connect(lambda _checked: self.ask_file())
        predict.more_models_requested.connect(self.show)
        bridge.model_inspected.connect(self._on_report)
        bridge.job_changed.connect(self._on_job)
        bridge.dataset_opened.connect(lambda _dataset: self._refresh())

    # -- the dialog ---------------------------------------------------------------------------

    def show(self, name: str = "") -> None:
        """Show the dialog, with the card of a model when one is named."""
        if self.dialog is None:
            self.dialog = self._make_dialog()
        if name:
            self.dialog.show_model(name)
        if self.dialog.isVisible():
            self.dialog.raise_()
        self.dialog.show()
        self.dialog.activateWindow()
        self.dialog.search.setFocus()
        self.dialog.search.selectAll()
        self._refresh()

    def _make_dialog(self) -> ModelsDialog:
        dialog = ModelsDialog(self._window)
        dialog.restore_state(self._session.settings.get(_SETTING))
        dialog.download_requested.connect(self.download)
        dialog.cancel_requested.connect(self._cancel)
        dialog.run_requested.connect(self.run)
        dialog.run_requested.connect(lambda _name: dialog.close())  # the picture is behind it
        dialog.remove_requested.connect(self._remove)
        dialog.file_requested.connect(self.ask_file)
        dialog.path_dropped.connect(self._window.path_dropped)
        dialog.model_chosen.connect(self._on_chosen)
        dialog.finished.connect(lambda _code: self.save_state())
        for state in self._session.jobs():
            self._show_download(dialog, state)
        return dialog

    def save_state(self) -> None:
        """Keep filters and geometry for the next time."""
        if self.dialog is None:
            return
        try:
            self._session.settings.set(_SETTING, self.dialog.save_state())
        except SegStudioError as error:
            self._window.show_notice("settings", str(error), kind="warning")

    def _refresh(self) -> None:
        """List the models anew when someone sees them."""
        if self.dialog is None or not self.dialog.isVisible():
            return
        self.dialog.set_runnable(self._session.dataset is not None)
        self._tasks.start("catalogue", self._session.catalogue, self._on_catalogue)

    def _on_catalogue(self, models: list[ModelInfo]) -> None:
        if self.dialog is None:
            return
        fits = self._session.library.fits
        own = [model.name for model in models if not model.embedded and model.url is None]
        self.dialog.set_models(models, [name for name in own if not fits(name)])

    def _on_chosen(self, name: str) -> None:
        """Complete the card: what the model costs here; a file that nobody has looked at yet."""
        dialog = self.dialog
        model = None if dialog is None else dialog.models.find(name)
        if dialog is None or model is None:
            return
        dialog.set_costs(name, known_costs(name))
        unknown = not model.card and not model.embedded and model.url is None
        if unknown and name not in self._looked_at:
            self._looked_at.add(name)
            self._session.inspect_model(name)

    def _remove(self, name: str) -> None:
        self._session.library.remove(name)
        self._looked_at.discard(name)
        self._refresh()

    def run(self, name: str) -> None:
        """Run a model on the open dataset with the device and precision chosen last."""
        settings = self._session.settings
        self._predict.start(
            [name],
            device=settings.get("device", "auto"),
            precision=settings.get("precision", "auto"),
        )

    # -- downloads ----------------------------------------------------------------------------

    def download(self, name: str) -> None:
        """Fetch a published model; closing the dialog does not stop it."""
        try:
            job_id = self._session.download_model(name)
        except SegStudioError as error:
            self._window.show_notice("models", str(error), kind="error")
            return
        self._downloads[job_id] = name
        for state in self._session.jobs():
            if state.job_id == job_id:
                self._on_job(state)

    def _cancel(self, name: str) -> None:
        for job_id, model in self._downloads.items():
            if model == name:
                self._session.cancel(job_id)

    def _on_job(self, state: JobState) -> None:
        name = self._downloads.get(state.job_id)
        if name is None:
            return
        if self.dialog is not None:
            self._show_download(self.dialog, state)
        if state.is_over:
            del self._downloads[state.job_id]
            if state.state == "done":
                self._session.library.mark_used([name])
                self._say_fetched(name, state.title)
            self._refresh()

    def _show_download(self, dialog: ModelsDialog, state: JobState) -> None:
        name = self._downloads.get(state.job_id)
        if name is None:
            return
        fetching = None
        if not state.is_over or state.state == "failed":
            fetching = Fetching(
                state.done,
                state.total,
                state.seconds_left,
                active=not state.is_over,
                error=state.message if state.is_over else "",
            )
        dialog.set_fetching(name, fetching)

    def _say_fetched(self, name: str, title: str) -> None:
        if self.dialog is not None and self.dialog.isVisible():
            return
        self._window.show_notice(
            "models",
            f"{title} is on this machine now.",
            kind="done",
            buttons=[*self._run_button(name), ("Details", partial(self.show, name))],
        )

    def _run_button(self, name: str) -> list[tuple[str, partial[None]]]:
        return [("Run", partial(self.run, name))] if self._session.dataset is not None else []

    # -- files --------------------------------------------------------------------------------

    def ask_file(self) -> None:
        """Ask for a checkpoint file and look at it."""
        patterns = " ".join(f"*{suffix}" for suffix in checkpoint_suffixes())
        name, _ = QFileDialog.getOpenFileName(
            self.dialog if self.dialog is not None and self.dialog.isVisible() else self._window,
            "Open model",
            str(self._session.settings.get("last_model", "")),
            f"Checkpoints ({patterns});;All files (*)",
        )
        if name:
            self._session.settings.set("last_model", name)
            self.open_checkpoint(Path(name))

    def open_checkpoint(self, path: Path) -> None:
        """Look at a file or folder in another process and say what it is."""
        self._window.show_notice("models", f"Looking at {path.name} …")
        self._looked_at.discard(str(path.resolve()))
        try:
            self._session.inspect_model(path)
        except OSError as error:
            self._window.show_notice("models", sentence(error), kind="error")

    def _on_report(self, report: ModelReport) -> None:
        window, facts = self._window, report.facts
        self._refresh()
        if report.path in self._looked_at:  # asked by the dialog for its card
            if report.error is not None and self.dialog is not None:
                window.show_notice("models", report.error, kind="error")
            return
        if facts is None:
            window.show_notice("models", str(report.error), kind="error")
            return
        name = self._session.library.name_of(report.path)
        problem = fit_problem(facts)
        details = ("Details", partial(self.show, name))
        if problem is not None:
            window.show_notice("models", problem, kind="warning", buttons=[details])
        else:
            window.show_notice(
                "models",
                "\n".join([f"{Path(report.path).name}: {describe(facts)}", *facts["notes"]]),
                kind="done",
                buttons=[*self._run_button(name), details],
            )
        if self.dialog is not None and self.dialog.isVisible():
            self.dialog.show_model(name)
