"""The project's doors to analysis: slices and pairs of runs, and out-of-distribution data.

Counts are read from the store once and kept as columns (`RunTable`); what follows from them reads
no pixel.  Only agreement and out-of-distribution counts make one pass over stored label maps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.agreement import Agreement, add_agreements, count_agreement
from segstudio.analysis.compare import Comparison, compare_tables
from segstudio.analysis.slices import SliceScores, score_groups
from segstudio.analysis.tables import RunTable, build_run_table
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.evaluation import read_run_counts
from segstudio.session.slice_columns import COLUMNS, SliceColumns
from segstudio.session.targets import (
    MappingSource,
    TargetReader,
    build_target_reader,
    resolve_mapping,
)

__all__ = ["COLUMNS", "Analysis"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One of two runs: its record, its ground truth, and how it comes into the common space."""

    record: RunRecord
    reader: TargetReader | None
    table: NDArray[Any] | None

    def read(self, layout: ProjectLayout, sample_id: str) -> LabelMap:
        label_map = read_source_map(layout.layer(self.record.run, "labels", sample_id))
        return label_map if self.table is None else self.table[label_map]


class Analysis:
    """Questions about the stored runs of one project.

    Parameters
    ----------
    dataset : Dataset or None
        None where nobody knows which images the project is about: then there is no ground truth.
    store, layout : Store, ProjectLayout
        The project.
    mapping : LabelMapping or callable, optional
        Used for the runs whose label space is not the ground truth's.
    """

    def __init__(
        self,
        dataset: Dataset | None,
        store: Store,
        layout: ProjectLayout,
        *,
        mapping: MappingSource = None,
    ) -> None:
        self.dataset = dataset
        self.store = store
        self.layout = layout
        self.mapping = mapping
        self._tables: dict[str, tuple[int, LabelSpace, RunTable]] = {}
        self._columns: SliceColumns | None = None
        samples = () if dataset is None else dataset.samples
        self._samples = {sample.sample_id: sample for sample in samples}

    # -- counts -----------------------------------------------------------------------------

    def table(self, run: str, progress: Progress = lambda done, total: None) -> RunTable:
        """Return the counts of a run's scored samples; read again once more samples are done.

        Raises
        ------
        UsageError
            When there is no ground truth, or no mapping to it.
        """
        return self._scored(run, progress)[1]

    def label_space(self, run: str) -> LabelSpace:
        """Return the label space that `table` counts in."""
        return self._scored(run, lambda done, total: None)[0]

    def forget(self) -> None:
        """Read counts again when they are asked for: ground truth or corrections changed."""
        self._tables.clear()

    def _scored(self, run: str, progress: Progress) -> tuple[LabelSpace, RunTable]:
        finished = self.store.finished_count(run)
        known = self._tables.get(run)
        if known is not None and known[0] == finished:
            return known[1], known[2]
        reader = self._reader(self.store.run(run))
        if reader is None:
            raise UsageError(
                f"The images of the run {run} have no ground truth here; open the dataset that "
                "has it."
            )
        samples, _ = read_run_counts(reader, self.store, self.layout, run, progress)
        table = build_run_table(samples, len(reader.space))
        self._tables[run] = finished, reader.space, table
        return reader.space, table

    def _reader(self, record: RunRecord) -> TargetReader | None:
        """Return how a run meets the ground truth; the mapping only where it is needed."""
        if self.dataset is None or not self.dataset.has_targets:
            return None
        space = self.dataset.label_space
        is_same = space is not None and space.names == record.label_space.names
        return build_target_reader(
            self.dataset, record.label_space, None if is_same else self.mapping
        )

    # -- slices -----------------------------------------------------------------------------

    def column(
        self,
        run: str,
        by: str,
        *,
        progress: Progress = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Hashable]:
        """Return a column of the run's scored samples to slice by; see `SliceColumns.column`."""
        table = self.table(run)
        return self.columns.column(
            table, self.label_space(run), by, progress=progress, cancelled=cancelled
        )

    @property
    def columns(self) -> SliceColumns:
        """The columns of the dataset's samples.

        Raises
        ------
        UsageError
            When nobody knows which images the project is about.
        """
        if self._columns is None:
            if self.dataset is None:
                raise UsageError("Open the dataset that the project is about; then slice it.")
            self._columns = SliceColumns(self.dataset, self.store)
        return self._columns

    def slices(self, run: str, by: str, **thresholds: float) -> tuple[SliceScores, ...]:
        """Score a run by the values of a column; see `column` and `score_slice`."""
        return score_groups(self.table(run), self.column(run, by), **thresholds)

    # -- two runs ---------------------------------------------------------------------------

    def compare(
        self,
        run_a: str,
        run_b: str,
        *,
        pixels: bool = True,
        progress: Progress = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[Comparison, list[tuple[str, str]]]:
        """Compare two runs; differences are b minus a.

        Parameters
        ----------
        run_a, run_b : str
        pixels : bool
            Whether to read the label maps of both for their agreement.
        progress : callable
            Receives (samples read, samples to read).
        cancelled : callable
            Asked before each sample.

        Returns
        -------
        Comparison
        list of (str, str)
            Sample id and reason of what could not be compared.

        Raises
        ------
        UsageError
            When nothing joins their label spaces, or they have no image in common.
        CancelledError
            When it was cancelled.
        """
        space, sides = self._join(run_a, run_b)
        names = run_a, run_b
        if all(side.reader is not None for side in sides):
            tables = [self.table(side.record.run) for side in sides]
        else:
            tables = [build_run_table([], len(space)) for _ in sides]
        comparison = compare_tables(space, tables[0], tables[1], runs=names)
        if not pixels:
            return comparison, []
        common = self._finished_in_both(names)
        if not common:
            raise UsageError(
                f"The runs {run_a} and {run_b} have no image in common; run both models on the "
                "same images."
            )
        parts: list[Agreement] = []
        failed: list[tuple[str, str]] = []
        for number, sample_id in enumerate(common):
            if cancelled():
                raise CancelledError("Interrupted: nothing was compared.")
            progress(number, len(common))
            try:
                parts.append(self._agreement(space, sides, sample_id))
            except SegStudioError as error:
                failed.append((sample_id, str(error)))
        return replace(comparison, agreement=add_agreements(parts, len(space))), failed

    def _finished_in_both(self, runs: tuple[str, str]) -> list[str]:
        done = [
            {key for key, entry in self.store.results(run).items() if entry.error is None}
            for run in runs
        ]
        return sorted(done[0] & done[1])

    def _join(self, run_a: str, run_b: str) -> tuple[LabelSpace, list[_Side]]:
        """Return the label space in which two runs can be compared, and the way there."""
        records = [self.store.run(run) for run in (run_a, run_b)]
        readers = []
        for record in records:
            try:
                readers.append(self._reader(record))
            except UsageError:
                # The ground truth is in another label space and nothing maps it: the runs may be
                # compared with each other all the same.
                readers.append(None)
        first, second = readers
        if first is not None and second is not None and first.space.names == second.space.names:
            return first.space, [
                _Side(record, reader, reader.prediction_table)
                for record, reader in zip(records, (first, second), strict=True)
            ]
        a, b = (record.label_space for record in records)
        sides = [_Side(record, None, None) for record in records]
        if a.names == b.names:
            return a, sides
        mapping = resolve_mapping(self.mapping, a, b)
        ends = None if mapping is None else (mapping.source, mapping.target)
        if mapping is not None and ends == (a.name, b.name):
            return b, [replace(sides[0], table=mapping.table(a, b)), sides[1]]
        if mapping is not None and ends == (b.name, a.name):
            return a, [sides[0], replace(sides[1], table=mapping.table(b, a))]
        raise UsageError(
            f"The run {run_a} is in the label space {a.name}, the run {run_b} in {b.name}; name a "
            "mapping between them with --mapping."
        )

    def _agreement(self, space: LabelSpace, sides: list[_Side], sample_id: str) -> Agreement:
        maps = [side.read(self.layout, sample_id) for side in sides]
        reader, target, entropies = sides[0].reader, None, None
        if reader is not None:
            sample = self._samples.get(sample_id)
            if sample is not None and sample.target_path is not None:
                target = reader.read_target(sample)
        # Predictions of other programs come without entropy: then nobody says who was unsure.
        if target is not None and all(side.record.has_uncertainty for side in sides):
            levels = [
                read_source_map(self.layout.layer(side.record.run, "entropy", sample_id))
                for side in sides
            ]
            entropies = levels[0].astype(np.uint8), levels[1].astype(np.uint8)
        return count_agreement(
            maps[0],
            maps[1],
            len(space),
            ignore_index=space.ignore_index,
            target=target,
            entropies=entropies,
            name=sample_id,
        )
