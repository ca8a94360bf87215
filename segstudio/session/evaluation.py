"""Scores of stored runs and of folders of label maps; no network involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import NoDatasetError, SegStudioError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.datasets.images import IMAGE_SUFFIXES, TARGET_SUFFIXES, read_source_map
from segstudio.datasets.listing import list_files
from segstudio.metrics.counts import SampleCounts, count_sample
from segstudio.metrics.report import EvaluationReport, RunCounts, build_report
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import RunRecord, Store
from segstudio.session.runner import count_prediction
from segstudio.session.targets import MappingSource, TargetReader, build_target_reader

__all__ = ["evaluate_runs", "read_indices", "read_run_counts", "score_folders"]


def evaluate_runs(
    dataset: Dataset,
    store: Store,
    layout: ProjectLayout,
    runs: Sequence[str],
    *,
    mapping: MappingSource = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationReport:
    """Build the report of runs over a dataset's samples from the stored counts.

    Counts are made again from the stored label maps only where the ground truth or the mapping
    changed since the run.

    Parameters
    ----------
    dataset : Dataset
        Samples without ground truth are left out.
    store, layout : Store, ProjectLayout
        The project.
    runs : sequence of str
        Names of runs; all must meet the ground truth in one label space.
    mapping : LabelMapping or callable, optional
        Between the dataset's label space and the models'.
    progress : callable
        Receives (samples recounted, samples to recount).

    Raises
    ------
    UsageError
        When there is no ground truth, or the runs' label spaces differ.
    """
    if not dataset.has_targets:
        raise UsageError(
            f"{dataset.root} has no ground truth to evaluate against; "
            "name a folder of label maps with --ground-truth."
        )
    spaces: list[LabelSpace] = []
    entries: list[RunCounts] = []
    failed: dict[str, str] = {}
    for run in runs:
        record = store.run(run)
        reader = build_target_reader(dataset, record.label_space, mapping)
        assert reader is not None
        reader.check_mapped()
        spaces.append(reader.space)
        if reader.space.names != spaces[0].names:
            raise UsageError(
                f"The run {run} is scored in {reader.space.name}, the run {runs[0]} in "
                f"{spaces[0].name}; evaluate them one by one or with a mapping."
            )
        samples, problems = read_run_counts(reader, store, layout, run, progress)
        entries.append(RunCounts(run, record.model, samples, record.has_uncertainty))
        failed.update(problems)
    return build_report(spaces[0], entries, sorted(failed.items()))


def read_run_counts(
    reader: TargetReader,
    store: Store,
    layout: ProjectLayout,
    run: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[tuple[str, SampleCounts]], dict[str, str]]:
    """Return the counts of one run's samples, recounting and storing what is out of date.

    Returns
    -------
    samples : list of (str, SampleCounts)
        In the dataset's order.
    problems : dict
        The reason, by sample, why there are no counts.
    """
    record, stored, results = store.run(run), store.counts(run), store.results(run)
    counted: dict[str, SampleCounts] = {}
    problems: dict[str, str] = {}
    outdated: list[Sample] = []
    with_target = [entry for entry in reader.dataset.samples if entry.target_path is not None]
    for sample in with_target:
        sample_id = sample.sample_id
        result = results.get(sample_id)
        if result is None:
            problems[sample_id] = (
                f"{sample.image_path} has not been predicted by the run {run} yet."
            )
        elif result.error is not None:
            problems[sample_id] = result.error
        else:
            try:
                key, data = stored.get(sample_id, ("", b""))
                if key == reader.key(sample):
                    counted[sample_id] = SampleCounts.from_bytes(data)
                else:
                    outdated.append(sample)
            except SegStudioError as error:
                problems[sample_id] = str(error)
    fresh = []
    for number, sample in enumerate(outdated):
        progress(number, len(outdated))
        try:
            key, miou, counts = _recount(reader, layout, record, sample)
        except SegStudioError as error:
            problems[sample.sample_id] = str(error)
            continue
        counted[sample.sample_id] = counts
        fresh.append((sample.sample_id, key, miou, counts.to_bytes()))
    if fresh:
        store.save_counts(run, fresh)
    ordered = [entry.sample_id for entry in with_target if entry.sample_id in counted]
    return [(sample_id, counted[sample_id]) for sample_id in ordered], problems


def _recount(
    reader: TargetReader, layout: ProjectLayout, record: RunRecord, sample: Sample
) -> tuple[str, float | None, SampleCounts]:
    """Count a stored prediction again; see `count_prediction`."""

    def layer(name: str) -> NDArray[Any]:
        return read_source_map(layout.layer(record.run, name, sample.sample_id))

    label_map = layer("labels")
    if not record.has_uncertainty:
        return count_prediction(reader, sample, label_map, None, None)
    entropy, confidence = layer("entropy").astype(np.uint8), layer("confidence").astype(np.uint8)
    return count_prediction(reader, sample, label_map, entropy, confidence)


def score_folders(
    predictions: Path,
    targets: Path,
    label_space: LabelSpace,
    *,
    mapping: tuple[LabelMapping, LabelSpace] | None = None,
) -> EvaluationReport:
    """Score a folder of predicted label maps against a folder of ground truth.

    Files pair by their path below the folder without extension, else by name alone.  The label
    maps of a run, whose names keep the image's extension (``0001.jpg.png``), pair as ``0001``.

    Parameters
    ----------
    predictions, targets : Path
        Folders of PNG label maps with class indices, 255 (65535) = ignore.
    label_space : LabelSpace
        What the indices mean.
    mapping : (LabelMapping, LabelSpace), optional
        Turns the predictions from that space into ``label_space``.

    Raises
    ------
    NoDatasetError
        When a folder is missing or empty, or no names match.
    UsageError
        When the mapping leads every class to ignore.
    """
    predicted = _label_files(predictions)
    wanted = _label_files(targets)
    by_name: dict[str, list[Path]] = {}
    for key, paths in predicted.items():
        by_name.setdefault(_bare_name(key), []).extend(paths)
    table = None if mapping is None else _prediction_table(*mapping, label_space)
    samples: list[tuple[str, SampleCounts]] = []
    failed: list[tuple[str, str]] = []
    for key, target_paths in sorted(wanted.items()):
        target_path = target_paths[0]
        if len(target_paths) > 1:
            failed.append((key, f"{target_path} and {target_paths[1]} have the same name."))
            continue
        candidates = predicted.get(key) or by_name.get(_bare_name(key), [])
        if not candidates:
            failed.append((key, f"{target_path} has no prediction of its name in {predictions}."))
            continue
        if len(candidates) > 1:
            first, second = candidates[:2]
            failed.append((key, f"{target_path} could belong to {first} or to {second}."))
            continue
        path = candidates[0]
        try:
            target = read_indices(target_path, label_space)
            source = label_space if mapping is None else mapping[1]
            prediction = read_indices(path, source)
            if prediction.shape != target.shape:
                raise SizeMismatchError(
                    f"{path} is {prediction.shape[0]} x {prediction.shape[1]} pixels, but "
                    f"{target_path} is {target.shape[0]} x {target.shape[1]}."
                )
            counts = count_sample(
                target,
                prediction if table is None else table[prediction],
                len(label_space),
                ignore_index=label_space.ignore_index,
            )
            samples.append((key, counts))
        except SegStudioError as error:
            failed.append((key, str(error)))
    if not {_bare_name(key) for key in wanted} & by_name.keys():
        raise NoDatasetError(
            f"No file in {predictions} has the name of a file in {targets}; "
            "label maps pair by name without extension."
        )
    run = RunCounts(predictions.name, str(predictions), samples)
    return build_report(label_space, [run], failed, uncertainty=False)


def _prediction_table(
    mapping: LabelMapping, source: LabelSpace, target: LabelSpace
) -> NDArray[Any]:
    """Return the class of the targets by index of the predictions; refuse to lose all of them."""
    table = mapping.table(source, target)
    if bool((table[: len(source)] == target.ignore_index).all()):
        # Every pixel would be a miss: a score of 0 that says nothing of the predictions.
        raise UsageError(
            f"The mapping {mapping.name} leads every class of {source.name} to ignore, so nothing "
            "could be scored; give at least one class a counterpart."
        )
    return table


def _label_files(folder: Path) -> dict[str, list[Path]]:
    """Return label maps by path below the folder without extension."""
    if not folder.is_dir():
        raise NoDatasetError(f"{folder} is not a folder of label maps.")
    found: dict[str, list[Path]] = {}
    for name, path in list_files(folder, TARGET_SUFFIXES).files:
        found.setdefault(name.rsplit(".", 1)[0], []).append(path)
    if not found:
        raise NoDatasetError(f"{folder} holds no label maps; they are PNG or TIFF files.")
    return found


def _bare_name(key: str) -> str:
    """Return a key's last part without the extension of an image."""
    name = key.rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in IMAGE_SUFFIXES else name


def read_indices(path: Path, space: LabelSpace) -> LabelMap:
    """Return a file's label map of class indices of ``space``, checked.

    Raises
    ------
    LabelValueError
        When it holds other values.
    UnreadableImageError
        When it cannot be read.
    """
    values = read_source_map(path)
    if values.dtype == np.uint8 and space.dtype is np.uint16:
        values = np.where(values == 255, np.uint16(space.ignore_index), values)
    elif values.dtype != space.dtype:
        # An 8-bit space in a 16-bit file may still carry 65535 as ignore.
        values = np.where(values == 65535, space.ignore_index, values)
    space.check(values, path)  # before it is narrowed: -1 would become 255
    return values.astype(space.dtype, copy=False)
