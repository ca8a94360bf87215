"""Label mappings: the strip that says they are needed, and the editor behind it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal

from segstudio.core.errors import SegStudioError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.session.mappings import (
    MappingDocument,
    check_mapping,
    find_mapping,
    known_mappings,
    save_mapping,
    suggest_classes,
    unmapped_classes,
)
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.mapping import MappingDialog, MappingWords
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.mapping import MappingModel

__all__ = ["MappingController"]

_TOPIC = "mapping"


class MappingController(QObject):
    """Joins mapping editor and notice with the session.

    Attributes
    ----------
    chosen : Signal
        The project uses another mapping and its runs are scored through it.
    """

    chosen = Signal()

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks, desk: Desk) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._desk = window, session, tasks, desk
        self.dialog: MappingDialog | None = None
        self._said: tuple[int, str, str] | None = None
        window.actions_["label_mapping"].triggered.connect(lambda _checked: self.edit())
        desk.run_changed.connect(lambda _run: self.refresh())

    def refresh(self) -> None:
        """Say what a run lacks: a mapping, or counterparts for some classes."""
        run, session = self._desk.run, self._session
        both = None if not run else session.studies.spaces(run)
        if both is None:
            self._window.notices.dismiss(_TOPIC)
            return
        source, target = both
        try:
            document = session.studies.mappings.get(source.name, target.name)
            if document is None:
                self._ask(source, target)
            else:
                self._say_unmapped(document, source, target)
        except SegStudioError as error:
            self._window.show_notice(
                _TOPIC, str(error), kind="warning", buttons=[("Label mapping…", self.edit)]
            )

    def _ask(self, source: LabelSpace, target: LabelSpace) -> None:
        known = known_mappings((source.name, target.name))
        buttons = [
            (f"Use {document.mapping.name}", partial(self.use, document)) for document in known[:2]
        ]
        self._window.show_notice(
            _TOPIC,
            f"The ground truth is in {source.name}, {self._desk.run} in {target.name}: choose how "
            "their classes correspond, then the run is scored.",
            kind="warning",
            buttons=[*buttons, ("Label mapping…", self.edit)],
        )

    def _say_unmapped(
        self, document: MappingDocument, source: LabelSpace, target: LabelSpace
    ) -> None:
        mapping = document.mapping
        ends = (source, target) if mapping.source == source.name else (target, source)
        count = len(unmapped_classes(mapping, *ends))
        said = self._session.generation, mapping.name, self._desk.run
        if not count or self._said == said:
            if not count:
                self._window.notices.dismiss(_TOPIC)
            return
        self._said = said  # once for a run is enough
        whose = "the ground truth" if mapping.source == source.name else "the model"
        self._window.show_notice(
            _TOPIC,
            f"{count} of {len(ends[0])} classes of {whose} are not mapped to {ends[1].name} by "
            f"{mapping.name}; their pixels are ignored.",
            buttons=[("Label mapping…", self.edit)],
        )

    # -- using and editing ------------------------------------------------------------------

    def use(self, document: MappingDocument) -> None:
        """Use a mapping for the open project and score its runs through it, in a thread."""
        session, run = self._session, self._desk.run

        def work() -> None:
            session.studies.choose_mapping(document)
            session.evaluate([run])  # counted once here, so nobody counts at the same time

        self._window.show_notice(_TOPIC, f"Scoring {run} through {document.mapping.name} …")
        self._tasks.start(_TOPIC, work, lambda _none: self._on_used(), self._on_failed)

    def _on_used(self) -> None:
        self._window.notices.dismiss(_TOPIC)
        self._said = None
        self.refresh()
        self.chosen.emit()

    def _on_failed(self, error: Exception) -> None:
        self._window.show_notice(
            _TOPIC, sentence(error), kind="error", buttons=[("Label mapping…", self.edit)]
        )

    def edit(self) -> None:
        """Open the editor between the ground truth's classes and those of the run shown."""
        both = None if not self._desk.run else self._session.studies.spaces(self._desk.run)
        if both is None:
            self._window.show_notice(
                _TOPIC,
                "A label mapping is needed where ground truth and model know other classes; here "
                "they know the same ones, or there is no ground truth or run.",
            )
            return
        source, target = both
        chosen = self._session.studies.mappings.get(source.name, target.name)
        if chosen is not None and chosen.mapping.source == target.name:
            source, target = target, source
        self.dialog = dialog = self._build(source, target)
        if chosen is not None:
            dialog.set_words(_words(chosen))
        dialog.accepted.connect(lambda: self._on_accepted(dialog))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _build(self, source: LabelSpace, target: LabelSpace) -> MappingDialog:
        model = MappingModel(source, target)
        model.set_suggestions(
            {
                name: (idea.classes, idea.reason)
                for name, idea in suggest_classes(source, target).items()
            }
        )
        known = [
            _words(document)
            for document in known_mappings((source.name, target.name))
            if document.mapping.source == source.name
        ]

        def check(mapping: LabelMapping) -> str:
            try:
                check_mapping(mapping, source, target)
            except SegStudioError as error:
                return str(error)
            return ""

        dialog = MappingDialog(model, known, check, parent=self._window)
        model.setParent(dialog)
        dialog.save_requested.connect(partial(self._save, dialog))
        dialog.load_requested.connect(partial(self._load, dialog))
        return dialog

    def _on_accepted(self, dialog: MappingDialog) -> None:
        self.use(MappingDocument(*dialog.words()))

    def _save(self, dialog: MappingDialog, words: MappingWords) -> None:
        try:
            path = save_mapping(MappingDocument(*words))
        except SegStudioError as error:
            dialog.say(str(error))
            return
        dialog.say(f"Saved as {path}; `--mapping {words[0].name}` names it.")

    def _load(self, dialog: MappingDialog, path: Path) -> None:
        try:
            document = find_mapping(path)
            check_mapping(document.mapping, dialog.model.source, dialog.model.target)
        except SegStudioError as error:
            dialog.say(str(error))
            return
        dialog.set_words(_words(document))


def _words(document: MappingDocument) -> MappingWords:
    return document.mapping, document.description, document.provenance
