"""The list of samples: 100,000 rows without an object per row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtGui import QImage

from segstudio.core.types import Sample
from segstudio.ui.thumbnails import ImageCache

__all__ = ["SORT_KEYS", "STATUSES", "SampleListModel"]

Index = QModelIndex | QPersistentModelIndex

STATUSES = ("new", "predicted", "in progress", "corrected", "failed")
"""What the list can say of a sample, in the order of sorting by status."""

SORT_KEYS = ("name", "miou", "status")
"""What the list can be sorted by."""

_NO_PARENT = QModelIndex()


class SampleListModel(QAbstractListModel):
    """Samples in a chosen order, restricted to those whose name holds a text.

    Rows are numbers into one tuple of samples; scores and states are arrays beside it, so sorting
    and filtering touch no Python object per sample but the names.
    """

    thumbnail_requested = Signal(str)
    count_changed = Signal(int, int)  # shown, all

    SampleIdRole = Qt.ItemDataRole.UserRole + 1
    StatusRole = Qt.ItemDataRole.UserRole + 2
    MiouRole = Qt.ItemDataRole.UserRole + 3
    SplitRole = Qt.ItemDataRole.UserRole + 4
    ThumbnailRole = Qt.ItemDataRole.UserRole + 5

    def __init__(self, parent: Any = None, *, thumbnail_bytes: int = 64 << 20) -> None:
        super().__init__(parent)
        self._samples: tuple[Sample, ...] = ()
        self._names: list[str] = []
        self._row_of_id: dict[str, int] | None = None
        self._miou: NDArray[np.float32] = np.empty(0, np.float32)
        self._status: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._place: NDArray[np.int64] = np.empty(0, np.int64)
        self._filter = ""
        self._sort = "name"
        self._descending = False
        self._thumbnails = ImageCache(thumbnail_bytes)
        self._asked: set[str] = set()

    # -- what is shown ------------------------------------------------------------------------

    def set_samples(self, samples: tuple[Sample, ...]) -> None:
        """Show other samples; scores, states and the filter start anew."""
        self.beginResetModel()
        self._samples = samples
        self._names = []
        self._row_of_id = None
        self._miou = np.full(len(samples), np.nan, np.float32)
        self._status = np.zeros(len(samples), np.uint8)
        self._filter = ""
        self._thumbnails.clear()
        self._asked.clear()
        self._order = self._arranged()
        self._renumber()
        self.endResetModel()
        self.count_changed.emit(len(self._order), len(samples))

    def set_filter(self, text: str) -> None:
        """Show only samples whose id holds each word of ``text``."""
        if text.strip().lower() != self._filter:
            self._filter = text.strip().lower()
            self._rearrange()

    def set_sort(self, key: str, *, descending: bool = False) -> None:
        """Sort by one of `SORT_KEYS`; samples without a score come last."""
        self._sort, self._descending = key, descending
        self._rearrange()

    def set_scores(self, scores: dict[str, float | None]) -> None:
        """Set the mean IoU of many samples, forgetting the others."""
        self._miou[:] = np.nan
        rows = self._rows()
        for sample_id, value in scores.items():
            place = rows.get(sample_id)
            if place is not None and value is not None:
                self._miou[place] = value
        self._refresh_all("miou")

    def set_score(self, sample_id: str, value: float | None) -> None:
        """Set one sample's mean IoU; None means that there is none."""
        place = self._rows().get(sample_id)
        if place is not None:
            self._miou[place] = np.nan if value is None else value
            self._refresh_row(int(self._place[place]))

    def set_statuses(self, statuses: dict[str, str]) -> None:
        """Set many samples' states; the others become "new"."""
        self._status[:] = 0
        rows = self._rows()
        for sample_id, status in statuses.items():
            place = rows.get(sample_id)
            if place is not None:
                self._status[place] = _status_code(status)
        self._refresh_all("status")

    def set_status(self, sample_id: str, status: str) -> None:
        """Set one sample's state, one of `STATUSES`."""
        place = self._rows().get(sample_id)
        if place is not None:
            self._status[place] = _status_code(status)
            self._refresh_row(int(self._place[place]))

    def set_thumbnail(self, sample_id: str, image: QImage) -> None:
        """Show a thumbnail that was requested."""
        self._asked.discard(sample_id)
        self._thumbnails.put(sample_id, image)
        place = self._rows().get(sample_id)
        if place is not None:
            self._refresh_row(int(self._place[place]))

    def forget_requests(self, sample_ids: list[str]) -> None:
        """Ask for these thumbnails again when their rows are painted next."""
        self._asked.difference_update(sample_ids)

    # -- questions ----------------------------------------------------------------------------

    @property
    def total(self) -> int:
        """Samples, the filtered ones too."""
        return len(self._samples)

    def sample_at(self, row: int) -> Sample | None:
        """Return the sample of a row."""
        return self._samples[int(self._order[row])] if 0 <= row < len(self._order) else None

    def row_of(self, sample_id: str) -> int:
        """Return the row of a sample, -1 when it is not shown."""
        place = self._rows().get(sample_id)
        return -1 if place is None else int(self._place[place])

    def sample(self, sample_id: str) -> Sample | None:
        """Return a sample by id, shown or not."""
        place = self._rows().get(sample_id)
        return None if place is None else self._samples[place]

    def status(self, sample_id: str) -> str:
        """Return a sample's state, shown or not."""
        place = self._rows().get(sample_id)
        return STATUSES[0 if place is None else self._status[place]]

    def search(self, text: str, limit: int) -> list[str]:
        """Return the first sample ids that hold ``text``."""
        wanted, found = text.lower(), []
        for place, name in enumerate(self._lower_names()):
            if wanted in name:
                found.append(self._samples[place].sample_id)
                if len(found) == limit:
                    break
        return found

    # -- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of samples shown."""
        return 0 if parent.isValid() else len(self._order)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a row shows."""
        if not index.isValid() or not 0 <= index.row() < len(self._order):
            return None
        place = int(self._order[index.row()])
        sample = self._samples[place]
        if role == Qt.ItemDataRole.DisplayRole:
            return sample.sample_id.rpartition("/")[2]
        if role == Qt.ItemDataRole.ToolTipRole or role == self.SampleIdRole:
            return sample.sample_id
        if role == self.StatusRole:
            return STATUSES[self._status[place]]
        if role == self.MiouRole:
            value = float(self._miou[place])
            return None if value != value else value
        if role == self.SplitRole:
            return sample.split
        if role == self.ThumbnailRole:
            return self._thumbnail(sample.sample_id)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{sample.sample_id}, {STATUSES[self._status[place]]}"
        return None

    def _thumbnail(self, sample_id: str) -> QImage | None:
        image = self._thumbnails.get(sample_id)
        if image is None and sample_id not in self._asked:
            self._asked.add(sample_id)
            self.thumbnail_requested.emit(sample_id)
        return image

    # -- order --------------------------------------------------------------------------------

    def _rows(self) -> dict[str, int]:
        if self._row_of_id is None:
            self._row_of_id = {
                sample.sample_id: place for place, sample in enumerate(self._samples)
            }
        return self._row_of_id

    def _lower_names(self) -> list[str]:
        if len(self._names) != len(self._samples):
            self._names = [sample.sample_id.lower() for sample in self._samples]
        return self._names

    def _arranged(self) -> NDArray[np.int64]:
        """Return the places of the samples to show, in order."""
        order = np.arange(len(self._samples), dtype=np.int64)
        words = self._filter.split()
        if words:
            keep = [
                place
                for place, name in enumerate(self._lower_names())
                if all(word in name for word in words)
            ]
            order = np.asarray(keep, np.int64)
        if self._sort == "miou":
            values = self._miou[order]
            order = order[np.argsort(-values if self._descending else values, kind="stable")]
        elif self._sort == "status":
            codes = self._status[order].astype(np.int16)
            order = order[np.argsort(-codes if self._descending else codes, kind="stable")]
        elif self._descending:
            order = order[::-1].copy()
        return order

    def _renumber(self) -> None:
        self._place = np.full(len(self._samples), -1, np.int64)
        self._place[self._order] = np.arange(len(self._order))

    def _rearrange(self) -> None:
        """Change the order; selections follow their samples."""
        arranged = self._arranged()
        self.layoutAboutToBeChanged.emit()
        # Only now: selections make their indexes persistent when they hear of the change.
        persistent = self.persistentIndexList()
        places = [int(self._order[index.row()]) for index in persistent]
        self._order = arranged
        self._renumber()
        moved = [
            self.index(int(self._place[place])) if self._place[place] >= 0 else QModelIndex()
            for place in places
        ]
        self.changePersistentIndexList(persistent, moved)
        self.layoutChanged.emit()
        self.count_changed.emit(len(self._order), len(self._samples))

    def _refresh_row(self, row: int) -> None:
        if row >= 0:
            index = self.index(row)
            self.dataChanged.emit(index, index)

    def _refresh_all(self, key: str) -> None:
        if self._sort == key:
            self._rearrange()
        elif len(self._order):
            self.dataChanged.emit(self.index(0), self.index(len(self._order) - 1))


def _status_code(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else 0
