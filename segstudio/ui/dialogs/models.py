"""The models dialog: find a model, read its card, fetch it, run it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QEvent, QModelIndex, QObject, Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QPushButton,
    QSplitter,
    QWidget,
)

from segstudio.inference.catalogue import ModelInfo
from segstudio.ui.dialogs.model_card import ModelCard
from segstudio.ui.dialogs.model_table import ModelTable
from segstudio.ui.models.catalogue import CatalogueModel, Fetching, ModelFilter
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import SearchField, dropped_paths, label
from segstudio.ui.widgets.frames import dialog_layout

__all__ = ["ModelsDialog"]

_MIOUS = (30, 40, 45, 50, 60, 70, 75, 80)
_SIZES = (("50 MB", 50), ("100 MB", 100), ("250 MB", 250), ("500 MB", 500), ("1 GB", 1000))
_STEPS = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: 12,
    Qt.Key.Key_PageUp: -12,
}


class ModelsDialog(QDialog):
    """A table of all models with a search, and the card of the one chosen.

    It stays open beside the window.  Nothing happens here: wishes go out as signals, and what came
    of them is set from outside.
    """

    download_requested = Signal(str)
    cancel_requested = Signal(str)
    run_requested = Signal(str)
    remove_requested = Signal(str)
    file_requested = Signal()
    path_dropped = Signal(Path)
    model_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Models")
        self.setAcceptDrops(True)
        room = self.screen().availableSize()
        self.resize(min(1400, room.width() * 9 // 10), min(800, room.height() * 9 // 10))
        self.setMinimumSize(110 * GRID, 60 * GRID)
        self.models = CatalogueModel(self)
        self.search = SearchField("Search models")
        self.search.setMinimumWidth(28 * GRID)
        self.networks = _combo("Network", "All networks")
        self.datasets = _combo("Data set", "All data sets")
        self.miou = _combo("Least mIoU", "Any mIoU")
        for percent in _MIOUS:
            self.miou.addItem(f"mIoU from {percent} %", percent / 100)
        self.size_limit = _combo("Largest file", "Any size")
        for text, megabytes in _SIZES:
            self.size_limit.addItem(f"up to {text}", megabytes * 1_000_000)
        self.here = QCheckBox("On this machine")
        self.table = ModelTable(self.models)
        self.card = ModelCard()
        self.count = label(style="muted")
        self.download = QPushButton("Download")
        self.run = QPushButton("Run on this dataset")
        self.remove = QPushButton("Remove from list")
        self._runnable = self._selecting = False
        self._chosen = ""
        self._wanted: dict[str, Any] = {}
        self._arrange()
        self._connect()
        self._follow()

    # -- building -----------------------------------------------------------------------------

    def _arrange(self) -> None:
        filters = QHBoxLayout()
        filters.setSpacing(GRID)
        filters.addWidget(self.search, 1)
        for widget in (self.networks, self.datasets, self.miou, self.size_limit):
            filters.addWidget(widget)
        filters.addSpacing(GRID)
        filters.addWidget(self.here)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.setHandleWidth(3 * GRID)
        self._splitter.addWidget(self.table)
        self._splitter.addWidget(self.card)
        self._splitter.setStretchFactor(0, 1)
        self.table.setMinimumWidth(64 * GRID)
        self.card.setMinimumWidth(42 * GRID)
        self._splitter.setSizes([940, 400])
        add = QPushButton("Add a file…")
        add.clicked.connect(lambda _checked=False: self.file_requested.emit())
        add.setToolTip("Add a checkpoint of yours; dropping it anywhere does the same")
        buttons = QHBoxLayout()
        buttons.setSpacing(GRID)
        buttons.addWidget(add)
        buttons.addSpacing(GRID)
        buttons.addWidget(self.count)
        buttons.addStretch(1)
        for button in (self.remove, self.download, self.run):
            button.setMinimumWidth(11 * GRID)
            buttons.addWidget(button)
        for button in (add, self.remove):
            button.setAutoDefault(False)
        layout = dialog_layout(self)
        layout.addLayout(filters)
        layout.addWidget(self._splitter, 1)
        layout.addLayout(buttons)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._refilter)
        self.search.left.connect(self.close)
        self.search.installEventFilter(self)
        self.table.installEventFilter(self)
        for combo in (self.networks, self.datasets, self.miou, self.size_limit):
            combo.currentIndexChanged.connect(self._refilter)
        self.here.toggled.connect(self._refilter)
        self.models.count_changed.connect(self._show_count)
        self.table.selectionModel().currentRowChanged.connect(self._on_row)
        self.table.doubleClicked.connect(lambda _index: self._do())
        self.download.clicked.connect(lambda _checked=False: self._on_download())
        self.run.clicked.connect(lambda _checked=False: self.run_requested.emit(self._chosen))
        self.remove.clicked.connect(lambda _checked=False: self.remove_requested.emit(self._chosen))

    # -- what is shown ------------------------------------------------------------------------

    @property
    def chosen(self) -> str:
        """Name of the model whose card is shown, empty for none."""
        return self._chosen

    def set_models(self, models: Sequence[ModelInfo], broken: Collection[str] = ()) -> None:
        """List other models; filters and choice stay where they can."""
        chosen = self._wanted.pop("chosen", "") or self._chosen
        self._selecting = True
        self.models.set_models(models, broken)
        self._selecting = False
        for combo, key, entries in (
            (self.networks, "network", self.models.architectures()),
            (self.datasets, "dataset", [(name, name) for name in self.models.datasets()]),
        ):
            wanted = self._wanted.pop(key, None) or combo.currentData()
            combo.blockSignals(True)
            while combo.count() > 1:
                combo.removeItem(1)
            for title, value in entries:
                combo.addItem(title, value)
            combo.setCurrentIndex(max(0, combo.findData(wanted)))
            combo.blockSignals(False)
        self._refilter()
        self._select(chosen)

    def set_fetching(self, name: str, fetching: Fetching | None) -> None:
        """Show how the download of a model goes."""
        self.models.set_fetching(name, fetching)
        if name == self._chosen:
            self._follow()

    def set_costs(self, name: str, costs: Mapping[str, Any] | None) -> None:
        """Show what a model was measured to cost here."""
        if name == self._chosen:
            self.card.set_costs(costs)

    def set_runnable(self, runnable: bool) -> None:
        """Say whether a dataset is open to run on."""
        self._runnable = runnable
        self._follow()

    def show_model(self, name: str) -> None:
        """Choose a model; when the filters hide it, they are cleared."""
        if self.models.find(name) is None:
            self._wanted["chosen"] = name  # it comes with the next list
            return
        if self.models.row_of(name) < 0:
            self.clear_filters()
        self._select(name)

    def clear_filters(self) -> None:
        """Show all models."""
        for combo in (self.networks, self.datasets, self.miou, self.size_limit):
            combo.setCurrentIndex(0)
        self.here.setChecked(False)
        self.search.clear()

    # -- remembering --------------------------------------------------------------------------

    def save_state(self) -> dict[str, Any]:
        """Return filters, order and geometry as JSON-ready values."""
        column, order = self.models.sorting
        return {
            "network": self.networks.currentData(),
            "dataset": self.datasets.currentData(),
            "miou": self.miou.currentData(),
            "size": self.size_limit.currentData(),
            "here": self.here.isChecked(),
            "sort": [column, order == Qt.SortOrder.DescendingOrder],
            "chosen": self._chosen,
            "geometry": bytes(self.saveGeometry().toBase64().data()).decode("ascii"),
            "splitter": bytes(self._splitter.saveState().toBase64().data()).decode("ascii"),
        }

    def restore_state(self, saved: Any) -> None:
        """Restore what `save_state` returned; anything else is ignored."""
        if not isinstance(saved, dict):
            return
        self._wanted = {key: saved.get(key) for key in ("network", "dataset", "chosen")}
        for combo, key in ((self.miou, "miou"), (self.size_limit, "size")):
            combo.setCurrentIndex(max(0, combo.findData(saved.get(key))))
        self.here.setChecked(saved.get("here") is True)
        match saved.get("sort"):
            case [int(column), bool(down)] if -1 <= column < len(CatalogueModel.headers):
                self.table.sort_by(column, down)
        for restore, key in (
            (self.restoreGeometry, "geometry"),
            (self._splitter.restoreState, "splitter"),
        ):
            if isinstance(saved.get(key), str):
                restore(QByteArray.fromBase64(saved[key].encode("ascii", "ignore")))

    # -- following ----------------------------------------------------------------------------

    def _refilter(self) -> None:
        chosen = self._chosen
        self._selecting = True
        self.models.set_filter(
            ModelFilter(
                text=self.search.text(),
                architecture=self.networks.currentData(),
                dataset=self.datasets.currentData(),
                minimum_miou=self.miou.currentData(),
                maximum_size=self.size_limit.currentData(),
                on_disk=True if self.here.isChecked() else None,
            )
        )
        self._selecting = False
        self._select(chosen)

    def _select(self, name: str) -> None:
        """Mark a model, or the first one when it is not shown."""
        index = self.models.index(max(0, self.models.row_of(name)), 0)
        if index.isValid():
            self._selecting = True
            self.table.setCurrentIndex(index)
            self._selecting = False
            self.table.scrollTo(index)
        self._on_row(index)

    def _on_row(self, index: QModelIndex, _before: QModelIndex | None = None) -> None:
        if self._selecting:
            return
        model = self.models.model_at(index.row()) if index.isValid() else None
        self._chosen = "" if model is None else model.name
        if model is None:
            self.card.show_model(None, "")
        else:
            waiting = "" if model.card else "Looking at the file …"
            self.card.show_model(model, self.models.network_title(model), waiting=waiting)
        self._follow()
        if model is not None:
            self.model_chosen.emit(model.name)

    def _follow(self) -> None:
        """Let the buttons say what can be done with the model chosen."""
        model = self.models.find(self._chosen)
        fetching = self.models.fetching(self._chosen)
        active = fetching is not None and fetching.active
        self.card.set_fetching(fetching)
        here = model is not None and model.on_disk
        self.download.setVisible(model is not None and (active or not here))
        self.download.setText("Cancel download" if active else "Download")
        self.run.setVisible(here)
        sound = here and not self.models.is_broken(self._chosen)
        self.run.setEnabled(sound and self._runnable)
        tip = "" if self._runnable else "Open a dataset first"
        self.run.setToolTip(tip if sound else "It fits its network only partly")
        own = model is not None and not model.embedded and model.url is None
        self.remove.setVisible(own)
        _make_primary(self.download, not active and not here)
        _make_primary(self.run, here)

    def _show_count(self, shown: int, total: int) -> None:
        self.count.setText(f"{total} models" if shown == total else f"{shown} of {total} models")

    # -- doing --------------------------------------------------------------------------------

    def _on_download(self) -> None:
        fetching = self.models.fetching(self._chosen)
        active = fetching is not None and fetching.active
        (self.cancel_requested if active else self.download_requested).emit(self._chosen)

    def _do(self) -> None:
        """Run the model, or fetch it; never stop a download by accident."""
        for button in (self.run, self.download):
            if button.isVisible() and button.isEnabled() and button.isDefault():
                button.click()
                return

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let arrows walk through the table and letters go to the search, wherever one is."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            key = Qt.Key(event.key())
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._do()
                return True
            if watched is self.search and key in _STEPS:
                self._step(_STEPS[key])
                return True
            plain = event.modifiers() in (
                Qt.KeyboardModifier.NoModifier,
                Qt.KeyboardModifier.ShiftModifier,
            )
            if watched is self.table and plain and event.text().isprintable() and event.text():
                self.search.setFocus()
                self.search.insert(event.text())
                return True
        return super().eventFilter(watched, event)

    def _step(self, by: int) -> None:
        rows = self.models.rowCount()
        if rows:
            row = min(max(self.table.currentIndex().row() + by, 0), rows - 1)
            self.table.setCurrentIndex(self.models.index(row, 0))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take what is a local file or folder."""
        if dropped_paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on the path."""
        paths = dropped_paths(event)
        if paths:
            event.acceptProposedAction()
            self.path_dropped.emit(paths[0])


def _combo(name: str, everything: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setMaxVisibleItems(20)
    combo.addItem(everything, None)
    return combo


def _make_primary(button: QPushButton, primary: bool) -> None:
    button.setDefault(primary)
    button.setAutoDefault(False)
    if button.property("primary") != ("true" if primary else "false"):
        button.setProperty("primary", "true" if primary else "false")
        button.style().unpolish(button)
        button.style().polish(button)
