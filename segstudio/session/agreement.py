"""Counting how far the runs of a project agree: one pass over their label maps, kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.agreement import count_agreement
from segstudio.analysis.consensus import Consensus, PairTotals, build_consensus
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.types import LabelMap
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.targets import TargetReader, build_target_reader

__all__ = ["RunAgreements"]

Pair = tuple[str, str]
Work = dict[str, list[Pair]]
"""Pairs of runs that have to be counted, by sample."""


@dataclass
class _Kept:
    """What was counted of a pair, and of which results: their times and the ground truth's."""

    totals: PairTotals
    keys: dict[str, tuple[Any, ...]] = field(default_factory=dict)


class RunAgreements:
    """The agreement of one project's runs; may be used from several threads.

    Runs are compared class by class, so only those of one label space are.

    Parameters
    ----------
    dataset : Dataset
    store, layout : Store, ProjectLayout
        The project.
    """

    def __init__(self, dataset: Dataset, store: Store, layout: ProjectLayout) -> None:
        self._dataset, self._store, self._layout = dataset, store, layout
        self._samples = {sample.sample_id: sample for sample in dataset.samples}
        self._kept: dict[Pair, _Kept] = {}
        self._lock = threading.RLock()

    def missing(self, runs: Sequence[str]) -> Work:
        """Return what has to be counted before `consensus` knows everything of these runs.

        A pair of which a result was made again is counted anew.

        Raises
        ------
        UsageError
            When there is no such run.
        """
        records = {run: self._store.run(run) for run in runs}
        finished = {
            run: {
                key: entry.finished
                for key, entry in self._store.results(run).items()
                if entry.error is None and key in self._samples
            }
            for run in records
        }
        work: Work = {}
        for pair in combinations(records, 2):
            spaces = [records[run].label_space for run in pair]
            if spaces[0].names != spaces[1].names:
                continue
            times = [finished[run] for run in pair]
            keys = {
                key: (times[0][key], times[1][key], self._target_time(key))
                for key in times[0]
                if key in times[1]
            }
            with self._lock:
                kept = self._kept.get(pair)
                if kept is None or any(keys.get(key) != old for key, old in kept.keys.items()):
                    kept = self._kept[pair] = _Kept(PairTotals(len(spaces[0])))
                for key in keys.keys() - kept.keys.keys():
                    work.setdefault(key, []).append(pair)
        return dict(sorted(work.items()))

    def _target_time(self, sample_id: str) -> int:
        path = self._samples[sample_id].target_path
        try:
            return 0 if path is None else path.stat().st_mtime_ns
        except OSError:
            return 0

    def count(
        self, work: Work, *, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Count what is missing, sample by sample.

        Yields
        ------
        str
            Why a sample could not be counted, "" when it was.

        Raises
        ------
        CancelledError
            When ``is_cancelled`` says so; what was counted is kept.
        """
        runs = {run for pairs in work.values() for pair in pairs for run in pair}
        records = {run: self._store.run(run) for run in runs}
        finished = {run: self._store.results(run) for run in runs}
        readers = {run: self._reader(record) for run, record in records.items()}
        for sample_id, pairs in work.items():
            if is_cancelled():
                raise CancelledError("Interrupted: the agreement is not complete.")
            problem = ""
            try:
                for pair in pairs:
                    times = [finished[run][sample_id].finished for run in pair]
                    key = (times[0], times[1], self._target_time(sample_id))
                    self._count_pair(pair, sample_id, records[pair[0]], readers[pair[0]], key)
            except SegStudioError as error:
                problem = str(error)
            yield problem

    def _count_pair(
        self,
        pair: Pair,
        sample_id: str,
        record: RunRecord,
        reader: TargetReader | None,
        key: tuple[Any, ...],
    ) -> None:
        sample = self._samples[sample_id]
        labels = [self._read(run, "labels", sample_id) for run in pair]
        target: LabelMap | None = None
        entropies: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
        if reader is not None and sample.target_path is not None:
            target = reader.read_target(sample)
            levels = [self._read(run, "entropy", sample_id).astype(np.uint8) for run in pair]
            entropies = levels[0], levels[1]
        space = record.label_space
        counted = count_agreement(
            labels[0],
            labels[1],
            len(space),
            ignore_index=space.ignore_index,
            target=target,
            entropies=entropies,
            name=sample_id,
        )
        with self._lock:
            kept = self._kept.get(pair)
            if kept is not None and sample_id not in kept.keys:
                kept.totals.add(sample_id, counted)
                kept.keys[sample_id] = key

    def _read(self, run: str, layer: str, sample_id: str) -> NDArray[Any]:
        return read_source_map(self._layout.layer(run, layer, sample_id))

    def _reader(self, record: RunRecord) -> TargetReader | None:
        """Return how a run meets the ground truth, None when there is none or nothing maps it."""
        try:
            return build_target_reader(self._dataset, record.label_space)
        except UsageError:
            return None

    def consensus(self, runs: Sequence[str]) -> Consensus:
        """Return what is counted of these runs so far; nothing is read."""
        with self._lock:
            known = {
                pair: self._kept[pair].totals
                for pair in combinations(runs, 2)
                if pair in self._kept
            }
            return build_consensus(runs, known)
