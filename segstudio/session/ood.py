"""Models on data they were not made for: one pass over what their runs have stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.anomaly import (
    SMALLEST_PREDICTED,
    SMALLEST_TARGET,
    ComponentScores,
    Shift,
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
    score_categories,
)
from segstudio.analysis.ood_report import OodRun, ood_json
from segstudio.core.atomic import write_text
from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace, load_label_space
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import read_source_map
from segstudio.metrics.counts import LEVELS, SampleCounts
from segstudio.metrics.detection import best_f1_level
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.report_files import csv_text

__all__ = ["analyse_ood", "category_space", "write_ood_report"]

Progress = Callable[[int, int], None]


def category_space(dataset: Dataset, mapping: LabelMapping) -> LabelSpace:
    """Return the label space of a dataset's ground truth, where the mapping has to start.

    Raises
    ------
    UsageError
        When there is no ground truth, or it is in another label space.
    """
    if not dataset.has_targets:
        raise UsageError(
            f"{dataset.root} has no ground truth that says what is in its images; name a folder "
            "of label maps with --ground-truth, or a COCO instances file."
        )
    space = dataset.label_space or load_label_space(mapping.source)
    if space.name != mapping.source:
        raise UsageError(
            f"The mapping {mapping.name} starts at {mapping.source}, but the ground truth of "
            f"{dataset.root} is in the label space {space.name}; choose another mapping, or say "
            "with --label-space what the ground truth is."
        )
    return space


def analyse_ood(
    dataset: Dataset,
    store: Store,
    layout: ProjectLayout,
    run: str,
    mapping: LabelMapping,
    *,
    in_distribution: Sequence[SampleCounts] | None = None,
    smallest: tuple[int, int] = (SMALLEST_TARGET, SMALLEST_PREDICTED),
    progress: Progress = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[OodRun, list[tuple[str, str]]]:
    """Analyse one stored run.

    Parameters
    ----------
    dataset : Dataset
        With ground truth in the label space that the mapping starts at.
    store, layout : Store, ProjectLayout
        The project that holds the run.
    run : str
    mapping : LabelMapping
        From the categories to the run's label space.
    in_distribution : sequence of SampleCounts, optional
        The same model's counts on data that it was made for.
    smallest : (int, int)
        Pixels below which a component of the ground truth, and a predicted one, is left out.
    progress : callable
        Receives (samples read, samples to read); components take a second pass.
    cancelled : callable
        Asked before each sample.

    Returns
    -------
    OodRun
    list of (str, str)
        Sample id and reason of what could not be counted.

    Raises
    ------
    UsageError
        When the mapping does not lead from the ground truth to the run's label space, or no
        sample has both.
    CancelledError
        When it was cancelled.
    """
    record = store.run(run)
    space = category_space(dataset, mapping)
    categories = build_categories(mapping, space, record.label_space)
    reading = _Reading(dataset, space, store, layout, run, progress, cancelled)
    total = CategoryCounts.empty(categories)
    accuracy: list[tuple[int, int]] = []
    for sample, target, prediction, entropy in reading.samples():
        try:
            confidence = reading.layer("confidence", sample).astype(np.uint8)
            counts = count_categories(
                categories, target, prediction, entropy, confidence, name=sample.sample_id
            )
        except SegStudioError as error:
            reading.fail(sample, error)
            continue
        total += counts
        accuracy.append(accuracy_counts(categories, counts))
    result = OodRun(run, record.model, categories, total, len(accuracy))
    outside = total.joint[categories.outside].sum() > 0
    if outside:
        result = replace(result, components=_components(reading, categories, total, smallest))
    if in_distribution is not None:
        result = replace(result, shift=_shift(in_distribution, accuracy, total))
    return result, reading.failed


class _Reading:
    """Passes over the stored maps of a run; a sample that fails once is not read again."""

    def __init__(
        self,
        dataset: Dataset,
        space: LabelSpace,
        store: Store,
        layout: ProjectLayout,
        run: str,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self.dataset, self.space, self.layout, self.run = dataset, space, layout, run
        self.progress, self.cancelled = progress, cancelled
        self.failed: list[tuple[str, str]] = []
        results = store.results(run)
        self._samples = []
        for sample in dataset.samples:
            result = results.get(sample.sample_id)
            if result is None or sample.target_path is None:
                continue
            if result.error is not None:
                self.failed.append((sample.sample_id, result.error))
            else:
                self._samples.append(sample)
        if not self._samples and not self.failed:
            raise UsageError(f"The run {run} has no image with ground truth in {dataset.root}.")

    def fail(self, sample: Sample, error: SegStudioError) -> None:
        """Note why a sample could not be counted."""
        self.failed.append((sample.sample_id, str(error)))

    def layer(self, name: str, sample: Sample) -> NDArray[np.uint8]:
        """Return a stored layer of a sample."""
        layer: NDArray[np.uint8] = read_source_map(
            self.layout.layer(self.run, name, sample.sample_id)
        )
        return layer

    def samples(self) -> Iterator[tuple[Sample, LabelMap, LabelMap, NDArray[np.uint8]]]:
        """Yield samples with ground truth, prediction and entropy levels."""
        lost = {sample_id for sample_id, _ in self.failed}
        todo = [sample for sample in self._samples if sample.sample_id not in lost]
        for number, sample in enumerate(todo):
            if self.cancelled():
                raise CancelledError("Interrupted: the predictions are kept.")
            self.progress(number, len(todo))
            try:
                target = self.dataset.read_target(sample, self.space)
                prediction = self.layer("labels", sample)
                entropy = self.layer("entropy", sample).astype(np.uint8)
            except SegStudioError as error:
                self.fail(sample, error)
                continue
            yield sample, target, prediction, entropy


def _components(
    reading: _Reading, categories: Categories, total: CategoryCounts, smallest: tuple[int, int]
) -> ComponentScores:
    """Score the components out of the label space, flagged where pixels are told apart best."""
    level, _ = best_f1_level(detection_histogram(categories, total.entropy))
    size = len(categories.source)
    outside = np.zeros(65536, bool)
    outside[:size] = categories.outside
    matches = [
        match_components(
            outside[target],
            entropy >= level,
            ignored=target >= size,
            smallest_target=smallest[0],
            smallest_predicted=smallest[1],
        )
        for _, target, _, entropy in reading.samples()
    ]
    return score_components(
        matches,
        threshold=level / (LEVELS - 1),
        smallest_target=smallest[0],
        smallest_predicted=smallest[1],
    )


def _shift(
    inside: Sequence[SampleCounts], outside: Sequence[tuple[int, int]], total: CategoryCounts
) -> Shift:
    in_accuracy = []
    in_entropy = np.zeros(LEVELS, np.int64)
    for counts in inside:
        right = int(counts.counts[counts.rows == counts.cols].sum())
        in_accuracy.append((right, counts.labelled_pixels))
        in_entropy += counts.entropy_histogram.sum((0, 1))
    return measure_shift(
        np.array(in_accuracy, np.int64).reshape(-1, 2),
        np.array(outside, np.int64).reshape(-1, 2),
        in_entropy,
        total.entropy,
    )


def write_ood_report(
    runs: Sequence[OodRun], failed: Sequence[tuple[str, str]], folder: Path
) -> list[Path]:
    """Write ``ood.json`` and ``categories.csv``; a number that does not exist is an empty cell.

    Raises
    ------
    WriteError
        When a file or the folder cannot be written.
    """
    header = ["run", "category", "mapped_to", "images", "pixels", "recall", "recall_first"]
    header += ["confused_with", "mean_entropy", "confident_error_share"]
    rows = [
        [
            run.run,
            entry.name,
            "|".join(entry.mapped_to),
            entry.images,
            entry.pixels,
            entry.recall,
            entry.recall_first,
            "|".join(f"{name}={share!r}" for name, share in entry.confused_with),
            entry.mean_entropy,
            entry.confident_error_share,
        ]
        for run in runs
        for entry in score_categories(run.categories, run.counts)
    ]
    content = {
        "ood.json": json.dumps(ood_json(runs, failed), indent=1, allow_nan=False) + "\n",
        "categories.csv": csv_text(header, rows),
    }
    for name, text in content.items():
        write_text(folder / name, text)
    return [folder / name for name in content]
