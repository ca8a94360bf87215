"""The workers of a Ray cluster at one run, and the books: what waits, and what is with whom.

Each worker is an actor with a model of its own on one GPU or on some CPUs.  It gets a few samples
at a time and answers them one by one, so what is on its way is bounded by the number of workers,
whatever the number of samples.  A sample is out of the books when its answer is here and not
before: when a worker dies, what it has not answered goes to others, and nothing is yielded twice.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segstudio.core.errors import WorkerError
from segstudio.core.types import Sample
from segstudio.session.engines.base import Outcome
from segstudio.session.engines.ray_cluster import Cluster, Places
from segstudio.session.engines.ray_files import is_same_file, read_files, read_task
from segstudio.session.engines.ray_worker import (
    Facts,
    RayWorker,
    Setup,
    Task,
    Unseen,
    look_here,
)

__all__ = ["Crew", "first_line"]

_CHUNKS = 2
"""With each worker: one that it computes and one that waits, so that it never does."""
_CHUNK_BYTES = 128_000_000
"""Of answers, or of image files that are sent; a single one may be larger."""
_LOSSES = 3
"""So many workers may die over one sample."""
_BARREN = 3 * _LOSSES
"""Deaths without an answer in between, beside each worker twice, that may be an accident."""
_START_SECONDS = 300.0
"""How long not a single worker may be ready: a busy cluster, or a slow file system."""
_STOP_SECONDS = 1.0
"""How long answers are still taken after the wish to stop."""
_POLL_SECONDS = 0.1


@dataclass(eq=False, slots=True)
class _Job:
    """A sample that has no answer yet."""

    sample: Sample
    losses: int = 0
    send: bool = False


@dataclass(eq=False, slots=True)
class _Chunk:
    """Jobs that are with a worker; answered ones are taken out."""

    answers: Any
    jobs: dict[int, _Job]


@dataclass(eq=False, slots=True)
class _Worker:
    """An actor as the driver sees it.

    ``starting`` is the answer that it waits for before it is ready, None from then on; ``facts``
    and ``shipped`` say how far it has come.  ``blind`` are folders that it cannot read.
    """

    actor: Any
    starting: Any
    facts: Facts | None = None
    shipped: bool = False
    chunks: deque[_Chunk] = field(default_factory=deque)
    blind: set[Path] = field(default_factory=set)


class Crew:
    """The workers of one run.

    Parameters
    ----------
    cluster : Cluster
    setup : Setup
        What every worker loads.
    places : Places
        What it takes, and how many there are.
    chunk : int
        Most samples that a worker gets at a time.
    samples : sequence of Sample
    early : collection of str
        See `segstudio.session.engines.base.Engine.outcomes`.
    """

    def __init__(
        self,
        cluster: Cluster,
        setup: Setup,
        places: Places,
        chunk: int,
        samples: Sequence[Sample],
        early: Collection[str] = (),
    ) -> None:
        self._ray = cluster.ray
        self._name = cluster.name
        self._setup = setup
        self._places = places
        self._chunk = chunk
        self._here = look_here()
        self._fresh = iter(samples)
        self._early = early
        self._left = len(samples)
        self._back: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        self._shipment: Any = None
        self._answer_bytes = 1
        self._barren = 0
        self._ready_at = time.monotonic()

    def run(self, cancelled: Callable[[], bool]) -> Generator[Outcome, None, None]:
        """Yield what became of each sample.

        Raises
        ------
        WorkerError
            When no worker can start, when one has other versions or cannot load the model, and
            when they die one after the other.
        """
        stopping: float | None = None
        while self._left or any(worker.chunks for worker in self._workers):
            if stopping is None and cancelled():
                stopping = time.monotonic() + _STOP_SECONDS
            if stopping is None:
                self._hire()
                yield from self._give()
            elif time.monotonic() > stopping or not any(w.chunks for w in self._workers):
                return
            for worker in self._wait():
                outcome = self._step(worker)
                if outcome is not None:
                    yield outcome

    def dismiss(self) -> None:
        """End all workers; what they compute is given up."""
        while self._workers:
            self._end(self._workers.pop())

    # -- workers -----------------------------------------------------------------------------------

    def _hire(self) -> None:
        """Have as many workers as there are places, but no more than there are samples."""
        busy = sum(1 for worker in self._workers if worker.chunks)
        wanted = min(self._places.workers, busy + self._left)
        while len(self._workers) < wanted:
            actor = (
                self._ray.remote(RayWorker)
                .options(
                    num_cpus=self._places.cpus,
                    num_gpus=self._places.gpus,
                    max_restarts=0,
                    max_task_retries=0,
                )
                .remote()
            )
            self._workers.append(_Worker(actor, actor.look.remote()))
        if any(worker.starting is None for worker in self._workers):
            self._ready_at = time.monotonic()
        elif time.monotonic() - self._ready_at > _START_SECONDS:
            raise WorkerError(
                f"No worker of the Ray cluster at {self._name} was ready within "
                f"{_START_SECONDS:.0f} seconds; the cluster is busy or has too little room for "
                f"{self._places.cpus} CPUs and {self._places.gpus} GPUs."
            )

    def _wait(self) -> list[_Worker]:
        """Return the workers that have something to say, after a moment if there are none."""
        by_answer = {}
        for worker in self._workers:
            if worker.starting is not None:
                by_answer[worker.starting] = worker
            elif worker.chunks:
                by_answer[worker.chunks[0].answers] = worker
        waiting = list(by_answer)
        if not waiting:
            return []
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=_POLL_SECONDS)
        if ready and len(waiting) > 1:  # all of them, or the first in the list would always win
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [by_answer[answer] for answer in ready]

    def _step(self, worker: _Worker) -> Outcome | None:
        """Take what a worker says: that it goes on starting, an answer, or its death."""
        try:
            if worker.starting is not None:
                self._go_on_starting(worker, self._ray.get(worker.starting))
                return None
            chunk = worker.chunks[0]
            try:
                position, answer = self._ray.get(next(chunk.answers))
            except StopIteration:
                worker.chunks.popleft()
                return None
        except self._ray.exceptions.RayError as error:
            return self._lose(worker, error)
        return self._take(worker, chunk.jobs.pop(position), answer)

    def _go_on_starting(self, worker: _Worker, answer: Any) -> None:
        """Take one worker a step further: its versions, the model by path, the model sent."""
        if worker.facts is None:
            worker.facts = answer
            self._check(answer)
            worker.starting = worker.actor.load.remote(self._setup)
        elif answer is None:
            worker.starting = None
        elif not worker.shipped:
            worker.shipped = True
            if self._shipment is None:
                self._shipment = self._ray.put(read_files(self._setup.source))
            worker.starting = worker.actor.load.remote(self._setup, self._shipment)
        else:
            raise WorkerError(
                f"The Ray worker on {worker.facts.host} cannot load the model: {answer}"
            )

    def _check(self, facts: Facts) -> None:
        """Refuse a worker that might give other results than this machine."""
        if (facts.segstudio, facts.torch) != (self._here.segstudio, self._here.torch):
            raise WorkerError(
                f"The Ray worker on {facts.host} has SegStudio {facts.segstudio} and PyTorch "
                f"{facts.torch}, and here are {self._here.segstudio} and {self._here.torch}; "
                "install the same on both."
            )

    def _end(self, worker: _Worker) -> None:
        worker.chunks.clear()
        # The cluster may be gone, and its workers with it.
        with contextlib.suppress(self._ray.exceptions.RayError, RuntimeError):
            self._ray.kill(worker.actor)

    def _lose(self, worker: _Worker, error: Exception) -> Outcome | None:
        """Give a dead worker's samples to others, one that kills its workers excepted."""
        exceptions = self._ray.exceptions
        reason = _reason(error, exceptions)
        missing = re.search(r"No module named '[\w.]+'", str(error))
        if worker.facts is None and missing is not None:
            raise WorkerError(
                f"A worker of the Ray cluster at {self._name} cannot import SegStudio "
                f"({missing[0]}); install segstudio on every machine of the cluster."
            ) from error
        self._barren += 1
        if self._barren > _BARREN + 2 * self._places.workers:
            raise WorkerError(
                f"The workers of the Ray cluster at {self._name} die one after the other: "
                f"{reason}; finished images are kept, run again to go on."
            ) from error
        chunks = list(worker.chunks)
        self._workers.remove(worker)
        self._end(worker)
        back = [job for chunk in chunks for job in chunk.jobs.values()]
        suspects = list(chunks[0].jobs.values()) if chunks else []
        for job in suspects:
            job.losses += 1
        guilty = suspects[0] if len(suspects) == 1 and suspects[0].losses >= _LOSSES else None
        self._put_back([job for job in back if job is not guilty])
        if guilty is None:
            return None
        text = (
            f"{guilty.sample.image_path} was not predicted: {guilty.losses} workers died over it, "
            f"for the last: {reason}."
        )
        return Outcome(guilty.sample, None, None, text, 0.0)

    def _put_back(self, jobs: Sequence[_Job]) -> None:
        """Let jobs be the next ones."""
        self._back.extendleft(reversed(jobs))
        self._left += len(jobs)

    # -- samples -----------------------------------------------------------------------------------

    def _give(self) -> Generator[Outcome, None, None]:
        """Give samples to workers that have too few; yield those that cannot be read here either.

        A worker that has none comes first.
        """
        ready = [worker for worker in self._workers if worker.starting is None]
        for room in range(_CHUNKS):
            for worker in ready:
                if len(worker.chunks) > room or not self._left:
                    continue
                jobs, tasks = [], []
                for job, task in self._choose(worker):
                    if isinstance(task, Outcome):
                        yield task
                        continue
                    jobs.append(job)
                    tasks.append(task)
                if tasks:
                    call = worker.actor.predict.options(num_returns="streaming")
                    worker.chunks.append(_Chunk(call.remote(tasks), dict(enumerate(jobs))))

    def _choose(self, worker: _Worker) -> list[tuple[_Job, Task | Outcome]]:
        """Take the next jobs from the queue; one over which a worker died goes alone."""
        # Towards the end chunks become smaller, so that all workers end together.
        share = -(-self._left // (_CHUNKS * self._places.workers))
        most = max(1, min(self._chunk, share, _CHUNK_BYTES // self._answer_bytes))
        chosen: list[tuple[_Job, Task | Outcome]] = []
        sent = 0
        while self._left and len(chosen) < most and sent < _CHUNK_BYTES:
            if chosen and self._back and self._back[0].losses:
                break
            self._left -= 1
            job = self._back.popleft() if self._back else _Job(next(self._fresh))
            path = job.sample.image_path
            task: Task | Outcome = Task(path.absolute())
            if job.send or path.parent in worker.blind:
                task = read_task(job.sample)
                sent += len(task.data or b"") if isinstance(task, Task) else 0
            if isinstance(task, Task) and job.sample.sample_id in self._early:
                task = replace(task, early=True)
            chosen.append((job, task))
            if job.losses:
                break
        return chosen

    def _take(self, worker: _Worker, job: _Job, answer: Outcome | Unseen) -> Outcome | None:
        """Return an answer, unless the worker has not seen the image that is meant."""
        self._barren = 0
        path = job.sample.image_path
        if isinstance(answer, Unseen) or not (
            job.send or is_same_file(job.sample, answer.signature)
        ):
            job.send = True
            if path.is_file():
                worker.blind.add(path.parent)
            self._put_back([job])
            return None
        layers, error = answer.layers, answer.error
        if layers is not None:
            # A copy of our own, so that Ray can let go of the memory that it came in.
            layers = layers.like(np.array)
            size = sum(layer.nbytes for layer in layers.by_name().values())
            size += 0 if answer.scores is None else answer.scores.nbytes
            self._answer_bytes = max(1, size)
        if error is not None:
            error = error.replace(str(path.absolute()), str(path))
        return replace(answer, sample=job.sample, layers=layers, error=error)


def first_line(error: BaseException) -> str:
    """Return the beginning of an error's text, its name when it has none."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".:")


def _reason(error: Exception, exceptions: Any) -> str:
    """Say in a clause why a worker is lost."""
    if isinstance(error, exceptions.RayTaskError):
        cause = getattr(error, "cause", None) or error
        return f"{type(cause).__name__}: {first_line(cause)}"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its machine ran out of memory"
    return "its process ended (killed, out of memory, or its machine is gone)"
