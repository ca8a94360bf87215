"""The errors of a whole run, sample by sample, from the layers that the run has stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from segstudio.analysis.objects import SIZE_EDGES
from segstudio.analysis.sample import SampleErrors, analyse_sample
from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.datasets.images import read_source_map

__all__ = ["AnalysedSample", "StoredSample", "analyse_run"]


def _unchanged(label_map: LabelMap) -> LabelMap:
    return label_map


@dataclass(frozen=True, slots=True)
class StoredSample:
    """Where the maps of one sample come from.

    Attributes
    ----------
    sample_id : str
        The sample.
    read_target : callable
        Returns the ground truth in the label space in which both sides meet.
    labels : Path
        PNG of predicted class indices.
    entropy, confidence, runner_up : Path or None
        PNGs of the other layers, None where they were not kept.
    map_prediction : callable
        From the model's class indices to those in which both sides meet; also used for the
        runner-up.
    """

    sample_id: str
    read_target: Callable[[], LabelMap]
    labels: Path
    entropy: Path | None = None
    confidence: Path | None = None
    runner_up: Path | None = None
    map_prediction: Callable[[LabelMap], LabelMap] = _unchanged


@dataclass(frozen=True, slots=True)
class AnalysedSample:
    """What became of one sample: its errors, or the sentence that says why there are none."""

    sample_id: str
    errors: SampleErrors | None
    problem: str | None = None


def analyse_run(
    samples: Sequence[StoredSample],
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    size_edges: Sequence[int] = SIZE_EDGES,
    progress: Callable[[int, int], None] = lambda done, total: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[AnalysedSample]:
    """Analyse samples one by one, so that the caller can store each as it comes.

    Parameters
    ----------
    samples : sequence of StoredSample
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    size_edges : sequence of int
        Areas at which the next size bin begins.
    progress : callable
        Receives (samples done, samples in all), first (0, all).
    is_cancelled : callable
        Asked before each sample.

    Yields
    ------
    AnalysedSample
        In the order given; one that cannot be read or does not fit carries its problem, and the
        others are analysed all the same.

    Raises
    ------
    CancelledError
        When ``is_cancelled`` says so; what was yielded stays good.
    """
    progress(0, len(samples))
    for number, sample in enumerate(samples, 1):
        if is_cancelled():
            raise CancelledError(
                f"The analysis was stopped after {number - 1} of {len(samples)} samples."
            )
        try:
            errors = _analyse_stored(sample, classes, ignore_index, size_edges)
        except SegStudioError as error:
            yield AnalysedSample(sample.sample_id, None, str(error))
        else:
            yield AnalysedSample(sample.sample_id, errors)
        progress(number, len(samples))


def _analyse_stored(
    sample: StoredSample, classes: int, ignore_index: int, size_edges: Sequence[int]
) -> SampleErrors:
    def levels(path: Path | None) -> NDArray[Any] | None:
        return None if path is None else read_source_map(path)

    runner_up = None
    if sample.runner_up is not None:
        runner_up = sample.map_prediction(read_source_map(sample.runner_up))
    return analyse_sample(
        sample.read_target(),
        sample.map_prediction(read_source_map(sample.labels)),
        classes,
        ignore_index=ignore_index,
        entropy=levels(sample.entropy),
        confidence=levels(sample.confidence),
        runner_up=runner_up,
        size_edges=size_edges,
        name=sample.sample_id,
    )
