"""The process that runs the networks for the window.

The window never imports torch: it starts this process, sends it requests and receives events.
When the process dies (out of memory, a crashing driver) the job fails with a sentence, finished
samples are kept, and the next job starts a new process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from segstudio.core.errors import SegStudioError
from segstudio.session.events import ModelReport, RunEvent
from segstudio.session.insight import Insight, answer_look
from segstudio.session.look_values import LookAnswer, LookRequest
from segstudio.session.runner import RunRequest

__all__ = ["Devices", "JobEnded", "JobEvent", "WorkerClient"]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """An event of a run, with the job it belongs to."""

    job_id: str
    event: RunEvent


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over; ``error`` is a sentence when it did not end well."""

    job_id: str
    cancelled: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices that networks can run on, best first."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    job_id: str
    request: RunRequest


@dataclass(frozen=True, slots=True)
class _AskDevices:
    pass


@dataclass(frozen=True, slots=True)
class _Inspect:
    path: str


@dataclass(frozen=True, slots=True)
class _Look:
    request: LookRequest


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


Message = JobEvent | JobEnded | Devices | ModelReport | LookAnswer


class WorkerClient:
    """Talks to one worker process, starting it when it is needed.

    Parameters
    ----------
    on_message : callable
        Receives every `Message`, in a thread of the client's own.
    """

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self._on_message = on_message
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.RLock()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._cancel: Any = None
        self._running: str | None = None
        self._inspecting: list[tuple[str, Any]] = []  # path and the process that was asked
        self._looking: list[tuple[LookRequest, Any]] = []

    def start_run(self, job_id: str, request: RunRequest) -> None:
        """Run a request; its events and its end come as messages."""
        with self._lock:
            self._ensure_process()
            self._cancel.clear()
            self._running = job_id
            self._send(_Run(job_id, request))

    def ask_devices(self) -> None:
        """Ask for the devices; the answer comes as a message."""
        with self._lock:
            self._ensure_process()
            self._send(_AskDevices())

    def inspect(self, path: str) -> None:
        """Ask what a checkpoint is; a `ModelReport` comes in every case."""
        with self._lock:
            self._ensure_process()
            self._inspecting.append((path, self._process))
            self._send(_Inspect(path))

    def look(self, request: LookRequest) -> None:
        """Ask a question about a network; a `LookAnswer` comes in every case."""
        with self._lock:
            self._ensure_process()
            self._looking.append((request, self._process))
            self._send(_Look(request))

    def cancel(self) -> None:
        """Ask the running job to stop after the sample at hand."""
        with self._lock:
            if self._cancel is not None:
                self._cancel.set()

    def kill(self) -> None:
        """End the process at once; finished samples are on disk, the job ends as cancelled."""
        with self._lock:
            process = self._process
            if process is not None and self._cancel is not None:
                self._cancel.set()
        if process is not None:
            process.kill()

    def close(self, timeout: float = 3.0) -> None:
        """Stop the process: politely, then firmly after ``timeout`` seconds."""
        with self._lock:
            process, pipe, cancel = self._process, self._pipe, self._cancel
            self._process = None
        if process is None:
            return
        if cancel is not None:
            cancel.set()
        with contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.send(_Stop())
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()

    @property
    def process_id(self) -> int | None:
        """Process id of the worker, None when none runs."""
        process = self._process
        return None if process is None else process.pid

    def _ensure_process(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        # While another thread imports cv2 for the first time, cv2's own folder stands in sys.path;
        # the new process would inherit it and take cv2's "typing" for Python's. Importing it here
        # waits until that is over.
        import cv2  # noqa: F401

        ours, theirs = self._context.Pipe()
        self._cancel = self._context.Event()
        self._process = self._context.Process(
            target=_worker_main, args=(theirs, self._cancel), name="segstudio-worker", daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe = ours
        threading.Thread(
            target=self._listen,
            args=(ours, self._process, self._cancel),
            name="worker-listener",
            daemon=True,
        ).start()

    def _send(self, message: Any) -> None:
        assert self._pipe is not None
        with contextlib.suppress(BrokenPipeError):  # the listener reports the death
            self._pipe.send(message)

    def _listen(self, pipe: Connection, process: Any, cancel: Any) -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                break
            if isinstance(message, JobEnded):
                self._running = None
            if isinstance(message, ModelReport):
                with self._lock, contextlib.suppress(ValueError):
                    self._inspecting.remove((message.path, process))
            if isinstance(message, LookAnswer):
                with self._lock, contextlib.suppress(ValueError):
                    self._looking.remove((message.request, process))
            self._on_message(message)
        process.join()
        self._report_lost_inspections(process)
        self._report_lost_looks(process)
        with self._lock:
            job_id, closing = self._running, self._process is None
            if self._process is process:
                self._process = None
            self._running = None
        if job_id is None:
            return
        if cancel.is_set() or closing:
            self._on_message(JobEnded(job_id, True, None))
            return
        reason = "ran out of memory or was ended" if process.exitcode == -9 else "crashed"
        self._on_message(
            JobEnded(
                job_id,
                False,
                f"The process that runs the network {reason} (exit code {process.exitcode}); "
                "finished images are kept, run again to go on.",
            )
        )

    def _report_lost_inspections(self, process: Any) -> None:
        with self._lock:
            lost = [path for path, asked in self._inspecting if asked is process]
            self._inspecting = [entry for entry in self._inspecting if entry[1] is not process]
            closing = self._process is None
        reason = "ran out of memory or was ended" if process.exitcode == -9 else "crashed"
        for path in () if closing else lost:
            error = f"{path} could not be looked at: the process that opened it {reason}."
            self._on_message(ModelReport(path, None, error))

    def _report_lost_looks(self, process: Any) -> None:
        with self._lock:
            lost = [request for request, asked in self._looking if asked is process]
            self._looking = [entry for entry in self._looking if entry[1] is not process]
            closing = self._process is None
        reason = "ran out of memory or was ended" if process.exitcode == -9 else "crashed"
        for request in () if closing else lost:
            error = f"The process that looked into {Path(request.choice.model).name} {reason}."
            self._on_message(LookAnswer(request, error=error))


def _worker_main(pipe: Connection, cancel: Any) -> None:
    """Entry of the worker process: one request after the other."""
    import signal

    # Ctrl+C in a terminal goes to the whole group; the window decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    models: dict[Any, Any] = {}
    insight = Insight()
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            pipe.send(message)

    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        if isinstance(message, _Stop):
            return
        if isinstance(message, _AskDevices):
            from segstudio.inference.devices import available_devices

            send(Devices(tuple(available_devices())))
        if isinstance(message, _Inspect):
            send(_inspect(message.path))
        if isinstance(message, _Look):
            send(answer_look(insight, message.request))
        if isinstance(message, _Run):
            send(_run(message, cancel, models, send))


def _inspect(path: str) -> ModelReport:
    from segstudio.session.inspection import checkpoint_facts
    from segstudio.session.plugins import load_plugins

    try:
        load_plugins()
        return ModelReport(path, checkpoint_facts(path))
    except SegStudioError as error:
        return ModelReport(path, None, str(error))
    except MemoryError:
        return ModelReport(path, None, f"The memory of this machine does not suffice for {path}.")
    except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, the process lives on
        what = f"{type(error).__name__}: {error}"
        return ModelReport(path, None, f"An unexpected error stopped the look at {path}: {what}")


def _run(
    message: _Run, cancel: Any, models: dict[Any, Any], send: Callable[[Message], None]
) -> JobEnded:
    from segstudio.session.plugins import load_plugins
    from segstudio.session.runner import run_models

    job_id = message.job_id
    try:
        load_plugins()
        run_models(
            message.request,
            lambda event: send(JobEvent(job_id, event)),
            cancelled=cancel.is_set,
            models=models,
        )
    except SegStudioError as error:
        return JobEnded(job_id, False, str(error))
    except MemoryError:
        return JobEnded(job_id, False, "The memory of this machine does not suffice for the run.")
    except Exception as error:  # noqa: BLE001 - a bug becomes a sentence, the process lives on
        return JobEnded(
            job_id, False, f"An unexpected error stopped the run: {type(error).__name__}: {error}"
        )
    return JobEnded(job_id, cancel.is_set(), None)
