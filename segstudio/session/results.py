"""Writing what an engine yields: files first, then the row that makes a sample finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import replacing, write_bytes
from segstudio.core.errors import SegStudioError, WriteError
from segstudio.core.types import Sample
from segstudio.datasets.encoding import encode_png
from segstudio.datasets.png_rows import writing_png_rows
from segstudio.metrics.counts import SampleCounts, count_sample
from segstudio.metrics.scores import mean_iou
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.engines.base import Outcome
from segstudio.session.engines.spool import SPOOL_BYTES, let_go
from segstudio.session.events import PredictionReady, RunEvent, SampleFailed
from segstudio.session.targets import TargetReader

__all__ = ["ResultWriter", "count_prediction", "scores_path"]


_BAND_PIXELS = 8_000_000


class ResultWriter:
    """Writes one run's results and tells about them; may be used from several threads.

    Parameters
    ----------
    run : str
        Name of the run.
    layout, store : ProjectLayout, Store
        The project.
    reader : TargetReader or None
        What predictions are counted against.
    report : callable
        Receives the events, one at a time.
    scores : Path or None
        Folder of the scores, where they are kept.
    generation : int
        See `PredictionReady`.

    Attributes
    ----------
    done, failed : int
        Samples written, and those that failed.
    """

    def __init__(
        self,
        run: str,
        layout: ProjectLayout,
        store: Store,
        reader: TargetReader | None,
        report: Callable[[RunEvent], None],
        *,
        scores: Path | None = None,
        generation: int = 0,
    ) -> None:
        self.run = run
        self.done = 0
        self.failed = 0
        self._layout = layout
        self._store = store
        self._reader = reader
        self._report = report
        self._scores = scores
        self._generation = generation
        self._lock = threading.Lock()

    def report(self, event: RunEvent) -> None:
        """Pass on an event; one at a time, from whatever thread."""
        with self._lock:
            self._report(event)

    def fail(self, sample: Sample, error: str) -> None:
        """Enter a sample that failed."""
        self._store.fail_sample(self.run, sample.sample_id, error)
        with self._lock:
            self.failed += 1
            self._report(SampleFailed(sample.sample_id, self.run, error))

    def write(self, outcome: Outcome) -> None:
        """Write one predicted sample's files, then its row.

        Raises
        ------
        WriteError
            When the project cannot be written; anything else fails the sample alone.
        """
        started = time.monotonic()
        sample = outcome.sample
        try:
            self._write_layers(outcome)
            counts, problem = self._count(outcome)
        except WriteError:
            raise
        except (SegStudioError, MemoryError) as error:
            reason = str(error) or "the memory of this machine does not suffice"
            self.fail(sample, f"The prediction of {sample.image_path} is lost: {reason}")
            return
        seconds = outcome.seconds + time.monotonic() - started
        stored = None if counts is None else (counts[0], counts[1], counts[2].to_bytes())
        self._store.finish_sample(
            self.run,
            sample.sample_id,
            seconds=seconds,
            counts=stored,
            signature=outcome.signature,
        )
        miou = None if counts is None else counts[1]
        ready = PredictionReady(
            sample.sample_id, self.run, self._generation, miou, seconds, problem
        )
        with self._lock:
            self.done += 1
            self._report(ready)

    def _write_layers(self, outcome: Outcome) -> None:
        assert outcome.layers is not None
        if outcome.scores is not None and self._scores is not None:
            place = scores_path(self._scores, outcome.sample)
            with replacing(place, durable=False) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, scores=outcome.scores)
        for layer, pixels in outcome.layers.by_name().items():
            path = self._layout.layer(self.run, layer, outcome.sample.sample_id)
            # The row makes a sample finished and SQLite survives a power cut; the files need not
            # be forced to the disk for a kill, only for a power cut in the same seconds.
            if pixels.nbytes < SPOOL_BYTES:
                write_bytes(path, encode_png(pixels), durable=False)
            else:
                _write_by_rows(path, pixels)

    def _count(
        self, outcome: Outcome
    ) -> tuple[tuple[str, float | None, SampleCounts] | None, str | None]:
        """Return the counts against the ground truth, or why there are none."""
        sample, layers = outcome.sample, outcome.layers
        assert layers is not None
        if self._reader is None or sample.target_path is None:
            return None, None
        try:
            counts = count_prediction(
                self._reader, sample, layers.labels, layers.entropy, layers.confidence
            )
        except SegStudioError as error:
            return None, str(error)
        return counts, None


def _write_by_rows(path: Path, pixels: NDArray[Any]) -> None:
    """Write a layer of a huge image, few rows of it in memory at a time."""
    size = (pixels.shape[0], pixels.shape[1])
    rows = max(1, _BAND_PIXELS // size[1])
    with writing_png_rows(path, size, pixels.dtype.type, durable=False) as file:
        for top in range(0, len(pixels), rows):
            file.write(np.asarray(pixels[top : top + rows]))
            let_go(pixels)


def scores_path(folder: Path, sample: Sample) -> Path:
    """Return where ``--save-scores`` keeps a sample's scores."""
    return folder / f"{sample.sample_id}.npz"


def count_prediction(
    reader: TargetReader, sample: Sample, label_map: Any, entropy: Any, confidence: Any
) -> tuple[str, float | None, SampleCounts]:
    """Count a prediction against its ground truth.

    Returns
    -------
    (str, float or None, SampleCounts)
        Key of the ground truth, per-image mIoU (None when no class has a union), counts.

    Raises
    ------
    SegStudioError
        When the ground truth cannot be read or does not fit.
    """
    key = reader.key(sample)
    counts = count_sample(
        reader.read_target(sample),
        reader.map_prediction(label_map),
        len(reader.space),
        ignore_index=reader.space.ignore_index,
        entropy=entropy,
        confidence=confidence,
    )
    miou = float(mean_iou(counts.confusion()))
    return key, None if np.isnan(miou) else miou, counts
