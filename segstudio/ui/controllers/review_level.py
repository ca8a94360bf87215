"""From which entropy on a pixel counts as uncertain in the review queue."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from segstudio.core.errors import WriteError
from segstudio.session.reviews import DEFAULT_LEVEL
from segstudio.session.session import Session
from segstudio.ui.dialogs.uncertain_level import LEAST_LEVEL, UncertainLevelDialog
from segstudio.ui.main_window import MainWindow

__all__ = ["ReviewLevel"]

_SETTING = "uncertain_from"


class ReviewLevel(QObject):
    """Asks for the level, and keeps it.

    Attributes
    ----------
    changed : Signal
        Other regions are uncertain than before.
    """

    changed = Signal()

    def __init__(self, window: MainWindow, session: Session) -> None:
        super().__init__(window)
        self._window, self._session = window, session
        kept = session.settings.get(_SETTING, DEFAULT_LEVEL / 255)
        if isinstance(kept, int | float) and LEAST_LEVEL <= kept <= 1:
            session.reviews.level = round(255 * kept)
        window.actions_["uncertain_level"].triggered.connect(lambda _checked: self.ask())

    def ask(self) -> None:
        """Let a person choose another level."""
        level = round(self._session.reviews.level / 255, 2)
        dialog = UncertainLevelDialog(level, self._window)
        dialog.accepted.connect(lambda: self.set_level(dialog.level))
        dialog.open()

    def set_level(self, share: float) -> None:
        """Use another level, 0.05..1 of log C, from now on."""
        level = round(255 * min(max(share, LEAST_LEVEL), 1.0))
        if level == self._session.reviews.level:
            return
        self._session.reviews.level = level
        try:
            self._session.settings.set(_SETTING, round(share, 4))
        except WriteError as error:
            self._window.show_notice("settings", str(error), kind="warning")
        self.changed.emit()
