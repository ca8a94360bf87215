"""Jobs and what went wrong in them, as rows of one list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt

from segstudio.ui.models import duration

__all__ = ["FINISHED", "JobView", "JobsModel"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()

FINISHED = frozenset({"done", "cancelled", "failed"})
"""States that a job does not leave."""

_SHOWN_ERRORS = 200  # rows; the rest is counted


@dataclass(slots=True)
class JobView:
    """A job as the window shows it.

    Attributes
    ----------
    state : str
        "starting", "running", "cancelling", "done", "cancelled" or "failed".
    seconds_left : float or None
        None when nobody knows yet.
    errors : list of (str, str)
        Sample id and one plain sentence.
    unit : str
        What is counted: "samples", "bytes" or "analysed" samples.
    is_run : bool
        Whether models are run.
    """

    job_id: str
    title: str
    done: int = 0
    total: int = 0
    failed: int = 0
    seconds_left: float | None = None
    state: str = "starting"
    message: str = ""
    errors: list[tuple[str, str]] = field(default_factory=list)
    unit: str = "samples"
    is_run: bool = False

    @property
    def active(self) -> bool:
        """Whether it still runs."""
        return self.state not in FINISHED

    @property
    def repeatable(self) -> bool:
        """Whether it is a run that left something undone."""
        unfinished = self.state in {"cancelled", "failed"} or (self.state == "done" and self.failed)
        return bool(unfinished) and self.is_run

    @property
    def summary(self) -> str:
        """How far it is, in words."""
        count = f"{self.done} / {self.total}" if self.total else ""
        if self.total and self.unit == "bytes":
            count = f"{self.done / 1e6:.1f} / {self.total / 1e6:.1f} MB"
        failed = f"{self.failed} failed" if self.failed else ""
        left = duration(self.seconds_left)
        state = {
            "starting": "starting…",
            "running": f"{left} left" if left else "",
            "cancelling": "stopping…",
            "done": "done",
            "cancelled": "stopped; what was fetched is kept"
            if self.unit == "bytes"
            else "stopped; what was finished is kept",
            "failed": "failed",
        }.get(self.state, self.state)
        parts = (count, failed, state, self.message)
        return "  ·  ".join(part for part in parts if part)


class JobsModel(QAbstractListModel):
    """Newest job first, each followed by its errors."""

    KindRole = Qt.ItemDataRole.UserRole + 1  # "job" or "error"
    JobRole = Qt.ItemDataRole.UserRole + 2
    SampleIdRole = Qt.ItemDataRole.UserRole + 3

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._jobs: list[JobView] = []
        self._rows: list[tuple[JobView, int]] = []  # job, number of its error or -1

    def set_job(self, job: JobView) -> None:
        """Add a job or replace what is known of it; its errors stay."""
        for place, known in enumerate(self._jobs):
            if known.job_id == job.job_id:
                job.errors = known.errors
                self._jobs[place] = job
                self._rows = [(job, n) if old is known else (old, n) for old, n in self._rows]
                row = next(i for i, (entry, n) in enumerate(self._rows) if entry is job and n < 0)
                self.dataChanged.emit(self.index(row), self.index(row))
                return
        self.beginInsertRows(QModelIndex(), 0, 0)
        self._jobs.insert(0, job)
        self._rows.insert(0, (job, -1))
        self.endInsertRows()

    def add_error(self, job_id: str, sample_id: str, sentence: str) -> None:
        """Add an error to a job; without that job it becomes a row of its own."""
        job = next((entry for entry in self._jobs if entry.job_id == job_id), None)
        if job is None:
            job = JobView(job_id, "Problems", state="failed")
            self.set_job(job)
        job.errors.append((sample_id, sentence))
        if len(job.errors) > _SHOWN_ERRORS:
            return
        places = [place for place, (entry, _) in enumerate(self._rows) if entry is job]
        row = places[-1] + 1
        self.beginInsertRows(QModelIndex(), row, row)
        self._rows.insert(row, (job, len(job.errors) - 1))
        self.endInsertRows()

    def clear_finished(self) -> None:
        """Forget jobs that are over, and their errors."""
        self.beginResetModel()
        self._jobs = [job for job in self._jobs if job.active]
        self._rows = [(job, number) for job, number in self._rows if job.active]
        self.endResetModel()

    @property
    def active(self) -> list[JobView]:
        """Jobs that still run."""
        return [job for job in self._jobs if job.active]

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of jobs and errors."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a row shows."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        job, place = self._rows[index.row()]
        if role == self.KindRole:
            return "job" if place < 0 else "error"
        if role == self.JobRole:
            return job
        if role == Qt.ItemDataRole.DisplayRole:
            return job.title if place < 0 else job.errors[place][1]
        if role == Qt.ItemDataRole.ToolTipRole:
            return job.summary if place < 0 else job.errors[place][1]
        if role == self.SampleIdRole and place >= 0:
            return job.errors[place][0]
        return None
