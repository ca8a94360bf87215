"""Running models over a dataset: results are written as they come, and nothing is done twice.

An engine computes; a `ResultWriter` writes what it yields.  For each sample the label map, entropy,
confidence and runner-up become PNG files, each written beside its place and renamed; then one
SQLite transaction enters the sample with its counts.  A sample is finished when its row is there: a
killed run goes on after the last row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from segstudio.core.atomic import remove_leftovers
from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.metrics.confusion import warm_kernels
from segstudio.project.layout import ProjectLayout
from segstudio.project.locks import hold_run
from segstudio.project.signature import FileSignature, look_again
from segstudio.project.store import Store
from segstudio.session.engines.base import Engine, build_model, run_identity, wanted_precision
from segstudio.session.engines.local import LocalEngine, image_sizes
from segstudio.session.engines.ray import RayEngine
from segstudio.session.engines.ray_cluster import parse_engine
from segstudio.session.events import (
    ModelLoaded,
    RunEvent,
    RunFinished,
    RunNote,
    RunStarted,
)
from segstudio.session.results import ResultWriter, count_prediction, scores_path
from segstudio.session.targets import TargetReader, build_target_reader

if TYPE_CHECKING:
    from segstudio.inference.model import Model
    from segstudio.session.engines.base import Predictor

__all__ = ["RunRequest", "count_prediction", "run_models"]

_WRITERS = 2
_PENDING = 4
_LOOKED_AT = 2000
"""Images whose sizes tell what a network is to be compiled for."""
_EARLY = 2
"""First images of a run, which do not wait until the network is compiled."""
_NAMED = 5
"""Changed files that a note calls by their names."""


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
    must_score : bool
        Whether a model whose label space is not the ground truth's is refused without a mapping;
        otherwise its predictions are not scored.
    mapping : LabelMapping or None
        Between the dataset's label space and the models'.
    save_scores : Path or None
        Folder for ``<sample_id>.npz`` with the logits at the image's size.
    generation : int
        Comes back with every `PredictionReady`.
    batch : str
        Images per pass: "auto" or a number; see `segstudio.session.engines.local.parse_batch`.
    tta : str
        Test-time augmentation; see `segstudio.inference.augmentation.parse_tta`.
    engine : str
        Where the networks compute: "local" or "ray"; see
        `segstudio.session.engines.ray_cluster.parse_engine`.
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
    must_score: bool = False
    mapping: LabelMapping | None = None
    save_scores: Path | None = None
    generation: int = 0
    batch: str = "auto"
    tta: str = "none"
    engine: str = "local"


def run_models(
    request: RunRequest,
    report: Callable[[RunEvent], None],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    models: dict[tuple[str, ...], Predictor] | None = None,
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
    with closing(Store(layout.database)) as store:
        for name in request.models:
            model = _load(name, request, report, {} if models is None else models)
            reader, note = _target_reader(request, model.label_space)
            run = _OneRun(request, name, model, reader, layout, store, report, note)
            names.append(run.run)
            run.execute(cancelled)
            if cancelled():
                break
    return names


def _target_reader(
    request: RunRequest, space: LabelSpace
) -> tuple[TargetReader | None, str | None]:
    """Return what reads the ground truth for a model's label space, and what to say about it.

    A model may be run over images whose ground truth knows other classes; that is then not scored.

    Raises
    ------
    UsageError
        When the mapping does not fit, or scores are wanted and no mapping joins the label spaces.
    """
    try:
        reader = build_target_reader(request.dataset, space, request.mapping)
        if request.must_score and reader is not None:
            reader.check_mapped()
    except UsageError as error:
        if request.must_score or request.mapping is not None:
            raise
        return None, f"{error}  Until then nothing is scored."
    return reader, None if reader is None else reader.note


def _load(
    name: str,
    request: RunRequest,
    report: Callable[[RunEvent], None],
    models: dict[tuple[str, ...], Predictor],
) -> Predictor:
    space = request.model_label_space
    meaning = "" if space is None else space.fingerprint
    options = (
        request.device,
        wanted_precision(request),
        request.window,
        request.refine,
        request.tta,
    )
    key = (name, *options, meaning)
    if key not in models:
        started = time.monotonic()
        models.clear()  # one model's memory at a time
        models[key] = build_model(request, name)
        report(ModelLoaded(name, str(models[key].device), time.monotonic() - started))
    return models[key]


def _build_engine(request: RunRequest, model: Predictor) -> Engine:
    """Return the engine that a request asks for."""
    counts = None
    if model.backend.compiles:
        # The samples that are done are among these: a resumed run compiles for the same.
        counts = model.input_counts(image_sizes(request.dataset.samples[:_LOOKED_AT]))
    options = parse_engine(request.engine)
    if options is not None:
        if not hasattr(model, "checkpoint"):
            raise UsageError("An ensemble runs on this machine only; leave --engine away.")
        return RayEngine(request, cast("Model", model), options, counts)
    with_scores = request.save_scores is not None
    return LocalEngine(model, batch=request.batch, with_scores=with_scores, counts=counts)


class _OneRun:
    """One model over the samples: what is left to do, and writing what the engine yields."""

    def __init__(
        self,
        request: RunRequest,
        name: str,
        model: Predictor,
        reader: TargetReader | None,
        layout: ProjectLayout,
        store: Store,
        report: Callable[[RunEvent], None],
        note: str | None,
    ) -> None:
        self.request = request
        self.model = model
        self.model_name = name
        self._note = note
        self._told: set[str] = set()
        self.layout = layout
        self.store = store
        from segstudio.inference.catalogue import member_names

        self.run = store.begin_run(
            "+".join(Path(part).name.split(".")[0] or "model" for part in member_names(name)),
            name,
            run_identity(model, request.refine, request.tta),
            model.label_space,
            {
                "device": str(model.device),
                "precision": model.precision,
                "backend": model.backend.name,
                "window": request.window,
                "refine": request.refine,
                "tta": request.tta,
                "engine": request.engine,
            },
        )
        self.writer = ResultWriter(
            self.run,
            layout,
            store,
            reader,
            report,
            scores=request.save_scores,
            generation=request.generation,
        )

    def execute(self, cancelled: Callable[[], bool]) -> None:
        """Predict the samples that are not finished, or whose image changed since."""
        if not self.request.restart and not self._find_left()[0]:
            self._compute([], [], cancelled)
            return
        with hold_run(self.layout.locks, self.run):
            if self.request.restart:
                self.store.forget_results(self.run)
            # Looked for again: another process may have done some before it let the run go.
            left, changed = self._find_left()
            # The run may have been stopped by a kill in the middle of a file.
            remove_leftovers(self.layout.run_folder(self.run), older_than=0)
            self._compute(left, changed, cancelled)

    def _find_left(self) -> tuple[list[Sample], list[str]]:
        """Return the samples to predict, and the names of those that are finished but changed."""
        results = self.store.results(self.run)
        left: list[Sample] = []
        changed: list[str] = []
        moved: list[tuple[str, FileSignature]] = []
        for sample in self.request.dataset.samples:
            result = results.get(sample.sample_id)
            if result is None or result.error is not None or not self._has_scores(sample):
                left.append(sample)
                continue
            is_new, found = look_again(sample.image_path, result.signature, result.finished)
            if is_new:
                left.append(sample)
                changed.append(sample.sample_id)
            elif found is not None and found != result.signature:
                moved.append((sample.sample_id, found))
        if moved:  # the same content under another time is not to be compared again
            self.store.sign_samples(self.run, moved)
        return left, changed

    def _compute(
        self, left: list[Sample], changed: Sequence[str], cancelled: Callable[[], bool]
    ) -> None:
        total = len(self.request.dataset.samples)
        already = total - len(left)
        notes = self._notes(changed)
        self.writer.report(RunStarted(self.run, self.model_name, total, already, notes))
        missing = {sample.sample_id: sample for sample in left}
        if left:
            self.model.report = self._tell
            try:
                with closing(_build_engine(self.request, self.model)) as engine:
                    self._write_outcomes(engine, left, missing, cancelled)
            finally:
                self.model.report = None
            for note in self.model.backend.record().notes:
                self._tell(note)
        if not cancelled():
            for sample in missing.values():
                self.writer.fail(
                    sample, f"The engine gave no answer for {sample.image_path}; run again."
                )
        done = already + self.writer.done
        cut = cancelled() and bool(missing)
        self.writer.report(RunFinished(self.run, done, self.writer.failed, cut))

    def _write_outcomes(
        self,
        engine: Engine,
        left: list[Sample],
        missing: dict[str, Sample],
        cancelled: Callable[[], bool],
    ) -> None:
        """Write what the engine yields, taking it out of ``missing``."""
        with_scores = self.request.save_scores is not None
        most = 1 if with_scores else _PENDING  # scores are large
        pending: list[Future[None]] = []
        early = {sample.sample_id for sample in self.request.dataset.samples[:_EARLY]}
        with (
            ThreadPoolExecutor(1 if with_scores else _WRITERS, "write") as writers,
            closing(engine.outcomes(left, early=early, cancelled=cancelled)) as outcomes,
        ):
            try:
                for outcome in outcomes:
                    if missing.pop(outcome.sample.sample_id, None) is None:
                        continue  # its twin is being written
                    if outcome.layers is None:
                        reason = outcome.error or "The engine gave no reason; run again."
                        self.writer.fail(outcome.sample, reason)
                        continue
                    pending.append(writers.submit(self.writer.write, outcome))
                    while len(pending) >= most:
                        pending.pop(0).result()
                for future in pending:
                    future.result()
            except BaseException:
                # The first error is the one to tell; what is being written may still finish.
                wait(pending)
                raise

    def _tell(self, sentence: str) -> None:
        """Pass on what the model says of itself, each sentence once."""
        if sentence not in self._told:
            self._told.add(sentence)
            self.writer.report(RunNote(self.run, sentence))

    def _notes(self, changed: Sequence[str]) -> tuple[str, ...]:
        notes = () if self._note is None else (self._note,)
        if not changed:
            return notes
        names = ", ".join(changed[:_NAMED])
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        what = "1 image has" if len(changed) == 1 else f"{len(changed)} images have"
        return (*notes, f"{what} changed since the last run and will be redone: {names}{more}.")

    def _has_scores(self, sample: Sample) -> bool:
        folder = self.request.save_scores
        return folder is None or scores_path(folder, sample).exists()
