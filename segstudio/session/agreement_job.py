"""Counting the agreement of runs in a thread, told as a job."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.session.events import JobState

if TYPE_CHECKING:
    from segstudio.session.agreement import RunAgreements, Work
    from segstudio.session.session import Session

__all__ = ["AgreementJobs"]

_SECONDS_BETWEEN_NEWS = 0.1
_CLOSE_SECONDS = 10.0


@dataclass
class _Job:
    agreements: RunAgreements
    state: JobState
    cancel: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class AgreementJobs:
    """The agreement counts of a session; a new question ends the one before.

    Parameters
    ----------
    session : Session
        Whose `job_changed` carries the news; the unit is "compared".
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.RLock()
        self._closed = False

    def start(self, agreements: RunAgreements, runs: Sequence[str]) -> str | None:
        """Count what is missing of these runs and return the job's id, None if nothing is.

        Raises
        ------
        UsageError
            When there is no such run.
        """
        self.cancel_all()
        work = agreements.missing(runs)
        if not work:
            return None
        job_id = uuid.uuid4().hex[:12]
        title = f"Agreement of {len(runs)} runs"
        state = JobState(job_id, title, 0, len(work), 0, None, "starting", unit="compared")
        job = _Job(agreements, state)
        job.thread = threading.Thread(
            target=self._run, args=(job, work), name="agreement", daemon=True
        )
        with self._lock:
            self._jobs[job_id] = job
        self._session.job_changed.emit(state)
        job.thread.start()
        return job_id

    def states(self) -> list[JobState]:
        """Return where every count of the session stands, oldest first."""
        with self._lock:
            return [job.state for job in self._jobs.values()]

    def cancel(self, job_id: str) -> bool:
        """Stop a job after the sample at hand; False when it is none."""
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
            problem = self._count(job, work)
        except CancelledError:
            self._end(job, "cancelled", "")
        except SegStudioError as error:
            # A project that was closed under a job that should have stopped is no damage.
            self._end(job, "cancelled" if job.cancel.is_set() else "failed", str(error))
        except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, not a silent thread
            self._end(
                job, "failed", f"An unexpected error stopped it: {type(error).__name__}: {error}"
            )
        else:
            self._end(job, "done", "")
            if problem and not self._closed:
                self._session.problem.emit(problem)

    def _count(self, job: _Job, work: Work) -> str:
        """Count; return a sentence when samples failed."""
        started = told = time.monotonic()
        first, failed, total = "", 0, len(work)
        counted = job.agreements.count(work, is_cancelled=job.cancel.is_set)
        for done, problem in enumerate(counted, 1):
            if problem:
                failed += 1
                first = first or problem
            now = time.monotonic()
            if now - told >= _SECONDS_BETWEEN_NEWS or done == total:
                told = now
                left = (now - started) / done * (total - done)
                self._change(job, state="running", done=done, failed=failed, seconds_left=left)
        if failed > 1:
            return f"{failed} images could not be compared; the first: {first}"
        return first

    def _end(self, job: _Job, state: str, message: str) -> None:
        told = message if state == "failed" else ""
        self._change(job, state=state, seconds_left=None, message=told)
        if told and not self._closed:
            self._session.problem.emit(told)

    def _change(self, job: _Job, **changes: Any) -> None:
        with self._lock:
            # An end is final, and nobody wants to see a stopped job run again.
            if job.state.is_over or (changes["state"] == "running" and job.cancel.is_set()):
                return
            job.state = state = replace(job.state, **changes)
        if not self._closed:
            self._session.job_changed.emit(state)
