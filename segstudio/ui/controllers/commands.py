"""What is neither browsing nor painting: theme, command palette, help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

import segstudio
from segstudio.core.class_style import PALETTES, ClassStyle
from segstudio.core.errors import SegStudioError
from segstudio.inference.catalogue import select_models
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.models import ModelsController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.command_palette import CommandPalette, Entry
from segstudio.ui.dialogs.help import AboutDialog
from segstudio.ui.dialogs.shortcuts import ShortcutsDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor, class_style, set_class_style
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
        self._on("repair_project", self.repair_project)
        kept = session.settings.get("palette", "own"), session.settings.get("patterns", False)
        self._set_style(ClassStyle(str(kept[0]), kept[1] is True))
        for name in PALETTES:
            actions[f"palette_{name}"].triggered.connect(
                lambda _checked, name=name: self._choose_style(palette=name)
            )
        actions["toggle_patterns"].triggered.connect(
            lambda checked: self._choose_style(patterns=checked)
        )
        self._on("command_palette", self.show_palette)
        self._on("shortcuts", self.show_shortcuts)
        self._on("about", lambda: AboutDialog(segstudio.__version__, window).exec())
        window.status.jobs_requested.connect(self._show_jobs)

    def _on(self, action_id: str, call: Callable[[], object]) -> None:
        self._window.actions_[action_id].triggered.connect(lambda _checked: call())

    def _choose_theme(self, choice: str) -> None:
        self._themes.set_choice(choice)
        self._session.settings.set("theme", choice)

    def _choose_style(self, **parts: Any) -> None:
        """Show classes in other colours or with patterns, now and from now on."""
        self._set_style(replace(class_style(), **parts))
        for name, value in parts.items():
            self._session.settings.set(name, value)

    def _set_style(self, style: ClassStyle) -> None:
        set_class_style(style)
        self._window.actions_[f"palette_{class_style().palette}"].setChecked(True)
        self._window.actions_["toggle_patterns"].setChecked(class_style().patterns)
        # Whoever draws a class asks for its colour only then.
        for widget in QApplication.allWidgets():
            widget.update()

    def show_shortcuts(self) -> None:
        """Show all keys, to look up and to change."""
        dialog = ShortcutsDialog(self._window.actions_, self._window)
        dialog.changed.connect(self._keep_keys)
        dialog.exec()
        dialog.deleteLater()

    def _keep_keys(self) -> None:
        try:
            self._session.settings.set("shortcuts", self._window.actions_.custom_keys)
        except SegStudioError as error:
            self._window.show_notice("settings", str(error), kind="warning")

    def _show_jobs(self) -> None:
        self._window.docks["jobs"].show()
        self._window.docks["jobs"].raise_()

    def repair_project(self) -> None:
        """Go on with what can be read of a damaged project file, on the user's word only."""
        window, session = self._window, self._session
        if session.dataset is None:
            window.show_notice("repair", "Open a dataset first; then its project can be repaired.")
            return

        def tell(aside: Path | None) -> None:
            text = "The project is sound; nothing was changed."
            if aside is not None:
                text = f"The damaged project file is kept as {aside}; what could be read goes on."
            window.show_notice("repair", text, kind="done")

        self._tasks.start(
            "repair",
            session.repair_project,
            tell,
            lambda error: window.show_notice("repair", sentence(error), kind="error"),
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
                    ClassColor.of(entry),
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
