"""Fetching published checkpoints beside everything else: each in a thread, told as a job."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from segstudio.checkpoints.catalogue import CatalogueEntry, find_entry
from segstudio.checkpoints.download import download
from segstudio.core.errors import CancelledError, SegStudioError
from segstudio.session.events import JobState

if TYPE_CHECKING:
    from segstudio.session.session import Session

__all__ = ["Downloads"]

_RATE_SECONDS = 10.0
"""How far back the pace is looked at."""
_SECONDS_BETWEEN_NEWS = 0.1
_CLOSE_SECONDS = 3.0


@dataclass
class _Download:
    entry: CatalogueEntry
    state: JobState
    cancel: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    told: float = 0.0
    points: deque[tuple[float, int]] = field(default_factory=deque)


class Downloads:
    """The downloads of a session; several may run, each model once.

    Parameters
    ----------
    session : Session
        Whose `job_changed` carries the news, with bytes for ``done`` and ``total``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._downloads: dict[str, _Download] = {}
        self._lock = threading.RLock()
        self._closed = False

    def start(self, name: str, *, force: bool = False) -> str:
        """Fetch a published model and return the job's id, that of its download if one runs.

        Raises
        ------
        UnknownNameError
            When the catalogue has no model of that name.
        """
        entry = find_entry(name)
        with self._lock:
            for job_id, job in self._downloads.items():
                if job.entry.name == name and not job.state.is_over:
                    return job_id
            job_id = uuid.uuid4().hex[:12]
            state = JobState(job_id, entry.title, 0, entry.bytes, 0, None, "starting", unit="bytes")
            job = self._downloads[job_id] = _Download(entry, state)
            job.thread = threading.Thread(
                target=self._run, args=(job, force), name=f"download-{name}", daemon=True
            )
        self._session.job_changed.emit(state)
        job.thread.start()
        return job_id

    def states(self) -> list[JobState]:
        """Return where every download of the session stands, oldest first."""
        with self._lock:
            return [job.state for job in self._downloads.values()]

    def cancel(self, job_id: str) -> bool:
        """Stop a download, keeping what was fetched; False when the job is none."""
        with self._lock:
            job = self._downloads.get(job_id)
            if job is None:
                return False
            job.cancel.set()
        self._change(job, state="cancelling", seconds_left=None)
        return True

    def close(self) -> None:
        """Stop every download; what was fetched is kept."""
        with self._lock:
            self._closed = True
            jobs = [job for job in self._downloads.values() if not job.state.is_over]
            for job in jobs:
                job.cancel.set()
        for job in jobs:
            # A job of another thread may be entered and not started yet.
            if job.thread is not None and job.thread.is_alive():
                job.thread.join(_CLOSE_SECONDS)

    # -- in the download's thread -----------------------------------------------------------

    def _run(self, job: _Download, force: bool) -> None:
        error: str | None = None
        try:
            found = download(
                job.entry,
                report=lambda done, total: self._on_progress(job, done, total),
                cancel=job.cancel,
                force=force,
            )
        except CancelledError as stopped:
            self._change(job, state="cancelled", seconds_left=None, message=str(stopped))
            return
        except SegStudioError as problem:
            error = str(problem)
        except Exception as problem:  # noqa: BLE001 - a bug becomes a sentence, not a silent thread
            error = f"An unexpected error stopped the download: {type(problem).__name__}: {problem}"
        else:
            size = found.file.stat().st_size
            self._change(job, state="done", done=size, total=size, seconds_left=None, message="")
            return
        self._change(job, state="failed", seconds_left=None, message=error)
        if not self._closed:
            self._session.problem.emit(error)

    def _on_progress(self, job: _Download, done: int, total: int | None) -> None:
        """Tell how far a download is, not more often than anybody can read."""
        now = time.monotonic()
        if job.points and done < job.points[-1][1]:
            job.points.clear()  # the server made it start over
        job.points.append((now, done))
        while now - job.points[0][0] > _RATE_SECONDS and len(job.points) > 2:
            job.points.popleft()
        if now - job.told < _SECONDS_BETWEEN_NEWS and done != total:
            return
        job.told = now
        whole = max(done, total or job.entry.bytes)
        self._change(
            job,
            state="running",
            done=done,
            total=whole,
            seconds_left=_seconds_left(job.points, whole - done),
        )

    def _change(self, job: _Download, **changes: Any) -> None:
        with self._lock:
            # An end is final, and nobody wants to see a stopped download run again.
            if job.state.is_over or (changes["state"] == "running" and job.cancel.is_set()):
                return
            job.state = replace(job.state, **changes)
        # Without the lock: a listener may ask from another thread.  Two threads may then tell
        # their news in the wrong order, so whoever told old news tells the newest again.
        while not self._closed:
            state = job.state
            self._session.job_changed.emit(state)
            if job.state is state:
                return


def _seconds_left(points: deque[tuple[float, int]], remaining: int) -> float | None:
    """Tell from the pace of the last seconds; None before there is one."""
    (begin, first), (end, last) = points[0], points[-1]
    if end <= begin or last <= first:
        return None
    return remaining * (end - begin) / (last - first)
