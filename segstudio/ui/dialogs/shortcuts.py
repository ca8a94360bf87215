"""Every key in one list, to look up and to change; a key that is taken is refused."""

from __future__ import annotations

import json
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from segstudio.core.atomic import write_text
from segstudio.core.errors import UsageError, WriteError
from segstudio.ui.actions import HELD_KEYS, Actions, native, portable
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import SearchField, label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["ShortcutsDialog", "load_keys", "save_keys"]

_SCOPES = ("Correct", "Review", "Browse", "View", "Run", "File", "Window")
_ACTION = Qt.ItemDataRole.UserRole


def save_keys(path: Path, keys: dict[str, list[str]]) -> None:
    """Write changed keys as JSON.

    Raises
    ------
    WriteError
        When the file cannot be written.
    """
    write_text(path, json.dumps({"segstudio shortcuts": keys}, indent=1, sort_keys=True))


def load_keys(path: Path) -> dict[str, list[str]]:
    """Return what `save_keys` wrote.

    Raises
    ------
    UsageError
        When the file cannot be read or holds something else.
    """
    try:
        keys = json.loads(path.read_text(encoding="utf-8"))["segstudio shortcuts"]
        return {str(name): [str(key) for key in listed] for name, listed in keys.items()}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} holds no shortcuts of SegStudio; choose another file.") from error


class ShortcutsDialog(QDialog):
    """Lists actions with their keys; what is changed holds at once.

    Attributes
    ----------
    changed : Signal
        Some action has other keys.
    """

    changed = Signal()

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setWindowTitle("Keyboard shortcuts")
        self.search = SearchField("Find an action or a key")
        self.tree = QTreeWidget()
        self.field = QKeySequenceEdit()
        self.words = label("", style="muted")
        self.add = QPushButton("Add key")
        self.remove = QPushButton("Remove keys")
        self.reset = QPushButton("Default")
        self.import_keys = QPushButton("Import…")
        self.export_keys = QPushButton("Export…")
        self.reset_all = QPushButton("Reset all")
        self._items: dict[str, QTreeWidgetItem] = {}
        self._arrange()
        self._fill()
        self._connect()
        self._follow()

    def _arrange(self) -> None:
        self.tree.setHeaderLabels(["Action", "Keys"])
        self.tree.setRootIsDecorated(False)
        self.tree.setIndentation(0)
        self.tree.setUniformRowHeights(True)
        self.tree.setStyleSheet("QTreeView::item { padding: 3px 0; }")
        self.tree.setAccessibleName("Actions and their keys")
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, 26 * GRID)
        self.field.setMaximumSequenceLength(1)
        self.field.setClearButtonEnabled(True)
        self.field.setAccessibleName("New key")
        self.field.setMaximumWidth(22 * GRID)
        self.words.setWordWrap(True)
        edit = QHBoxLayout()
        edit.setSpacing(GRID)
        for widget in (self.field, self.add, self.remove, self.reset):
            edit.addWidget(widget)
        edit.addStretch(1)
        close = QPushButton("Close")
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.setSpacing(GRID)
        for widget in (self.import_keys, self.export_keys, self.reset_all):
            foot.addWidget(widget)
        foot.addStretch(1)
        foot.addWidget(close)
        for button in self.findChildren(QPushButton):
            button.setAutoDefault(False)
        close.setAutoDefault(False)
        layout = dialog_layout(self, "Keyboard shortcuts", spacing=GRID + 4)
        layout.addWidget(self.search)
        layout.addWidget(self.tree, 1)
        layout.addLayout(edit)
        layout.addWidget(self.words)
        layout.addLayout(foot)
        self.words.setMinimumHeight(3 * GRID)
        self.resize(92 * GRID, 84 * GRID)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._filter)
        self.search.left.connect(self.tree.setFocus)
        self.tree.currentItemChanged.connect(lambda *_items: self._chosen())
        self.tree.itemDoubleClicked.connect(lambda *_cell: self.field.setFocus())
        self.field.keySequenceChanged.connect(lambda _key: self._follow())
        self.add.clicked.connect(lambda _checked: self._add())
        self.remove.clicked.connect(lambda _checked: self._set(()))
        self.reset.clicked.connect(lambda _checked: self._reset_one())
        self.reset_all.clicked.connect(lambda _checked: self._take({}))
        self.import_keys.clicked.connect(lambda _checked: self._import())
        self.export_keys.clicked.connect(lambda _checked: self._export())

    # -- the list -----------------------------------------------------------------------------

    def _fill(self) -> None:
        groups: dict[str, list[tuple[str, str, str]]] = {scope: [] for scope in _SCOPES}
        for spec in self._actions.specs:
            title = spec.title.rstrip("…")
            groups.setdefault(spec.scope, []).append((spec.action_id, title, ""))
        for keys, words, scope in HELD_KEYS:
            groups.setdefault(scope, []).append(("", words, keys))
        for scope, lines in groups.items():
            if not lines:
                continue
            head = QTreeWidgetItem([scope, ""])
            head.setFlags(Qt.ItemFlag.ItemIsEnabled)
            font = head.font(0)
            font.setBold(True)
            head.setFont(0, font)
            self.tree.addTopLevelItem(head)
            for action_id, title, keys in lines:
                item = QTreeWidgetItem([f"    {title}", keys])
                item.setData(0, _ACTION, action_id)
                if not action_id:
                    item.setForeground(0, theme().color("muted"))
                    item.setForeground(1, theme().color("muted"))
                    item.setToolTip(0, "A gesture; it cannot be changed")
                else:
                    self._items[action_id] = item
                self.tree.addTopLevelItem(item)
        self._refresh()

    def _refresh(self) -> None:
        """Show the keys as they are now."""
        for action_id, item in self._items.items():
            keys = self._actions.spec(action_id).keys
            item.setText(1, "   ".join(native(key) for key in keys))
            changed = action_id in self._actions.custom_keys
            item.setForeground(1, theme().color("accent" if changed else "text"))
            item.setToolTip(1, "Changed from the default" if changed else "")

    def _filter(self, text: str) -> None:
        """Show the lines that hold every word, by action or key, and their headings."""
        words = text.lower().split()
        head: QTreeWidgetItem | None = None
        for row in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(row)
            assert item is not None
            if item.data(0, _ACTION) is None:
                head = item
                head.setHidden(bool(words))
                continue
            line = f"{item.text(0)} {item.text(1)}".lower()
            item.setHidden(not all(word in line for word in words))
            if head is not None and not item.isHidden():
                head.setHidden(False)

    # -- one action ---------------------------------------------------------------------------

    @property
    def action_id(self) -> str:
        """The action whose keys are edited, "" for none."""
        item = self.tree.currentItem()
        return "" if item is None else item.data(0, _ACTION) or ""

    def choose(self, action_id: str) -> None:
        """Choose the action whose keys are edited."""
        self.tree.setCurrentItem(self._items[action_id])

    def _chosen(self) -> None:
        self.field.clear()
        self._follow()

    def _key(self) -> str:
        sequence = self.field.keySequence()
        return sequence.toString(QKeySequence.SequenceFormat.PortableText)

    def _follow(self) -> None:
        """Say what the key in the field would do, and allow what is possible."""
        action_id, key = self.action_id, self._key()
        spec = self._actions.spec(action_id) if action_id else None
        for widget in (self.field, self.remove, self.reset):
            widget.setEnabled(spec is not None)
        self.add.setEnabled(False)
        if spec is None:
            self._tell("Choose an action, then press its new key in the field.")
            return
        self.remove.setEnabled(bool(spec.keys))
        self.reset.setEnabled(action_id in self._actions.custom_keys)
        title = spec.title.rstrip("…")
        if not key:
            self._tell(f"{title}: press a key in the field.")
            return
        holder = self._actions.holder(key)
        if portable(key) in (portable(known) for known in spec.keys):
            self._tell(f"{title} has {native(key)} already.")
        elif holder is not None:
            self._tell(f"{native(key)} is taken: {holder}.  Choose another key.", bad=True)
        else:
            self._tell(f"{native(key)} is free.")
            self.add.setEnabled(True)

    def _tell(self, text: str, *, bad: bool = False) -> None:
        self.words.setText(text)
        self.words.setStyleSheet(f"color: {theme().bad}" if bad else "")

    def _add(self) -> None:
        self._set((*self._actions.spec(self.action_id).keys, self._key()))

    def _set(self, keys: tuple[str, ...]) -> None:
        try:
            self._actions.set_keys(self.action_id, keys)
        except ValueError as error:  # another change came between
            self._tell(str(error), bad=True)
            return
        self.field.clear()
        self._refresh()
        self._follow()
        self.changed.emit()

    def _reset_one(self) -> None:
        self._set(self._actions.default_keys(self.action_id))

    # -- all of them --------------------------------------------------------------------------

    def _take(self, keys: dict[str, list[str]]) -> None:
        problems = self._actions.set_custom_keys(keys)
        self._refresh()
        self._follow()
        if problems:
            self._tell("Left out:  " + "  ".join(problems), bad=True)
        self.changed.emit()

    def _import(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import shortcuts", "", "Shortcuts (*.json)")
        if not name:
            return
        try:
            self._take(load_keys(Path(name)))
        except UsageError as error:
            self._tell(str(error), bad=True)

    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export shortcuts", "segstudio-shortcuts.json", "Shortcuts (*.json)"
        )
        if not name:
            return
        try:
            save_keys(Path(name), self._actions.custom_keys)
        except WriteError as error:
            self._tell(str(error), bad=True)
        else:
            self._tell(f"Written to {name}.")
