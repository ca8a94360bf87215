"""Long work and where it stands: requests go to the worker process, its news become signals."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import UsageError
from segstudio.session.events import (
    JobState,
    ModelLoaded,
    PredictionReady,
    RunEvent,
    RunNote,
    RunStarted,
    SampleFailed,
)
from segstudio.session.runner import RunRequest
from segstudio.session.worker import Devices, JobEnded, JobEvent, Message, WorkerClient

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["Jobs"]

_GRACE_SECONDS = 8.0
_RATE_WINDOW = 20


@dataclass
class _Job:
    request: RunRequest
    state: JobState
    finished_before: int = 0
    run_total: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))


class Jobs:
    """The jobs of a session, one running at a time, the others waiting in order.

    Parameters
    ----------
    session : Session
        Whose signals carry the news.
    make_client : callable
        Makes the worker client from a message handler.
    """

    def __init__(
        self, session: Session, make_client: Callable[[Callable[[Message], None]], WorkerClient]
    ) -> None:
        self._session = session
        self._client = make_client(self._on_message)
        self._jobs: dict[str, _Job] = {}
        self._waiting: deque[str] = deque()
        self._running: str | None = None
        self._lock = threading.RLock()
        self._closed = False

    def start(self, request: RunRequest) -> str:
        """Queue a run and return its id."""
        job_id = uuid.uuid4().hex[:12]
        names = ", ".join(name.rsplit("/", 1)[-1] for name in request.models)
        total = len(request.dataset) * len(request.models)
        state = JobState(
            job_id, names, 0, total, 0, None, "starting", "Loading the model", is_run=True
        )
        with self._lock:
            self._jobs[job_id] = _Job(request, state)
            self._waiting.append(job_id)
        self._session.job_changed.emit(state)
        self._start_next()
        return job_id

    def start_again(self, job_id: str) -> str:
        """Queue a job's run again, for what it left undone, and return the new id.

        Raises
        ------
        UsageError
            When there is no such run, it is not over, or another dataset was opened since.
        """
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or not job.state.is_over:
            raise UsageError("There is no run that has ended to be done again.")
        if job.request.generation != self._session.generation:
            raise UsageError(f"{job.state.title} ran on another dataset; open that one again.")
        return self.start(replace(job.request, restart=False))

    def states(self) -> list[JobState]:
        """Return where every job of the session stands, oldest first."""
        with self._lock:
            return [job.state for job in self._jobs.values()]

    def ask_devices(self) -> None:
        """Ask the worker for the machine's devices."""
        self._client.ask_devices()

    def cancel(self, job_id: str) -> None:
        """Stop a job: at once when it waits, after the image at hand when it runs."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state.is_over:
                return
            if job_id in self._waiting:
                self._waiting.remove(job_id)
                self._change(job_id, state="cancelled", seconds_left=None, message="")
                return
            self._change(job_id, state="cancelling", message="Finishing the image at hand")
            self._client.cancel()
        # A network that takes minutes for one image, or hangs in a driver, is ended with its
        # process; the files of a sample appear whole or not at all.
        timer = threading.Timer(_GRACE_SECONDS, self._end_firmly, args=(job_id,))
        timer.daemon = True
        timer.start()

    def cancel_all(self) -> None:
        """Stop every job."""
        for state in self.states():
            if not state.is_over:
                self.cancel(state.job_id)

    def close(self) -> None:
        """Stop every job and the worker process."""
        self._closed = True
        with self._lock:
            self._waiting.clear()
        self._client.close()

    def _end_firmly(self, job_id: str) -> None:
        if self._running == job_id and not self._jobs[job_id].state.is_over:
            self._client.kill()

    def _start_next(self) -> None:
        with self._lock:
            if self._running is not None or not self._waiting or self._closed:
                return
            job_id = self._waiting.popleft()
            self._running = job_id
            request = self._jobs[job_id].request
        self._client.start_run(job_id, request)

    def _change(self, job_id: str, **changes: Any) -> None:
        with self._lock:
            job = self._jobs[job_id]
            job.state = replace(job.state, **changes)
            state = job.state
        self._session.job_changed.emit(state)

    # -- news of the worker, in the client's thread ------------------------------------------

    def _on_message(self, message: Message) -> None:
        if self._closed:
            return
        if isinstance(message, Devices):
            self._session.devices_changed.emit(list(message.names))
        elif isinstance(message, JobEvent):
            self._on_event(message.job_id, message.event)
        elif isinstance(message, JobEnded):
            self._on_end(message)

    def _on_event(self, job_id: str, event: RunEvent) -> None:
        with self._lock:
            job = self._jobs[job_id]
            state = job.state
            going = "cancelling" if state.state == "cancelling" else "running"
        if isinstance(event, ModelLoaded):
            self._change(job_id, message=f"{event.model} on {event.device}")
        elif isinstance(event, RunStarted):
            job.finished_before += job.run_total
            job.run_total = event.total
            self._change(job_id, state=going, done=job.finished_before + event.already, message="")
            for note in event.notes:
                self._session.problem.emit(note)
        elif isinstance(event, RunNote):
            self._session.problem.emit(event.sentence)
        elif isinstance(event, PredictionReady | SampleFailed):
            job.times.append(time.monotonic())
            failed = isinstance(event, SampleFailed)
            done = state.done + 1
            self._change(
                job_id,
                state=going,
                done=done,
                failed=state.failed + failed,
                seconds_left=_seconds_left(job.times, state.total - done),
            )
            if isinstance(event, SampleFailed):
                self._session.sample_failed.emit(event)
            else:
                self._session.prediction_ready.emit(event)

    def _on_end(self, message: JobEnded) -> None:
        if message.error is not None:
            changes: dict[str, Any] = {"state": "failed", "message": message.error}
        elif message.cancelled:
            changes = {"state": "cancelled", "message": "Stopped; what was finished is kept"}
        else:
            changes = {"state": "done", "message": ""}
        with self._lock:
            self._running = None
        self._change(message.job_id, seconds_left=None, **changes)
        if message.error is not None:
            self._session.problem.emit(message.error)
        self._start_next()


def _seconds_left(times: deque[float], remaining: int) -> float | None:
    """Tell from the last samples' pace; None before two of them."""
    if len(times) < 2:
        return None
    return (times[-1] - times[0]) / (len(times) - 1) * remaining
