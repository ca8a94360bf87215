"""Running models over a dataset: results are written as they come, and nothing is done twice.

For each sample the label map, entropy, confidence and runner-up are written as PNG files, each
beside its place and renamed; then one SQLite transaction enters the sample with its counts.  A
sample is finished when its row is there: a killed run goes on after the last row.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import remove_leftovers
from segstudio.core.errors import SegStudioError, WriteError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import Image, Prediction, Sample, quantise, quantise_entropy
from segstudio.datasets.base import Dataset
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.metrics.confusion import warm_kernels
from segstudio.metrics.counts import SampleCounts, count_sample
from segstudio.metrics.scores import mean_iou
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.events import (
    ModelLoaded,
    PredictionReady,
    RunEvent,
    RunFinished,
    RunStarted,
    SampleFailed,
)
from segstudio.session.targets import TargetReader, build_target_reader

if TYPE_CHECKING:
    from segstudio.inference.model import Model

__all__ = ["RunRequest", "count_prediction", "run_models"]

_AHEAD = 3
_PENDING = 2


@dataclass(frozen=True)
class RunRequest:
    """What to run; a value that can be sent to a worker process.

    Attributes
    ----------
    dataset : Dataset
        The samples.
    models : tuple of str
        Names or paths.
    project : Path
        Folder of the project.
    device, precision, window, refine : str
        See `segstudio.inference.model.Model`.
    model_label_space : LabelSpace or None
        What the models' outputs mean, when the user knows better than their files.
    restart : bool
        Whether to forget what the runs have finished.
    mapping : LabelMapping or None
        Between the dataset's label space and the models'.
    save_scores : Path or None
        Folder for ``<sample_id>.npz`` with the logits at the image's size.
    generation : int
        Comes back with every `PredictionReady`.
    """

    dataset: Dataset
    models: tuple[str, ...]
    project: Path
    device: str = "auto"
    precision: str = "auto"
    window: str = "auto"
    refine: str = "none"
    model_label_space: LabelSpace | None = None
    restart: bool = False
    mapping: LabelMapping | None = None
    save_scores: Path | None = None
    generation: int = 0


def run_models(
    request: RunRequest,
    report: Callable[[RunEvent], None],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    models: dict[tuple[str, ...], Model] | None = None,
) -> list[str]:
    """Run every model of a request over its samples.

    Parameters
    ----------
    request : RunRequest
    report : callable
        Receives the events; may be called from helper threads, one event at a time.
    cancelled : callable
        Asked before each sample.
    models : dict, optional
        Loaded models by name and options, kept between calls.

    Returns
    -------
    list of str
        Names of the runs, one per model.

    Raises
    ------
    SegStudioError
        When a model cannot be loaded or the results cannot be written; what was finished is kept.
    """
    warm_kernels()
    layout = ProjectLayout(request.project)
    names = []
    with ExitStack() as stack:
        store = Store(layout.database)
        stack.callback(store.close)
        for name in request.models:
            model = _load(name, request, report, {} if models is None else models)
            reader = build_target_reader(request.dataset, model.label_space, request.mapping)
            run = _OneRun(request, name, model, reader, layout, store, report)
            names.append(run.run)
            run.execute(cancelled)
            if cancelled():
                break
    return names


def _load(
    name: str,
    request: RunRequest,
    report: Callable[[RunEvent], None],
    models: dict[tuple[str, ...], Model],
) -> Model:
    from segstudio.inference.model import load_model

    space = request.model_label_space
    meaning = "" if space is None else space.fingerprint
    key = (name, request.device, request.precision, request.window, request.refine, meaning)
    if key not in models:
        started = time.monotonic()
        models.clear()  # one model's memory at a time
        models[key] = load_model(
            name,
            device=request.device,
            precision=request.precision,
            window=request.window,
            refine=request.refine,
            label_space=space,
        )
        report(ModelLoaded(name, str(models[key].device), time.monotonic() - started))
    return models[key]


def run_identity(model: Model, refine: str) -> str:
    """Return JSON of everything that decides a run's results."""
    digest = hashlib.sha256()
    with model.checkpoint.path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return json.dumps(
        {
            "weights": digest.hexdigest(),
            "label_space": model.label_space.fingerprint,
            "preprocessing": model.preprocessing.to_json(),
            "precision": model.precision,
            "window": model.window,
            "refine": refine,
        },
        sort_keys=True,
    )


class _OneRun:
    """One model over the samples: reading ahead, predicting, writing behind."""

    def __init__(
        self,
        request: RunRequest,
        name: str,
        model: Model,
        reader: TargetReader | None,
        layout: ProjectLayout,
        store: Store,
        report: Callable[[RunEvent], None],
    ) -> None:
        self.request = request
        self.model = model
        self.model_name = name
        self.reader = reader
        self.layout = layout
        self.store = store
        self.report = report
        self.run = store.begin_run(
            Path(name).name.split(".")[0] or "model",
            name,
            run_identity(model, request.refine),
            model.label_space,
            {
                "device": str(model.device),
                "precision": model.precision,
                "window": request.window,
                "refine": request.refine,
            },
        )
        self.done = 0
        self.failed = 0

    def execute(self, cancelled: Callable[[], bool]) -> None:
        """Predict the samples that are not finished."""
        samples = self.request.dataset.samples
        if self.request.restart:
            self.store.forget_results(self.run)
        finished = {key for key, entry in self.store.results(self.run).items() if not entry.error}
        waiting = [
            sample
            for sample in samples
            if sample.sample_id not in finished or not self._has_scores(sample)
        ]
        if waiting and finished:
            # The run was stopped before, perhaps by a kill in the middle of a file.
            remove_leftovers(self.layout.run_folder(self.run))
        notes = (self.reader.note,) if self.reader is not None and self.reader.note else ()
        self.done = len(samples) - len(waiting)
        self.report(RunStarted(self.run, self.model_name, len(samples), self.done, notes))
        stopped = False
        with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            pending: list[Future[None]] = []
            try:
                for sample, image, started in self._read_ahead(waiting):
                    if cancelled():
                        stopped = True
                        break
                    self._predict(sample, image, started, writer, pending)
                    while len(pending) > _PENDING:
                        pending.pop(0).result()
            except BaseException:
                # The first error is the one to tell; what is being written may still finish.
                wait(pending)
                raise
            for future in pending:
                future.result()
        self.report(RunFinished(self.run, self.done, self.failed, stopped))

    def _read_ahead(
        self, samples: list[Sample]
    ) -> Iterator[tuple[Sample, Image | SegStudioError, float]]:
        """Yield samples with their images, decoded in a thread while the network computes."""
        with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
            ahead: list[tuple[Sample, Future[tuple[Image, float]]]] = []
            try:
                for sample in samples:
                    ahead.append((sample, pool.submit(self._read, sample)))
                    if len(ahead) >= _AHEAD:
                        yield self._awaited(*ahead.pop(0))
                while ahead:
                    yield self._awaited(*ahead.pop(0))
            finally:
                for _, future in ahead:
                    future.cancel()

    def _read(self, sample: Sample) -> tuple[Image, float]:
        started = time.monotonic()
        return self.request.dataset.read_image(sample), time.monotonic() - started

    @staticmethod
    def _awaited(
        sample: Sample, future: Future[tuple[Image, float]]
    ) -> tuple[Sample, Image | SegStudioError, float]:
        try:
            image, seconds = future.result()
            return sample, image, time.monotonic() - seconds
        except SegStudioError as error:
            return sample, error, time.monotonic()

    def _predict(
        self,
        sample: Sample,
        image: Image | SegStudioError,
        started: float,
        writer: ThreadPoolExecutor,
        pending: list[Future[None]],
    ) -> None:
        try:
            if isinstance(image, SegStudioError):
                raise image
            if self.request.save_scores is None:
                prediction = self.model.predict(image)
            else:
                prediction, scores = self.model.predict_with_scores(image)
                self._write_scores(sample, scores)
        except WriteError:
            raise
        except SegStudioError as error:
            self.failed += 1
            self.store.fail_sample(self.run, sample.sample_id, str(error))
            self.report(SampleFailed(sample.sample_id, self.run, str(error)))
            return
        pending.append(writer.submit(self._finish, sample, prediction, started))

    def _finish(self, sample: Sample, prediction: Prediction, started: float) -> None:
        """Write one sample's files, then its row."""
        sample_id = sample.sample_id
        entropy = quantise_entropy(prediction.entropy, prediction.classes)
        confidence = quantise(prediction.confidence)
        # The row makes a sample finished and SQLite survives a power cut; the files need not be
        # forced to the disk one by one for a kill, only for a power cut in the same seconds.
        path = self.layout.layer
        write_label_map(path(self.run, "labels", sample_id), prediction.label_map, durable=False)
        write_gray(path(self.run, "entropy", sample_id), entropy, durable=False)
        write_gray(path(self.run, "confidence", sample_id), confidence, durable=False)
        write_label_map(path(self.run, "runner_up", sample_id), prediction.runner_up, durable=False)
        counts, problem = None, None
        if self.reader is not None and sample.target_path is not None:
            try:
                counts = count_prediction(
                    self.reader, sample, prediction.label_map, entropy, confidence
                )
            except SegStudioError as error:
                problem = str(error)
        seconds = time.monotonic() - started
        stored = None if counts is None else (counts[0], counts[1], counts[2].to_bytes())
        self.store.finish_sample(self.run, sample_id, seconds=seconds, counts=stored)
        self.done += 1
        miou = None if counts is None else counts[1]
        self.report(
            PredictionReady(sample_id, self.run, self.request.generation, miou, seconds, problem)
        )

    def _scores_path(self, sample: Sample) -> Path | None:
        folder = self.request.save_scores
        return None if folder is None else folder / f"{sample.sample_id}.npz"

    def _has_scores(self, sample: Sample) -> bool:
        path = self._scores_path(sample)
        return path is None or path.exists()

    def _write_scores(self, sample: Sample, scores: NDArray[np.float32]) -> None:
        from segstudio.core.atomic import replacing

        path = self._scores_path(sample)
        assert path is not None
        with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, scores=scores)


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
