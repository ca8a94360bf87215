"""What is neither browsing nor painting: theme, export, command palette, help."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

import segstudio
from segstudio.core.errors import SegStudioError
from segstudio.inference.catalogue import select_models
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.models import ModelsController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.command_palette import CommandPalette, Entry
from segstudio.ui.dialogs.export import ExportDialog
from segstudio.ui.dialogs.help import AboutDialog, ShortcutsDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name
from segstudio.ui.theme import ThemeManager

__all__ = ["CommandsController"]

_CARDS_FOUND = 12


class CommandsController(QObject):
    """Joins the remaining actions with what they do."""

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        edit: EditController,
        models: ModelsController,
        themes: ThemeManager,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit, self._themes = desk, edit, themes
        self._models = models
        actions = window.actions_
        for choice in ("system", "dark", "light"):
            actions[f"theme_{choice}"].triggered.connect(
                lambda _checked, choice=choice: self._choose_theme(choice)
            )
        actions[f"theme_{themes.choice}"].setChecked(True)
        self._on("export", self.export)
        self._on("command_palette", self.show_palette)
        self._on("shortcuts", lambda: ShortcutsDialog(actions.specs, window).exec())
        self._on("about", lambda: AboutDialog(segstudio.__version__, window).exec())
        window.status.jobs_requested.connect(self._show_jobs)

    def _on(self, action_id: str, call: Callable[[], object]) -> None:
        self._window.actions_[action_id].triggered.connect(lambda _checked: call())

    def _choose_theme(self, choice: str) -> None:
        self._themes.set_choice(choice)
        self._session.settings.set("theme", choice)

    def _show_jobs(self) -> None:
        self._window.docks["jobs"].show()
        self._window.docks["jobs"].raise_()

    def export(self) -> None:
        """Ask what to export and where, then do it in a thread."""
        session, window = self._session, self._window
        if session.dataset is None:
            window.show_notice(
                "export", "Open a dataset first; then its label maps can be exported."
            )
            return
        from segstudio.exporters.base import EXPORTERS

        sources = []
        corrected = len(session.store.corrected_samples())
        if corrected:
            sources.append(("corrections", f"Corrections ({corrected})"))
        for record in session.runs():
            count = session.finished_count(record.run)
            sources.append((f"prediction:{record.run}", f"Prediction of {record.run} ({count})"))
        if session.dataset.has_targets and session.dataset.label_space is not None:
            sources.append(("ground-truth", "Ground truth"))
        if not sources:
            window.show_notice(
                "export", "There is nothing to export yet: run a model or correct an image."
            )
            return
        dialog = ExportDialog(
            sources,
            [(name, entry.description) for name, entry in EXPORTERS.items()],
            session.dataset.root / "export",
            exporter=session.settings.get("exporter", "index-png"),
            parent=window,
        )
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        choice = dialog.choice()
        session.settings.set("exporter", choice.exporter)
        self._edit.save_if_dirty()
        window.show_notice("export", f"Exporting to {choice.destination} …")
        self._tasks.start(
            "export",
            lambda: session.export(choice.exporter, choice.destination, what=choice.what),
            lambda paths: self._on_exported(paths, choice.destination),
            lambda error: window.show_notice("export", sentence(error), kind="error"),
        )

    def _on_exported(self, paths: list[Path], destination: Path) -> None:
        self._window.show_notice(
            "export", f"{len(paths)} files were written to {destination}.", kind="done"
        )

    def show_palette(self) -> None:
        """Show the command palette."""
        window = self._window
        entries = [
            Entry(
                spec.title.rstrip("…"),
                spec.keys[0] if spec.keys else "",
                spec.icon or "command",
                window.actions_[spec.action_id].trigger,
            )
            for spec in window.actions_.specs
            if spec.action_id != "command_palette" and window.actions_[spec.action_id].isEnabled()
        ]
        space = self._desk.space
        for entry in space.classes if space is not None else ():
            entries.append(
                Entry(
                    short_name(entry.name),
                    "class",
                    "class",
                    partial(self._edit.choose_class, entry.index),
                    entry.color,
                )
            )
        if self._session.dataset is not None:
            try:
                ready = self._session.models()
            except SegStudioError:
                ready = []  # the run dialog says why
            entries.extend(
                Entry(
                    f"Run {model.title}",
                    "model",
                    "model",
                    partial(self._models.run, model.name),
                )
                for model in ready
            )
        CommandPalette(entries, self._find_more, window).show()

    def _find_more(self, text: str, limit: int) -> list[Entry]:
        """Return models to look at, then images: too many to list before one types."""
        try:
            found = select_models(self._session.catalogue(), text=text)
        except SegStudioError:
            found = []
        cards = [
            Entry(model.title, "model card", "models", partial(self._models.show, model.name))
            for model in found[:_CARDS_FOUND]
        ]
        images = [
            Entry(sample_id, "image", "image", partial(self._desk.show, sample_id))
            for sample_id in self._window.samples.search(text, limit)
        ]
        return [*cards, *images]
