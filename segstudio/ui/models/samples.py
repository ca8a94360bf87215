"""The list of samples: 100,000 rows without an object per row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QImage

from segstudio.core.types import Sample
from segstudio.ui.models.sample_filter import parse_filter
from segstudio.ui.thumbnails import ImageCache

__all__ = ["SORT_KEYS", "STATUSES", "SampleListModel"]

Index = QModelIndex | QPersistentModelIndex

STATUSES = ("new", "predicted", "in progress", "corrected", "failed", "checked", "flagged")
"""What the list can say of a sample, in the order of sorting by status."""

_BY_HAND = ("checked", "flagged")
"""States that only a person sets; painting does not change what they hide."""

SORT_KEYS = ("name", "miou", "status", "entropy", "errors")
"""What the list can be sorted by."""

_STATE_NAMES = {"new": ("new", "untouched"), "predicted": ("predicted", "untouched")}
"""What states are called in a filter, where it is not only their own name."""

_NO_PARENT = QModelIndex()


class SampleListModel(QAbstractListModel):
    """Samples in a chosen order, restricted to those whose name holds a text.

    Rows are numbers into one tuple of samples; scores and states are arrays beside it, so sorting
    and filtering touch no Python object per sample but the names.
    """

    thumbnail_requested = Signal(str)
    count_changed = Signal(int, int)  # shown, all
    subset_changed = Signal(str)  # what the samples shown have in common, "" without a subset
    thumbnail_changed = Signal(str)

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
        self._by_hand: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._entropy: NDArray[np.float32] = np.empty(0, np.float32)
        self._errors: NDArray[np.float32] = np.empty(0, np.float32)
        self._present: NDArray[np.bool_] = np.empty((0, 0), bool)
        self._class_names: tuple[str, ...] = ()
        self._order: NDArray[np.int64] = np.empty(0, np.int64)
        self._place: NDArray[np.int64] = np.empty(0, np.int64)
        self._filter = ""
        self._subset: NDArray[np.bool_] | None = None
        self._sort = "name"
        self._descending = False
        self._thumbnails = ImageCache(thumbnail_bytes)
        self._asked: set[str] = set()

    # -- what is shown ------------------------------------------------------------------------

    def set_samples(
        self, samples: tuple[Sample, ...], places: dict[str, int] | None = None
    ) -> list[Sample]:
        """Show other samples; scores, states and the filter start anew.

        ``places`` is where each sample stands, by its id, where that is known already.
        Returns the samples before, for a thread to free: of 100,000 that takes 30 ms.
        """
        before = [*self._samples]
        self.beginResetModel()
        self._samples = samples
        self._names = []
        self._row_of_id = places
        self._miou = np.full(len(samples), np.nan, np.float32)
        self._status = np.zeros(len(samples), np.uint8)
        self._by_hand = np.zeros(len(samples), np.uint8)
        self.set_facts({}, ())
        self._filter = ""
        self._subset = None
        self._thumbnails.clear()
        self._asked.clear()
        self._order = self._arranged()
        self._renumber()
        self.endResetModel()
        self.count_changed.emit(len(self._order), len(samples))
        self.subset_changed.emit("")
        return before

    def set_subset(self, sample_ids: Iterable[str] | None, title: str = "") -> None:
        """Show only these samples, whatever the text filter says; None shows all.

        ``title`` is what they have in common, for a person to read.
        """
        self._subset = None
        if sample_ids is not None:
            rows = self._rows()
            self._subset = np.zeros(len(self._samples), bool)
            places = [rows[sample_id] for sample_id in sample_ids if sample_id in rows]
            self._subset[np.asarray(places, np.int64)] = True
        self._rearrange()
        self.subset_changed.emit(title if sample_ids is not None else "")

    def set_filter(self, text: str) -> None:
        """Show only samples that a text asks for; see `parse_filter`."""
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

    def set_facts(
        self,
        facts: Mapping[str, tuple[float | None, float | None, Collection[int]]],
        class_names: Sequence[str],
    ) -> None:
        """Set what samples are filtered and sorted by, forgetting what was known.

        Parameters
        ----------
        facts : mapping of str to (float or None, float or None, collection of int)
            By sample: mean entropy, share of confident errors, class indices that are present.
        class_names : sequence of str
            By class index.
        """
        count = len(self._samples)
        self._entropy = np.full(count, np.nan, np.float32)
        self._errors = np.full(count, np.nan, np.float32)
        self._present = np.zeros((count, len(class_names)), bool)
        self._class_names = tuple(class_names)
        rows = self._rows() if facts else {}
        for sample_id, (entropy, errors, classes) in facts.items():
            place = rows.get(sample_id)
            if place is not None:
                self._entropy[place] = np.nan if entropy is None else entropy
                self._errors[place] = np.nan if errors is None else errors
                self._present[place, list(classes)] = True
        asks = parse_filter(self._filter)
        if facts and (self._sort in ("entropy", "errors") or asks.classes or asks.figures):
            self._rearrange()

    def set_statuses(self, statuses: dict[str, str]) -> None:
        """Set many samples' states; the others become "new"."""
        self._status[:] = 0
        self._by_hand[:] = 0
        rows = self._rows()
        for sample_id, status in statuses.items():
            place = rows.get(sample_id)
            if place is not None:
                kept = self._by_hand if status in _BY_HAND else self._status
                kept[place] = _status_code(status)
        self._refresh_all("status")

    def set_review(self, sample_id: str, state: str) -> None:
        """Set what a person says of a sample; "" takes it back."""
        place = self._rows().get(sample_id)
        if place is None:
            return
        self._by_hand[place] = _status_code(state) if state in _BY_HAND else 0
        if state and state not in _BY_HAND:
            self._status[place] = _status_code(state)
        self._refresh_row(int(self._place[place]))

    def status_counts(self) -> dict[str, int]:
        """Return how many samples are in each state, shown or not."""
        counts = np.bincount(self._codes(), minlength=len(STATUSES))
        return dict(zip(STATUSES, counts.tolist(), strict=True))

    def shown_after(self, sample_id: str) -> list[str]:
        """Return the samples shown, from the one after a sample round to the one before it."""
        row = self.row_of(sample_id)
        order = np.roll(self._order, -(row + 1)) if row >= 0 else self._order
        found = [self._samples[place].sample_id for place in order.tolist()]
        return found[:-1] if row >= 0 else found

    def _codes(self) -> NDArray[np.uint8]:
        """Return the state of each sample: what a person says, else what follows."""
        return np.where(self._by_hand > 0, self._by_hand, self._status)

    def _code(self, place: int) -> int:
        return int(self._by_hand[place] or self._status[place])

    def set_status(self, sample_id: str, status: str) -> None:
        """Set one sample's state as it follows from runs and strokes, one of `STATUSES`."""
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
        self.thumbnail_changed.emit(sample_id)

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
        return STATUSES[0 if place is None else self._code(place)]

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
            return STATUSES[self._code(place)]
        if role == self.MiouRole:
            value = float(self._miou[place])
            return None if value != value else value
        if role == self.SplitRole:
            return sample.split
        if role == self.ThumbnailRole:
            return self.thumbnail(sample.sample_id)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{sample.sample_id}, {STATUSES[self._code(place)]}"
        return None

    def thumbnail(self, sample_id: str) -> QImage | None:
        """Return a sample's thumbnail, None while it is asked for."""
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
        if self._subset is not None:
            order = order[self._subset]
        if self._filter:
            order = order[self._wanted(order)]
        figures = self._figures()
        if self._sort in figures:
            values = figures[self._sort][order]
            order = order[np.argsort(-values if self._descending else values, kind="stable")]
        elif self._sort == "status":
            codes = self._codes()[order].astype(np.int16)
            order = order[np.argsort(-codes if self._descending else codes, kind="stable")]
        elif self._descending:
            order = order[::-1].copy()
        return order

    def _figures(self) -> dict[str, NDArray[np.float32]]:
        return {"miou": self._miou, "entropy": self._entropy, "errors": self._errors}

    def _wanted(self, order: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some places the filter lets through."""
        asks = parse_filter(self._filter)
        keep = np.ones(len(order), bool)
        if asks.words:
            names = self._lower_names()
            keep &= [all(word in names[place] for word in asks.words) for place in order.tolist()]
        if asks.states:
            states = np.array(
                [asks.keeps_state(*_STATE_NAMES.get(status, (status,))) for status in STATUSES]
            )
            keep &= states[self._codes()[order]]
        if asks.classes:
            keep &= asks.keep_classes(self._present[order], self._class_names)
        figures = {"score": self._miou, **self._figures()}
        return keep & asks.keep_figures(
            {name: values[order] for name, values in figures.items()}, len(order)
        )

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
