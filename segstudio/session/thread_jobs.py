"""Work in a thread of this process, told as a job: exports, imports, analyses, counts."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.session.events import JobState, SampleFailed

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["Progress", "ThreadJobs", "Work"]

_SECONDS_BETWEEN_NEWS = 0.1
_CLOSE_SECONDS = 10.0


@dataclass
class _Job:
    state: JobState
    cancel: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    started: float = 0.0
    told: float = 0.0


class Progress:
    """How the work of a job says where it stands, and learns that it is to stop."""

    def __init__(self, jobs: ThreadJobs, job: _Job) -> None:
        self._jobs, self._job = jobs, job

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self._job.state.job_id

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop."""
        return self._job.cancel.is_set()

    def step(self) -> None:
        """Count a sample that is done.

        Raises
        ------
        CancelledError
            When the job is to stop.
        """
        self._jobs._advance(self._job, done=1)
        if self._job.cancel.is_set():
            raise CancelledError("Stopped; what was finished is kept.")

    def count_each(self, problems: Iterable[str | None], done: str) -> str:
        """Count samples as they come; failures are summed up in one sentence, not told one by one.

        Parameters
        ----------
        problems : iterable of (str or None)
            For each sample in turn why it failed; None or "" when it did not.
        done : str
            What they could not be, as in "compared".

        Returns
        -------
        str
            What is shown when the job is done: nothing, the failures are told as a problem.
        """
        failed: list[str] = []
        for problem in problems:
            if problem:
                failed.append(problem)
            self._jobs._advance(self._job, done=not problem, failed=bool(problem))
        if failed:
            many = f"{len(failed)} images could not be {done}; the first: {failed[0]}"
            self._jobs._say(failed[0] if len(failed) == 1 else many)
        return ""

    def fail(self, sample_id: str, reason: str) -> None:
        """Count a sample that failed, and tell why."""
        self._jobs._advance(self._job, failed=1)
        self._jobs._tell(SampleFailed(sample_id, "", reason, self._job.state.job_id))


Work = Callable[[Progress], str]
"""Does a job and returns the sentence that is shown when it is done."""


class ThreadJobs:
    """The jobs of one kind of a session, a thread each.

    Parameters
    ----------
    session : Session
        Whose `job_changed`, `sample_failed` and `problem` carry the news.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.RLock()
        self._closed = False

    def start(self, title: str, total: int, work: Work, *, unit: str = "samples") -> str:
        """Start a job and return its id."""
        job_id = uuid.uuid4().hex[:12]
        state = JobState(job_id, title, 0, total, 0, None, "starting", unit=unit)
        job = _Job(state, started=time.monotonic())
        job.thread = threading.Thread(
            target=self._run, args=(job, work), name=f"job-{job_id}", daemon=True
        )
        with self._lock:
            self._jobs[job_id] = job
        self._session.job_changed.emit(state)
        job.thread.start()
        return job_id

    def states(self) -> list[JobState]:
        """Return where every job stands, oldest first."""
        with self._lock:
            return [job.state for job in self._jobs.values()]

    def is_over(self, job_id: str) -> bool:
        """Return whether a job has ended; a job that nobody knows has."""
        with self._lock:
            job = self._jobs.get(job_id)
            return job is None or job.state.is_over

    def cancel(self, job_id: str) -> bool:
        """Stop a job after the sample at hand; False when it is none of these."""
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            return False
        job.cancel.set()
        self._change(job, state="cancelling", seconds_left=None)
        return True

    def cancel_all(self) -> None:
        """Stop every job and wait until none touches the project."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if not job.state.is_over]
        for job in jobs:
            job.cancel.set()
        for job in jobs:
            if job.thread is not None and job.thread.is_alive():
                job.thread.join(_CLOSE_SECONDS)

    def close(self) -> None:
        """Stop every job; nothing is told any more."""
        self._closed = True
        self.cancel_all()

    # -- in the job's thread ----------------------------------------------------------------

    def _run(self, job: _Job, work: Work) -> None:
        try:
            message = work(Progress(self, job))
        except CancelledError:
            self._end(job, "cancelled", "")
        except SegStudioError as error:
            self._end(job, "cancelled" if job.cancel.is_set() else "failed", str(error))
        except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, not a silent thread
            sentence = f"An unexpected error stopped it: {type(error).__name__}: {error}"
            self._end(job, "failed", sentence)
        else:
            self._end(job, "done", message)

    def _advance(self, job: _Job, *, done: int = 0, failed: int = 0) -> None:
        with self._lock:
            done, failed = job.state.done + done, job.state.failed + failed
            job.state = replace(job.state, done=done, failed=failed)
        now = time.monotonic()
        count = done + failed
        if now - job.told >= _SECONDS_BETWEEN_NEWS or count == job.state.total:
            job.told = now
            left = (now - job.started) / count * max(0, job.state.total - count)
            self._change(job, state="running", seconds_left=left)

    def _tell(self, event: SampleFailed) -> None:
        if not self._closed:
            self._session.sample_failed.emit(event)

    def _say(self, problem: str) -> None:
        if not self._closed:
            self._session.problem.emit(problem)

    def _end(self, job: _Job, state: str, message: str) -> None:
        self._change(job, state=state, seconds_left=None, message=message)
        if state == "failed":
            self._say(message)

    def _change(self, job: _Job, **changes: Any) -> None:
        with self._lock:
            # An end is final, and nobody wants to see a stopped job run again.
            if job.state.is_over or (changes["state"] == "running" and job.cancel.is_set()):
                return
            job.state = state = replace(job.state, **changes)
        if not self._closed:
            self._session.job_changed.emit(state)
