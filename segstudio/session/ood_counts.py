"""What a run makes of the categories of another label space, counted once and kept in the project.

Counting reads the label maps of samples that were not counted yet (or whose ground truth,
prediction or mapping changed since).  Everything that is asked afterwards is answered from the
stored counts, whatever the threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.anomaly import (
    SMALLEST_PREDICTED,
    SMALLEST_TARGET,
    ComponentMatch,
    ComponentScores,
    match_components,
    measure_shift,
    score_components,
)
from segstudio.analysis.ood import (
    Categories,
    CategoryCounts,
    accuracy_counts,
    build_categories,
    count_categories,
    detection_histogram,
)
from segstudio.analysis.ood_report import OodRun
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.metrics.counts import LEVELS, SampleCounts
from segstudio.metrics.detection import best_f1_level
from segstudio.project.layout import ProjectLayout
from segstudio.project.side_tables import OodRecord
from segstudio.project.store import RunRecord, Store
from segstudio.session.targets import TargetReader, build_target_reader, category_space

__all__ = ["OodAnalysis", "OodStep"]

_STORED_AT_ONCE = 32

OodStep = Callable[[str | None, str], None]
"""Told after each sample that was read: None, or the reason why it failed; and the sample's id."""

Smallest = tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Case:
    """A run seen through a mapping, with the present state of its samples."""

    record: RunRecord
    space: LabelSpace
    categories: Categories
    samples: dict[str, Sample]
    keys: dict[str, str]
    failed: dict[str, str]


@dataclass(frozen=True, eq=False)
class _Pool:
    """The stored counts of a case, added up."""

    total: CategoryCounts
    accuracy: list[tuple[int, int]]
    matches: dict[str, tuple[str, bytes]]
    counted: tuple[str, ...]


class OodAnalysis:
    """The category counts of one project's runs.

    Parameters
    ----------
    dataset : Dataset
        With ground truth in the label space that the mappings start at.
    store, layout : Store, ProjectLayout
        The project; one that cannot be written keeps nothing, the counts live as long as this.
    """

    def __init__(self, dataset: Dataset, store: Store, layout: ProjectLayout) -> None:
        self._dataset, self._store, self._layout = dataset, store, layout
        self._unsaved: dict[str, dict[str, OodRecord]] = {}

    # -- counting ---------------------------------------------------------------------------

    def missing(
        self,
        run: str,
        mapping: LabelMapping,
        *,
        smallest: Smallest = (SMALLEST_TARGET, SMALLEST_PREDICTED),
    ) -> int:
        """Return how many samples `analyse` would read, those for their components again.

        Raises
        ------
        UsageError
            When the mapping does not lead from the ground truth to the run's label space, or no
            sample has both.
        """
        case = self._case(run, mapping)
        fresh = self._stale(case)
        if fresh:
            return len(fresh) + (len(case.keys) if case.categories.outside.any() else 0)
        pool = self._pool(case)
        key = self._component_key(case, pool, smallest)
        return 0 if key is None else sum(pool.matches[name][0] != key for name in pool.counted)

    def analyse(
        self,
        run: str,
        mapping: LabelMapping,
        *,
        smallest: Smallest = (SMALLEST_TARGET, SMALLEST_PREDICTED),
        step: OodStep = lambda problem, sample_id: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[tuple[str, str]]:
        """Count what is missing and keep it; return (sample id, reason) of what failed.

        Raises
        ------
        UsageError
            As `missing`.
        CancelledError
            When it was cancelled; what was counted is kept.
        """
        case = self._case(run, mapping)
        failed = dict(case.failed)
        todo = [case.samples[key] for key in self._stale(case)]
        self._count(case, todo, failed, step, cancelled)
        pool = self._pool(case)
        key = self._component_key(case, pool, smallest)
        if key is not None:
            again = [
                case.samples[name]
                for name in pool.counted
                if pool.matches[name][0] != key and name not in failed
            ]
            self._match(case, again, key, smallest, failed, step, cancelled)
        return sorted(failed.items())

    def _count(
        self,
        case: _Case,
        samples: Sequence[Sample],
        failed: dict[str, str],
        step: OodStep,
        cancelled: Callable[[], bool],
    ) -> None:
        fresh: list[OodRecord] = []
        try:
            for sample, maps, problem in self._read(case, samples, cancelled):
                if maps is not None:
                    target, prediction, entropy = maps
                    try:
                        confidence = self._layer(case, "confidence", sample)
                        counts = count_categories(
                            case.categories,
                            target,
                            prediction,
                            entropy,
                            confidence,
                            name=sample.sample_id,
                        )
                        key = case.keys[sample.sample_id]
                        fresh.append(OodRecord(sample.sample_id, key, counts.to_bytes()))
                    except SegStudioError as error:
                        problem = str(error)
                if problem is not None:
                    failed[sample.sample_id] = problem
                if len(fresh) >= _STORED_AT_ONCE:
                    self._keep(case, fresh)
                    fresh = []
                step(problem, sample.sample_id)
        finally:
            self._keep(case, fresh)

    def _match(
        self,
        case: _Case,
        samples: Sequence[Sample],
        key: str,
        smallest: Smallest,
        failed: dict[str, str],
        step: OodStep,
        cancelled: Callable[[], bool],
    ) -> None:
        level = int(key.split("|")[0])
        size = len(case.categories.source)
        outside = np.zeros(65536, bool)
        outside[:size] = case.categories.outside
        fresh: list[tuple[str, str, bytes]] = []
        try:
            for sample, maps, problem in self._read(case, samples, cancelled):
                if maps is not None:
                    target, _, entropy = maps
                    match = match_components(
                        outside[target],
                        entropy >= level,
                        ignored=target >= size,
                        smallest_target=smallest[0],
                        smallest_predicted=smallest[1],
                    )
                    fresh.append((sample.sample_id, key, match.to_bytes()))
                if problem is not None:
                    failed[sample.sample_id] = problem
                step(problem, sample.sample_id)
        finally:
            self._keep_matches(case, fresh)

    def _read(
        self, case: _Case, samples: Sequence[Sample], cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Sample, tuple[LabelMap, LabelMap, NDArray[np.uint8]] | None, str | None]]:
        """Yield each sample with target, prediction and entropy, or with why there are none."""
        for sample in samples:
            if cancelled():
                raise CancelledError("Interrupted: the predictions are kept.")
            try:
                target = self._dataset.read_target(sample, case.space)
                prediction = self._layer(case, "labels", sample, narrow=False)
                maps = target, prediction, self._layer(case, "entropy", sample)
            except SegStudioError as error:
                yield sample, None, str(error)
                continue
            yield sample, maps, None

    def _layer(
        self, case: _Case, name: str, sample: Sample, *, narrow: bool = True
    ) -> NDArray[np.uint8]:
        layer: NDArray[np.uint8] = read_source_map(
            self._layout.layer(case.record.run, name, sample.sample_id)
        )
        return layer.astype(np.uint8) if narrow else layer

    # -- answers ----------------------------------------------------------------------------

    def result(
        self,
        run: str,
        mapping: LabelMapping,
        *,
        in_distribution: Sequence[SampleCounts] | None = None,
        smallest: Smallest = (SMALLEST_TARGET, SMALLEST_PREDICTED),
    ) -> OodRun:
        """Return what was counted; no pixel is read.

        Parameters
        ----------
        run : str
        mapping : LabelMapping
        in_distribution : sequence of SampleCounts, optional
            The same model's counts on data that it was made for.
        smallest : (int, int)
            Pixels below which a component of the ground truth, and a predicted one, is left out.

        Raises
        ------
        UsageError
            As `missing`.
        CorruptProjectError
            When what is stored is damaged.
        """
        case = self._case(run, mapping)
        pool = self._pool(case)
        record, categories = case.record, case.categories
        result = OodRun(run, record.model, categories, pool.total, len(pool.counted))
        key = self._component_key(case, pool, smallest)
        if key is not None:
            result = replace(result, components=_components(pool, key, smallest))
        if in_distribution is not None:
            in_accuracy = []
            in_entropy = np.zeros(LEVELS, np.int64)
            for counts in in_distribution:
                right = int(counts.counts[counts.rows == counts.cols].sum())
                in_accuracy.append((right, counts.labelled_pixels))
                in_entropy += counts.entropy_histogram.sum((0, 1))
            shift = measure_shift(
                np.array(in_accuracy, np.int64).reshape(-1, 2),
                np.array(pool.accuracy, np.int64).reshape(-1, 2),
                in_entropy,
                pool.total.entropy,
            )
            result = replace(result, shift=shift)
        return result

    # -- inside -----------------------------------------------------------------------------

    def _case(self, run: str, mapping: LabelMapping) -> _Case:
        record = self._store.run(run)
        space = category_space(self._dataset, mapping)
        categories = build_categories(mapping, space, record.label_space)
        reader = build_target_reader(self._dataset, record.label_space, mapping)
        assert reader is not None  # `category_space` has seen the ground truth
        digest = hashlib.sha256(categories.allowed.tobytes() + categories.first.tobytes())
        results = self._store.results(run)
        samples: dict[str, Sample] = {}
        keys: dict[str, str] = {}
        failed: dict[str, str] = {}
        for sample in self._dataset.samples:
            result = results.get(sample.sample_id)
            if result is None or sample.target_path is None:
                continue
            if result.error is not None:
                failed[sample.sample_id] = result.error
                continue
            try:
                key = _key(reader, sample, result.finished, digest.hexdigest()[:16])
            except SegStudioError as error:
                failed[sample.sample_id] = str(error)
                continue
            samples[sample.sample_id], keys[sample.sample_id] = sample, key
        if not keys and not failed:
            raise UsageError(
                f"The run {run} has no image with ground truth in {self._dataset.root}."
            )
        return _Case(record, space, categories, samples, keys, failed)

    def _records(self, case: _Case) -> dict[str, OodRecord]:
        run = case.record.run
        found = {record.sample_id: record for record in self._store.ood_records(run)}
        found.update(self._unsaved.get(run, {}))
        return {
            name: found[name]
            for name, key in case.keys.items()
            if name in found and found[name].target == key
        }

    def _stale(self, case: _Case) -> list[str]:
        """Return the samples that have to be counted, in the dataset's order."""
        known = self._store.ood_keys(case.record.run)
        unsaved = self._unsaved.get(case.record.run, {})
        known.update({name: record.target for name, record in unsaved.items()})
        return [name for name, key in case.keys.items() if known.get(name) != key]

    def _pool(self, case: _Case) -> _Pool:
        records = self._records(case)
        total = CategoryCounts.empty(case.categories)
        accuracy: list[tuple[int, int]] = []
        matches: dict[str, tuple[str, bytes]] = {}
        for name, record in records.items():
            counts = CategoryCounts.from_bytes(record.counts, case.categories)
            total.add(counts)
            accuracy.append(accuracy_counts(case.categories, counts))
            matches[name] = record.components_target or "", record.components or b""
        return _Pool(total, accuracy, matches, tuple(records))

    def _component_key(self, case: _Case, pool: _Pool, smallest: Smallest) -> str | None:
        """Return what components are matched with; None when nothing is out of the space."""
        if not pool.total.joint[case.categories.outside].sum():
            return None
        level, _ = best_f1_level(detection_histogram(case.categories, pool.total.entropy))
        return f"{level}|{smallest[0]}|{smallest[1]}"

    def _keep(self, case: _Case, records: Sequence[OodRecord]) -> None:
        if self._store.read_only:
            kept = self._unsaved.setdefault(case.record.run, {})
            kept.update({record.sample_id: record for record in records})
        elif records:
            self._store.save_ood(case.record.run, records)

    def _keep_matches(self, case: _Case, entries: Sequence[tuple[str, str, bytes]]) -> None:
        if self._store.read_only:
            kept = self._unsaved.setdefault(case.record.run, {})
            records = self._records(case)
            for name, key, data in entries:
                kept[name] = replace(records[name], components_target=key, components=data)
        elif entries:
            self._store.save_components(case.record.run, entries)


def _key(reader: TargetReader, sample: Sample, finished: float, digest: str) -> str:
    return f"{reader.key(sample)}|{finished!r}|{digest}"


def _components(pool: _Pool, key: str, smallest: Smallest) -> ComponentScores | None:
    """Return the scores of stored matches; None while some are missing."""
    if any(made != key for made, _ in pool.matches.values()):
        return None
    return score_components(
        (ComponentMatch.from_bytes(data) for _, data in pool.matches.values()),
        threshold=int(key.split("|")[0]) / (LEVELS - 1),
        smallest_target=smallest[0],
        smallest_predicted=smallest[1],
    )
