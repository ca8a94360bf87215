"""The table of models: what is known of each, filtered, sorted, with downloads on their way."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from segstudio.inference.catalogue import ModelInfo, select_models
from segstudio.ui.models import NO_NUMBER, count_text, duration, number, size_text

__all__ = [
    "CatalogueModel",
    "Fetching",
    "ModelFilter",
    "best_miou",
    "network_titles",
    "short_title",
]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True, slots=True)
class Fetching:
    """A download as the window shows it.

    Attributes
    ----------
    done, total : int
        Bytes.
    seconds_left : float or None
        None when nobody knows yet.
    active : bool
        Whether it still runs.
    error : str
        Why it failed, one sentence.
    """

    done: int
    total: int
    seconds_left: float | None
    active: bool
    error: str = ""

    @property
    def share(self) -> float:
        """How far it is, 0..1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def words(self) -> str:
        """How far it is, as people say it."""
        done = f"{self.done / 1e6:.1f} of {size_text(self.total)}"
        left = duration(self.seconds_left)
        return f"{done}  ·  {left} left" if left else done


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """What the list is narrowed to; the arguments of `select_models`."""

    text: str = ""
    architecture: str | None = None
    dataset: str | None = None
    minimum_miou: float | None = None
    maximum_size: int | None = None
    on_disk: bool | None = None


def best_miou(model: ModelInfo) -> float | None:
    """Return the published single-scale score, else ours, 0..1."""
    return model.measured_miou if model.published_miou is None else model.published_miou


def network_titles(models: Sequence[ModelInfo]) -> dict[str, str]:
    """Return what people call the architectures, by name.

    The title of a published model begins with it; that of a user's file is the file's name.
    """
    found = {}
    for model in models:
        if model.source:
            end = model.variant if model.variant and model.variant in model.title else ","
            title = model.title.partition(end)[0].strip()
            found[model.architecture] = title or model.architecture
    return found


def short_title(model: ModelInfo) -> str:
    """Return a model's title without the data set that stands in another column."""
    if not model.dataset:
        return model.title
    return re.sub(rf", {re.escape(model.dataset)}(?=,|$)", "", model.title, count=1)


class CatalogueModel(QAbstractTableModel):
    """Rows are the models that the filter leaves.

    Attributes
    ----------
    count_changed : Signal(int, int)
        Models shown and models in all.
    """

    count_changed = Signal(int, int)

    MODEL, NETWORK, DATASET, MIOU, PARAMETERS, SIZE, STATE = range(7)
    headers = ("Model", "Network", "Data set", "mIoU %", "Parameters", "Size", "State")
    hints = (
        "",
        "Architecture",
        "What it was trained on",
        "Mean IoU at a single scale: published by the authors, or measured here for an embedded "
        "model; on their own data, so only comparable within one data set",
        "Trainable parameters",
        "Of the checkpoint file; an estimate until it was downloaded",
        "Whether it is on this machine",
    )
    NameRole = Qt.ItemDataRole.UserRole + 1
    FetchingRole = Qt.ItemDataRole.UserRole + 2

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._all: list[ModelInfo] = []
        self._shown: list[ModelInfo] = []
        self._titles: dict[str, str] = {}
        self._broken: frozenset[str] = frozenset()
        self._fetching: dict[str, Fetching] = {}
        self._filter = ModelFilter()
        self._column, self._order = -1, Qt.SortOrder.AscendingOrder

    # -- what is listed -----------------------------------------------------------------------

    def set_models(self, models: Sequence[ModelInfo], broken: Collection[str] = ()) -> None:
        """List other models; ``broken`` are names of those that fit their network only partly."""
        self._all, self._broken = list(models), frozenset(broken)
        self._titles = network_titles(models)
        self._rearrange()

    def set_filter(self, wanted: ModelFilter) -> None:
        """Show only what fits."""
        if wanted != self._filter:
            self._filter = wanted
            self._rearrange()

    def set_fetching(self, name: str, fetching: Fetching | None) -> None:
        """Show how far the download of a model is; None when there is none any more."""
        if fetching is None:
            self._fetching.pop(name, None)
        else:
            self._fetching[name] = fetching
        row = self.row_of(name)
        if row >= 0:
            index = self.index(row, self.STATE)
            self.dataChanged.emit(index, index)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order by a column; -1 puts what is on this machine first, then goes by title."""
        if (column, order) != (self._column, self._order):
            self._column, self._order = column, order
            self._rearrange()
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(self.headers) - 1)

    # -- questions ----------------------------------------------------------------------------

    @property
    def sorting(self) -> tuple[int, Qt.SortOrder]:
        """Column, -1 for none, and order."""
        return self._column, self._order

    def model_at(self, row: int) -> ModelInfo | None:
        """Return the model of a row."""
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def find(self, name: str) -> ModelInfo | None:
        """Return a model by name, shown or not."""
        return next((model for model in self._all if model.name == name), None)

    def row_of(self, name: str) -> int:
        """Return a model's row, -1 when it is not shown."""
        rows = (row for row, model in enumerate(self._shown) if model.name == name)
        return next(rows, -1)

    def fetching(self, name: str) -> Fetching | None:
        """Return the download of a model."""
        return self._fetching.get(name)

    def is_broken(self, name: str) -> bool:
        """Whether a model fits its network only partly."""
        return name in self._broken

    def network_title(self, model: ModelInfo) -> str:
        """Return what people call the architecture of a model."""
        return self._titles.get(model.architecture, model.architecture)

    def architectures(self) -> list[tuple[str, str]]:
        """Return (title, name) of the architectures that occur, by title."""
        found = {(self.network_title(model), model.architecture) for model in self._all}
        return sorted((pair for pair in found if pair[1]), key=lambda pair: pair[0].lower())

    def datasets(self) -> list[str]:
        """Return the data sets that occur."""
        return sorted({model.dataset for model in self._all} - {""}, key=str.lower)

    def state_text(self, model: ModelInfo) -> str:
        """Return where a model is, in a word or two."""
        fetching = self._fetching.get(model.name)
        if fetching is not None and fetching.active:
            return f"{100 * fetching.share:.0f} %"
        if model.embedded:
            return "Embedded"
        if model.name in self._broken:
            return "Fits partly"
        if model.url is None:
            return "Your file"
        if model.on_disk:
            return "On disk"
        return "Failed" if fetching is not None and fetching.error else "To download"

    # -- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of models shown."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.headers)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title, with an arrow when it is the one sorted by."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.headers):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            up = self._order == Qt.SortOrder.AscendingOrder
            arrow = ("  ↑" if up else "  ↓") if section == self._column else ""
            return self.headers[section] + arrow
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.hints[section] or None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            numbers = self.MIOU <= section <= self.SIZE
            left = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            return _RIGHT if numbers else left
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or index.row() >= len(self._shown):
            return None
        model, column = self._shown[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(model, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._hint(model, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and self.MIOU <= column <= self.SIZE:
            return _RIGHT
        if role == self.NameRole:
            return model.name
        if role == self.FetchingRole:
            return self._fetching.get(model.name)
        return None

    def _text(self, model: ModelInfo, column: int) -> str:
        score = best_miou(model)
        if column == self.MODEL:
            return short_title(model)
        if column == self.NETWORK:
            return self.network_title(model) or NO_NUMBER
        if column == self.DATASET:
            return model.dataset or model.label_space or NO_NUMBER
        if column == self.MIOU:
            return number(None if score is None else 100 * score)
        if column == self.PARAMETERS:
            return count_text(model.parameters)
        if column == self.SIZE:
            return size_text(model.size)
        return self.state_text(model)

    def _hint(self, model: ModelInfo, column: int) -> str | None:
        if column == self.MODEL:
            return f"{model.title}\n{model.name}"
        if column == self.STATE:
            fetching = self._fetching.get(model.name)
            if fetching is not None:
                return fetching.words if fetching.active else fetching.error or None
            return str(model.path) if model.path is not None else model.url
        if column == self.MIOU and best_miou(model) is not None:
            return "Published" if model.published_miou is not None else "Measured"
        return None

    # -- order --------------------------------------------------------------------------------

    def _rearrange(self) -> None:
        self.beginResetModel()
        chosen = select_models(self._all, **asdict(self._filter))
        chosen.sort(key=lambda model: (not model.on_disk, model.title.lower()))
        if self._column >= 0:
            # What has no value comes last, whichever way the rest goes.
            known = [model for model in chosen if self._key(model) is not None]
            unknown = [model for model in chosen if self._key(model) is None]
            down = self._order == Qt.SortOrder.DescendingOrder
            chosen = [*sorted(known, key=self._key, reverse=down), *unknown]  # type: ignore[arg-type]
        self._shown = chosen
        self.endResetModel()
        self.count_changed.emit(len(chosen), len(self._all))

    def _key(self, model: ModelInfo) -> str | float | None:
        numbers = {
            self.MIOU: best_miou(model),
            self.PARAMETERS: model.parameters,
            self.SIZE: model.size,
        }
        if self._column in numbers:
            return numbers[self._column]
        text = self._text(model, self._column).lower()
        return None if text == NO_NUMBER else text
