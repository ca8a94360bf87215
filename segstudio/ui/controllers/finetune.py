"""Fine-tuning on corrections: the dialog, the job, and what came of it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

from segstudio.core.errors import SegStudioError
from segstudio.session.events import JobState
from segstudio.session.finetuning import FinetuneReport, FinetuneRequest
from segstudio.session.session import Session
from segstudio.training.finetune_options import FinetuneOptions, is_held_out
from segstudio.ui.controllers.tasks import SessionBridge
from segstudio.ui.dialogs.finetune import FinetuneDialog, FinetuneResultDialog, ResultRow
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.catalogue import short_title

__all__ = ["FinetuneController"]


class FinetuneController(QObject):
    """Joins the menu entry, the dialogs and the session's fine-tunings."""

    def __init__(self, window: MainWindow, session: Session, bridge: SessionBridge) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        self._mine: set[str] = set()
        self.result: FinetuneResultDialog | None = None
        action = window.actions_["finetune"]
        action.setEnabled(False)
        action.triggered.connect(lambda _checked: self.ask())
        bridge.dataset_opened.connect(lambda _dataset: action.setEnabled(True))
        bridge.job_changed.connect(self._on_job)

    def ask(self) -> None:
        """Show the dialog and start what it says."""
        try:
            dialog = self.build_dialog()
            if dialog.exec() == QDialog.DialogCode.Accepted:
                self.start(dialog)
        except SegStudioError as error:
            self._window.show_notice("finetune", str(error), kind="error")

    def build_dialog(self) -> FinetuneDialog:
        """Return the dialog for the open project.

        Raises
        ------
        SegStudioError
            When the project cannot be read.
        """
        session = self._session
        store, layout = session.store, session.layout
        checked = {key for key, state in store.reviews().items() if state == "checked"}
        corrected = store.corrected_samples()
        names = sorted(corrected | checked)
        # One tells for all here: corrections in several spaces are refused by name when it starts.
        space = store.correction_label_space(min(corrected)) if corrected else session.label_space
        wanted = None if space is None else space.name
        models = [entry for entry in session.models() if entry.label_space == wanted]
        judging = sum(is_held_out(key, FinetuneOptions().held_out) for key in names)
        return FinetuneDialog(
            [(entry.name, short_title(entry)) for entry in models],
            learned=len(names) - judging,
            judging=judging,
            output=layout.root / "models" / "fine-tuned.safetensors",
            problem=_problem(len(names), judging, bool(models)),
            epochs=FinetuneOptions().epochs,
            chosen=next(iter(session.settings.get("run_models", [])), ""),
            parent=self._window,
        )

    def start(self, dialog: FinetuneDialog) -> str:
        """Start what a dialog says and return the job's id."""
        choice = dialog.choice()
        session = self._session
        dataset = session.dataset
        if dataset is None:
            return ""
        options = FinetuneOptions(pixels=choice.pixels, freeze=choice.freeze, epochs=choice.epochs)
        request = FinetuneRequest(
            dataset, session.layout.root, choice.model, choice.output, options
        )
        job_id = session.finetunes.start(request)
        self._mine.add(job_id)
        return job_id

    def _on_job(self, state: JobState) -> None:
        if state.job_id not in self._mine or not state.is_over:
            return
        self._mine.discard(state.job_id)
        if state.state == "failed":
            self._window.show_notice("finetune", state.message, kind="error")
        report = self._session.finetunes.reports.get(state.job_id)
        if report is None:
            return
        if report.output is not None:
            self._session.inspect_model(Path(report.output))
        self.show(report)

    def show(self, report: FinetuneReport) -> None:
        """Show what a fine-tuning came to."""
        rows = [
            ResultRow(entry.name, entry.before, entry.after, entry.interval)
            for entry in (*report.classes, report.mean)
        ]
        self.result = FinetuneResultDialog(report.reason, rows, self._window)
        self.result.open()


def _problem(images: int, judging: int, models: bool) -> str:
    if images < 4 or judging < 2 or judging == images:
        return (
            f"{images} image{'s are' if images != 1 else ' is'} corrected or checked, "
            f"{judging} of which would judge the result. Correct more images first: at least two "
            "have to judge, and some to learn from."
        )
    if not models:
        return "No model on this machine knows the classes of the corrections."
    return ""
