"""A menu that writes filters into the field above the list of images."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QLineEdit, QMenu, QToolButton

from segstudio.ui.icons import icon

__all__ = ["FILTER_HELP", "FilterButton"]

FILTER_HELP = (
    "Parts of the name, and also: state:flagged   class:car   score<0.5   entropy>0.3   errors>2%"
)

_STATES = ("untouched", "in-progress", "corrected", "checked", "flagged", "failed")

_FIGURES = (
    ("Score below 0.5", "score<0.5"),
    ("Mean entropy above 0.3", "entropy>0.3"),
    ("Confident errors above 2 %", "errors>2%"),
)


class FilterButton(QToolButton):
    """Offers states, classes and figures; what is chosen is a word in the field.

    Parameters
    ----------
    field : QLineEdit
        Where the filter stands.
    """

    def __init__(self, field: QLineEdit) -> None:
        super().__init__()
        self._field = field
        self._classes: tuple[str, ...] = ()
        self.setIcon(icon("filter", role="muted"))
        self.setToolTip("Filter by state, class or figure")
        self.setAccessibleName("Filter images")
        self.setAutoRaise(True)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)

    def set_classes(self, names: Sequence[str]) -> None:
        """Offer these classes."""
        self._classes = tuple(names)

    def _fill(self) -> None:
        menu = self.menu()
        menu.clear()
        words = self._field.text().lower().split()
        for state in _STATES:
            self._offer(menu, state.replace("-", " ").capitalize(), f"state:{state}", words)
        menu.addSection("Figure")
        for title, word in _FIGURES:
            self._offer(menu, title, word, words)
        classes = menu.addMenu("Class present")
        classes.setEnabled(bool(self._classes))
        for name in self._classes:
            self._offer(classes, name, f"class:{name.lower().replace(' ', '-')}", words)
        menu.addSeparator()
        menu.addAction("Show all images", self._field.clear).setEnabled(bool(words))

    def _offer(self, menu: QMenu, title: str, word: str, words: list[str]) -> None:
        action = menu.addAction(title)
        action.setCheckable(True)
        action.setChecked(word in words)
        action.triggered.connect(lambda on: self._toggle(word, on))

    def _toggle(self, word: str, on: bool) -> None:
        words = [known for known in self._field.text().split() if known.lower() != word]
        if on and word.startswith("state:"):
            # An image is in one state only.
            words = [known for known in words if not known.lower().startswith("state:")]
        self._field.setText(" ".join([*words, word] if on else words))
