"""Fine-tuning for the window: in a process of its own, told as a job."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from segstudio.core.errors import CancelledError, SegStudioError, WorkerError
from segstudio.session.finetuning import STOPPED
from segstudio.session.thread_jobs import Progress, ThreadJobs

if TYPE_CHECKING:
    from segstudio.session.finetuning import FinetuneReport, FinetuneRequest
    from segstudio.session.session import Session

__all__ = ["Finetunes"]

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 8.0


class Finetunes:
    """The fine-tunings of a session.

    Attributes
    ----------
    jobs : ThreadJobs
        A thread each, which listens to a process: the networks never run in the window's.
    reports : dict of str to FinetuneReport
        What finished ones came to, by job.
    """

    def __init__(self, session: Session) -> None:
        self.jobs = ThreadJobs(session)
        self.reports: dict[str, FinetuneReport] = {}

    def start(self, request: FinetuneRequest) -> str:
        """Start a fine-tuning and return the job's id; the last message says how it ended."""
        title = f"Fine-tuning {str(request.model).rsplit('/', 1)[-1]}"
        return self.jobs.start(
            title, _PARTS, lambda progress: self._run(request, progress), unit="parts"
        )

    def _run(self, request: FinetuneRequest, progress: Progress) -> str:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        cancel = context.Event()
        process = context.Process(
            target=_finetune_main,
            args=(theirs, cancel, request),
            name="segstudio-finetune",
            daemon=True,
        )
        process.start()
        theirs.close()
        try:
            report = self._listen(ours, process, progress)
        except CancelledError:
            cancel.set()
            process.join(_GRACE_SECONDS)
            raise
        finally:
            if process.is_alive():
                process.kill()
            process.join()
            ours.close()
        self.reports[progress.job_id] = report
        return report.reason

    @staticmethod
    def _listen(pipe: Connection, process: Any, progress: Progress) -> FinetuneReport:
        """Pass progress on until the report comes."""
        told = 0
        while True:
            if not pipe.poll(_POLL_SECONDS):
                if progress.cancelled:
                    raise CancelledError(STOPPED)
                if process.is_alive() or pipe.poll():
                    continue
            try:
                kind, value = pipe.recv()
            except (EOFError, OSError) as error:
                process.join()
                raise WorkerError(
                    "The process that fine-tunes ended unexpectedly (exit code "
                    f"{process.exitcode}), perhaps for lack of memory; nothing was written."
                ) from error
            if kind == "error":
                raise SegStudioError(value)
            if kind == "report":
                found: FinetuneReport = value
                return found
            while told < value:
                told += 1
                progress.step()


_PARTS = 100
_STAGES = {
    "Judging the model before": (0, 8),
    "Judging the model that is there": (8, 10),
    "Fine-tuning": (10, 90),
    "Judging the model after": (90, 100),
}
"""Which parts of a hundred a stage of the work is."""


def _part(stage: str, done: int, total: int) -> int:
    first, last = _STAGES[stage]
    return first + (last - first) * done // max(1, total)


def _finetune_main(pipe: Connection, cancel: Any, request: FinetuneRequest) -> None:
    """Entry of the process: one fine-tuning."""
    import signal

    from segstudio.session.finetuning import finetune
    from segstudio.session.plugins import load_plugins

    # Ctrl+C in a terminal goes to the whole group; the window decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def told(stage: str, done: int, total: int, left: float | None) -> None:
        _send(pipe.send, ("part", _part(stage, done, total)))

    try:
        load_plugins()
        report = finetune(request, told, cancelled=cancel.is_set)
        _send(pipe.send, ("report", report))
    except SegStudioError as error:
        _send(pipe.send, ("error", str(error)))
    except MemoryError:
        _send(pipe.send, ("error", "The memory of this machine does not suffice to fine-tune."))
    except Exception as error:  # noqa: BLE001 - a bug becomes a sentence
        what = f"{type(error).__name__}: {error}"
        _send(pipe.send, ("error", f"An unexpected error stopped the fine-tuning: {what}"))


def _send(send: Callable[[Any], None], message: tuple[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the window is gone
        send(message)
