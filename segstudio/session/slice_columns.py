"""Columns of a run's samples to slice by: where an image lies, what it looks like, how it went.

Only what an image looks like needs its pixels, once: it is kept in the project.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segstudio.analysis.slices import folders_of, holds_class, quantile_bins
from segstudio.analysis.tables import RunTable
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.containers import stat_source
from segstudio.datasets.images import read_image_size, read_thumbnail
from segstudio.metrics.counts import LEVELS
from segstudio.metrics.scores import mean_iou
from segstudio.project.side_tables import ImageFacts
from segstudio.project.store import Store

__all__ = ["COLUMNS", "TAGS_NAME", "SliceColumns"]

COLUMNS = ("folder", "split", "status", "size", "brightness", "contrast", "score", "entropy")
"""What samples can be sliced by, besides ``class:NAME`` (is it there?) and ``tag:NAME``."""

TAGS_NAME = "tags.csv"
"""A table beside the images: ``sample_id`` and any columns of tags."""

_THUMBNAIL = 64
_STORED_AT_ONCE = 200

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A run's table and what is told while a column is made."""

    table: RunTable
    space: LabelSpace
    progress: Progress
    cancelled: Callable[[], bool]


class SliceColumns:
    """Columns over the samples of one dataset; may be used from several threads.

    Parameters
    ----------
    dataset : Dataset
    store : Store
        Keeps what was read of the images.
    """

    def __init__(self, dataset: Dataset, store: Store) -> None:
        self._dataset, self._store = dataset, store
        self._sizes: dict[str, float] = {}
        self._lock = threading.Lock()

    def column(
        self,
        table: RunTable,
        space: LabelSpace,
        by: str,
        *,
        progress: Progress = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Hashable]:
        """Return a column of the table's samples, in the table's order.

        Parameters
        ----------
        table : RunTable
        space : LabelSpace
            That the table counts in.
        by : str
            One of `COLUMNS`, ``class:NAME`` or ``tag:NAME``.  Numbers come in four bins of about
            equally many samples.
        progress : callable
            Receives (images read, images to read).
        cancelled : callable
            Asked before each image.

        Raises
        ------
        UsageError
            When there is no such column, class or tag.
        CancelledError
            When it was cancelled; what was read is kept.
        """
        asked = _Asked(table, space, progress, cancelled)
        if by.startswith("class:"):
            return _class_column(asked, by.removeprefix("class:"))
        if by.startswith("tag:"):
            return self._tag_column(asked, by.removeprefix("tag:"))
        makers: dict[str, Callable[[_Asked], list[Hashable]]] = {
            "folder": lambda asked: list(folders_of(asked.table.sample_ids)),
            "split": self._split_column,
            "status": self._status_column,
            "size": self._size_column,
            "brightness": lambda asked: self._fact_column(asked, "brightness"),
            "contrast": lambda asked: self._fact_column(asked, "contrast"),
            "score": _score_column,
            "entropy": _entropy_column,
        }
        if by not in makers:
            known = ", ".join(COLUMNS)
            raise UsageError(f"One slices by {known}, class:NAME or tag:NAME, not by {by!r}.")
        return makers[by](asked)

    def tags(self) -> tuple[str, ...]:
        """Return the columns of the dataset's `TAGS_NAME`, none when it has no such file.

        Raises
        ------
        UsageError
            When the file is no table with a column ``sample_id``.
        """
        header = _read_tags(self._dataset.root / TAGS_NAME)[0]
        return tuple(name for name in header if name != "sample_id")

    # -- inside -----------------------------------------------------------------------------

    def _split_column(self, asked: _Asked) -> list[Hashable]:
        return [self._dataset.sample(sample_id).split for sample_id in asked.table.sample_ids]

    def _status_column(self, asked: _Asked) -> list[Hashable]:
        states = dict.fromkeys(self._store.corrected_samples(), "corrected")
        states.update(self._store.reviews())
        return [states.get(sample_id, "predicted") for sample_id in asked.table.sample_ids]

    def _tag_column(self, asked: _Asked, name: str) -> list[Hashable]:
        path = self._dataset.root / TAGS_NAME
        header, rows = _read_tags(path)
        if name not in header or name == "sample_id":
            known = ", ".join(header) or "none"
            raise UsageError(f"{path} has no column {name!r}; it has {known}.")
        place, key = header.index(name), header.index("sample_id")
        values = {row[key]: row[place] or None for row in rows}
        return [values.get(sample_id) for sample_id in asked.table.sample_ids]

    def _size_column(self, asked: _Asked) -> list[Hashable]:
        for sample_id in asked.table.sample_ids:
            if sample_id not in self._sizes:
                height, width = read_image_size(self._dataset.sample(sample_id).image_path)
                self._sizes[sample_id] = float(height * width)
        return list(quantile_bins([self._sizes[key] for key in asked.table.sample_ids]))

    def _fact_column(self, asked: _Asked, name: str) -> list[Hashable]:
        facts = self._facts(asked)
        values = [
            round(getattr(facts[key], name), 3) if key in facts else None
            for key in asked.table.sample_ids
        ]
        return list(quantile_bins(values))

    def _facts(self, asked: _Asked) -> dict[str, ImageFacts]:
        """Return what the images look like, reading those that nobody has read yet."""
        with self._lock:
            known = self._store.image_facts()
            missing: list[tuple[Sample, str]] = []
            for sample_id in asked.table.sample_ids:
                sample = self._dataset.sample(sample_id)
                state = _file_state(sample.image_path)
                if state is None:
                    known.pop(sample_id, None)  # the slice of the unknown
                elif sample_id not in known or known[sample_id].file != state:
                    missing.append((sample, state))
            fresh: dict[str, ImageFacts] = {}
            for number, (sample, state) in enumerate(missing):
                asked.progress(number, len(missing))
                stopped = asked.cancelled()
                if stopped or len(fresh) >= _STORED_AT_ONCE:
                    self._keep(fresh)
                    known.update(fresh)
                    fresh = {}
                if stopped:
                    raise CancelledError("Stopped: what was read of the images is kept.")
                try:
                    fresh[sample.sample_id] = _look(sample.image_path, state)
                except SegStudioError:
                    known.pop(sample.sample_id, None)  # the jobs panel says why it is unreadable
            self._keep(fresh)
            return {**known, **fresh}

    def _keep(self, fresh: dict[str, ImageFacts]) -> None:
        if fresh and not self._store.read_only:
            self._store.save_image_facts(fresh.items())


def _class_column(asked: _Asked, name: str) -> list[Hashable]:
    entry = asked.space.find(name)
    if entry is None:
        raise UsageError(f"The label space {asked.space.name} has no class {name!r}.")
    return ["with" if there else "without" for there in holds_class(asked.table, entry.index)]


def _score_column(asked: _Asked) -> list[Hashable]:
    values = np.round(mean_iou(asked.table.sample_totals()), 4)
    return list(quantile_bins(np.atleast_1d(values).tolist()))


def _entropy_column(asked: _Asked) -> list[Hashable]:
    levels = asked.table.entropy.sum(1, dtype=np.int64)
    pixels = levels.sum(1)
    sums = levels @ np.arange(LEVELS)
    empty = pixels == 0
    means = np.where(empty, np.nan, sums / np.where(empty, 1, pixels) / (LEVELS - 1))
    return list(quantile_bins(np.round(means, 4).tolist()))


def _file_state(path: Path) -> str | None:
    try:
        state = stat_source(path)
    except OSError:
        return None
    return f"{state.st_size}|{state.st_mtime_ns}"


def _look(path: Path, state: str) -> ImageFacts:
    gray = read_thumbnail(path, _THUMBNAIL).mean(-1) / 255
    height, width = read_image_size(path)
    return ImageFacts(state, height * width, float(gray.mean()), float(gray.std()))


def _read_tags(path: Path) -> tuple[list[str], Sequence[list[str]]]:
    if not path.is_file():
        return [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a table of tags: {error}.") from error
    header = rows[0] if rows else []
    if "sample_id" not in header:
        raise UsageError(f"{path} is no table of tags: its first line needs a column sample_id.")
    return header, [row + [""] * (len(header) - len(row)) for row in rows[1:]]
