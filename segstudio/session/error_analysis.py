"""The stored error analysis of runs: what is missing, what it adds up to, which regions there are.

Making it reads pixels and is a job (`segstudio.session.errors_job`); what is asked here is answered
from the store's blobs, which are read once and kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.counts import ErrorCounts, sum_error_counts
from segstudio.analysis.objects import size_iou, size_miou
from segstudio.analysis.region_codec import pack_regions, unpack_regions
from segstudio.analysis.regions import ErrorRegion, RegionFilter, RegionTable
from segstudio.analysis.run import AnalysedSample, StoredSample, analyse_run
from segstudio.analysis.taxonomy import kind_shares, miou_if_fixed
from segstudio.core.errors import SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Mask, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.metrics.boundary import boundary_iou, mean_boundary_iou
from segstudio.metrics.scores import mean_iou
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import ErrorRecord, Store
from segstudio.session.targets import MappingSource, TargetReader, build_target_reader

__all__ = ["ErrorAnalysis", "ErrorSummary", "RegionSelection", "region_mask"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorSummary:
    """What the errors of a run add up to; NaN where a number does not exist.

    Attributes
    ----------
    run : str
    label_space : LabelSpace
        In which prediction and ground truth meet.
    analysed, missing : int
        Samples that the numbers are of; finished samples with ground truth that still have to be
        analysed.
    regions : int
        Error regions.
    counts : ErrorCounts
        Pooled.
    miou : float
        Of the analysed samples, pooled.
    pixels : ndarray of shape (4,), int64
        Wrong pixels of each `ErrorKind`.
    shares, if_fixed : ndarray of shape (4,)
        Share of the wrong pixels; mIoU if all of this kind were right.
    boundary_iou : ndarray of shape (C,)
    mean_boundary_iou : float
    size_iou : ndarray of shape (B, C)
        IoU by object size, the smallest first.
    size_miou : ndarray of shape (B,)
    """

    run: str
    label_space: LabelSpace
    analysed: int
    missing: int
    regions: int
    counts: ErrorCounts
    miou: float
    pixels: NDArray[np.int64]
    shares: Floats
    if_fixed: Floats
    boundary_iou: Floats
    mean_boundary_iou: float
    size_iou: Floats
    size_miou: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RegionSelection:
    """Error regions that a filter lets through.

    Attributes
    ----------
    table : RegionTable
        The first of them by area times mean confidence.
    regions, pixels : int
        How many there are, and their pixels.
    all_pixels : int
        Wrong pixels of the run.
    """

    table: RegionTable
    regions: int
    pixels: int
    all_pixels: int


@dataclass
class _Kept:
    """What was read of one run: by sample, and joined as long as nothing is added."""

    keys: dict[str, str] = field(default_factory=dict)
    counts: dict[str, ErrorCounts] = field(default_factory=dict)
    regions: dict[str, RegionTable] = field(default_factory=dict)
    joined: RegionTable | None = None


class ErrorAnalysis:
    """Error analysis of one project's runs; may be used from several threads.

    Parameters
    ----------
    dataset : Dataset
    store, layout : Store, ProjectLayout
        The project.
    mapping : LabelMapping or callable, optional
        Between the dataset's label space and the models'.
    """

    def __init__(
        self,
        dataset: Dataset,
        store: Store,
        layout: ProjectLayout,
        *,
        mapping: MappingSource = None,
    ) -> None:
        self._dataset, self._store, self._layout = dataset, store, layout
        self._mapping = mapping
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.RLock()

    # -- making it --------------------------------------------------------------------------

    def missing(self, run: str) -> list[str]:
        """Return the samples of a run that have to be analysed, in the dataset's order.

        They are finished and have ground truth, and were not analysed or against other ground
        truth.

        Raises
        ------
        UsageError
            When there is no ground truth, or it is in another label space.
        """
        current = self._current(run, self._reader(run))
        stored = self._store.error_keys(run)
        return [key for key, target in current.items() if stored.get(key) != target]

    def analyse(
        self,
        run: str,
        sample_ids: Sequence[str],
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[AnalysedSample]:
        """Analyse samples of a run and store each before it is yielded.

        Raises
        ------
        CancelledError
            When ``is_cancelled`` says so; what was yielded is stored.
        """
        reader = self._reader(run)
        keys, results = self._current(run, reader), self._store.results(run)
        samples = {sample.sample_id: sample for sample in self._dataset.samples}
        wanted = [key for key in sample_ids if key in keys]
        stored = [self._stored(run, reader, samples[key]) for key in wanted]
        for entry in analyse_run(
            stored,
            len(reader.space),
            ignore_index=reader.space.ignore_index,
            progress=progress,
            is_cancelled=is_cancelled,
        ):
            if entry.errors is not None:
                record = ErrorRecord(
                    entry.sample_id,
                    keys[entry.sample_id],
                    entry.errors.counts.to_bytes(),
                    pack_regions(entry.errors.regions),
                    results[entry.sample_id].finished,
                )
                self._store.save_errors(run, record)
            yield entry

    def _stored(self, run: str, reader: TargetReader, sample: Sample) -> StoredSample:
        def layer(name: str) -> Path | None:
            path = self._layout.layer(run, name, sample.sample_id)
            return path if path.exists() else None

        return StoredSample(
            sample.sample_id,
            partial(reader.read_target, sample),
            self._layout.layer(run, "labels", sample.sample_id),
            layer("entropy"),
            layer("confidence"),
            layer("runner_up"),
            reader.map_prediction,
        )

    # -- what is known ----------------------------------------------------------------------

    def summary(self, run: str) -> ErrorSummary:
        """Return what the errors of a run add up to; no pixel is read.

        Raises
        ------
        UsageError
            When there is no ground truth, or it is in another label space.
        CorruptProjectError
            When what is stored is damaged.
        """
        reader = self._reader(run)
        with self._lock:
            kept, missing = self._load(run, reader)
            counts = sum_error_counts(kept.counts.values(), classes=len(reader.space))
            regions = len(self._joined(kept))
            analysed = len(kept.counts)
        taxonomy, sizes = counts.taxonomy, counts.sizes
        return ErrorSummary(
            run,
            reader.space,
            analysed,
            missing,
            regions,
            counts,
            float(mean_iou(taxonomy.confusion)),
            taxonomy.pixels,
            kind_shares(taxonomy),
            miou_if_fixed(taxonomy),
            boundary_iou(counts.boundary),
            mean_boundary_iou(counts.boundary),
            size_iou(sizes),
            size_miou(sizes),
        )

    def regions(
        self, run: str, wanted: RegionFilter | None = None, *, limit: int | None = None
    ) -> RegionSelection:
        """Return the regions that a filter lets through, ranked; errors as `summary`."""
        reader = self._reader(run)
        with self._lock:
            table = self._joined(self._load(run, reader)[0])
        chosen = table if wanted is None else table.selected(wanted)
        return RegionSelection(
            chosen.ranked(limit),
            len(chosen),
            int(chosen.rows["area"].sum(dtype=np.int64)),
            int(table.rows["area"].sum(dtype=np.int64)),
        )

    def corrected_shares(self, run: str, regions: Sequence[ErrorRegion]) -> list[float | None]:
        """Return how much of each region a saved correction has put right.

        Returns
        -------
        list of float or None
            Share of its pixels that equal the ground truth in the correction, 0..1; None where
            the sample has no saved correction in this label space.
        """
        reader = self._reader(run)
        corrected = self._store.corrected_samples()
        samples = {sample.sample_id: sample for sample in self._dataset.samples}
        maps: dict[str, tuple[LabelMap, LabelMap, LabelMap] | None] = {}
        shares: list[float | None] = []
        for region in regions:
            key = region.sample_id
            if key not in maps:
                known = key in corrected and key in samples
                maps[key] = self._three(run, reader, samples[key]) if known else None
            found = maps[key]
            if found is None:
                shares.append(None)
                continue
            target, prediction, correction = (part[region.box.slices] for part in found)
            mask = region_mask(region, target, prediction, classes=len(reader.space))
            right = int(np.count_nonzero((correction == region.target) & mask))
            shares.append(right / max(1, int(np.count_nonzero(mask))))
        return shares

    def _three(
        self, run: str, reader: TargetReader, sample: Sample
    ) -> tuple[LabelMap, LabelMap, LabelMap] | None:
        """Return ground truth, prediction and correction, None where they cannot be compared."""
        space = self._store.correction_label_space(sample.sample_id)
        path = self._layout.correction(sample.sample_id)
        if space is None or space.names != reader.space.names or not path.exists():
            return None
        labels = read_source_map(self._layout.layer(run, "labels", sample.sample_id))
        maps = reader.read_target(sample), reader.map_prediction(labels), read_source_map(path)
        return maps if maps[0].shape == maps[1].shape == maps[2].shape else None

    # -- inside -----------------------------------------------------------------------------

    def _reader(self, run: str) -> TargetReader:
        record = self._store.run(run)
        reader = build_target_reader(self._dataset, record.label_space, self._mapping)
        if reader is None:
            raise UsageError(
                f"{self._dataset.root} has no ground truth, so nobody knows where {run} is wrong."
            )
        return reader

    def _current(self, run: str, reader: TargetReader) -> dict[str, str]:
        """Return the present key of the ground truth of every sample that can be analysed."""
        results = self._store.results(run)
        keys = {}
        for sample in self._dataset.samples:
            result = results.get(sample.sample_id)
            if sample.target_path is None or result is None or result.error is not None:
                continue
            try:
                keys[sample.sample_id] = f"{reader.key(sample)}|{result.finished!r}"
            except SegStudioError:
                continue  # the scores say that the file cannot be read
        return keys

    def _load(self, run: str, reader: TargetReader) -> tuple[_Kept, int]:
        """Bring what is kept of a run up to date; return it and how many samples are missing."""
        current, stored = self._current(run, reader), self._store.error_keys(run)
        good = {key: target for key, target in current.items() if stored.get(key) == target}
        kept = self._kept.setdefault(run, _Kept())
        if kept.keys != good:
            stale = [key for key, target in kept.keys.items() if good.get(key) != target]
            for key in stale:
                del kept.counts[key], kept.regions[key]
            new = [key for key in good if key not in kept.counts]
            for key, (errors, regions) in self._store.errors(run, new).items():
                kept.counts[key] = ErrorCounts.from_bytes(errors)
                kept.regions[key] = unpack_regions(regions, key)
            kept.keys = {key: target for key, target in good.items() if key in kept.counts}
            kept.joined = None
        return kept, len(current) - len(kept.keys)

    @staticmethod
    def _joined(kept: _Kept) -> RegionTable:
        if kept.joined is None:
            kept.joined = RegionTable.joined([kept.regions[key] for key in kept.keys])
        return kept.joined


def region_mask(
    region: ErrorRegion, target: LabelMap, prediction: LabelMap, *, classes: int
) -> Mask:
    """Return the pixels of an error region inside its box.

    Parameters
    ----------
    region : ErrorRegion
    target, prediction : ndarray of shape (h, w), integer
        The label maps, cut to the region's box.
    classes : int
        C; a prediction from there on is ignored.

    Returns
    -------
    ndarray of shape (h, w), bool
        All False where the maps are not those that were analysed.
    """
    import cv2

    unpredicted = region.prediction is None
    same = prediction >= classes if unpredicted else prediction == region.prediction
    candidates = ((target == region.target) & same).astype(np.uint8)
    _, labels = cv2.connectedComponents(candidates, connectivity=8)
    row, col = region.anchor[0] - region.box.top, region.anchor[1] - region.box.left
    here = int(labels[row, col])
    return np.asarray((labels == here) & (here > 0))
