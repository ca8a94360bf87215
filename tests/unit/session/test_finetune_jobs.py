"""Fine-tuning in a process of its own: progress comes, an end comes, a crash is a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from segstudio.core.errors import CancelledError, TrainingError, WorkerError
from segstudio.session import finetune_jobs, finetuning
from segstudio.session.finetune_jobs import _STAGES, Finetunes, _finetune_main, _part
from segstudio.session.finetuning import ClassChange, FinetuneReport

REPORT = FinetuneReport(None, ("a",), ("b",), ClassChange("mean IoU", 0.5, 0.4, None))


class Pipe:
    """Both ends of a pipe in one process."""

    def __init__(self, *messages: Any) -> None:
        self.messages = list(messages)

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def poll(self, _seconds: float = 0) -> bool:
        return True

    def recv(self) -> Any:
        if not self.messages:
            raise EOFError
        return self.messages.pop(0)


class Process:
    """A process that has died."""

    exitcode = -9

    def is_alive(self) -> bool:
        return False

    def join(self) -> None:
        return None


class Progress:
    """Counts steps; stopped after so many."""

    def __init__(self, stop_at: int = 1000) -> None:
        self.steps, self._stop_at = 0, stop_at
        self.cancelled = False

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self._stop_at:
            raise CancelledError("Stopped.")


def listen(pipe: Pipe, progress: Progress) -> Any:
    return Finetunes._listen(pipe, Process(), progress)  # type: ignore[arg-type]


def test_parts_only_grow_and_end_with_the_report() -> None:
    progress = Progress()
    messages = [("part", 3), ("part", 3), ("part", 10), ("part", 90), ("report", REPORT)]
    assert listen(Pipe(*messages), progress) is REPORT
    assert progress.steps == 90


def test_an_error_is_passed_on_and_a_crash_is_a_sentence() -> None:
    with pytest.raises(Exception, match="too few"):
        listen(Pipe(("error", "too few")), Progress())
    with pytest.raises(WorkerError, match=r"exit code -9.*nothing was written"):
        listen(Pipe(("part", 1)), Progress())
    with pytest.raises(CancelledError):
        listen(Pipe(("part", 50)), Progress(stop_at=5))


def test_stages_are_parts_of_a_hundred() -> None:
    assert [_part(stage, 0, 10) for stage in _STAGES] == [0, 8, 10, 90]
    assert [_part(stage, 10, 10) for stage in _STAGES] == [8, 10, 90, 100]
    assert _part("Fine-tuning", 5, 10) == 50


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TrainingError("Too few."), ("error", "Too few.")),
        (ValueError("x"), ("error", "An unexpected error stopped the fine-tuning: ValueError: x")),
        (None, ("report", REPORT)),
    ],
)
def test_the_process_tells_every_end(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, wanted: tuple[str, Any]
) -> None:
    import signal

    def run(request: Any, report: Any, *, cancelled: Any) -> FinetuneReport:
        report("Fine-tuning", 1, 2, None)
        if error is not None:
            raise error
        return REPORT

    class Cancel:
        def is_set(self) -> bool:
            return False

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(finetuning, "finetune", run)
    pipe = Pipe()
    _finetune_main(pipe, Cancel(), None)  # type: ignore[arg-type]
    signal.signal(signal.SIGINT, before)
    assert pipe.messages == [("part", 50), wanted]


def test_a_job_runs_in_another_process(tmp_path: Path) -> None:
    """A request whose file has the wrong name comes back as that sentence, from the process."""
    from segstudio.datasets.base import Dataset
    from segstudio.session.finetuning import FinetuneRequest
    from segstudio.training.finetune_options import FinetuneOptions

    states: list[Any] = []

    class Signal:
        def emit(self, value: Any) -> None:
            states.append(value)

    class Session:
        job_changed = problem = sample_failed = Signal()

    finetunes = Finetunes(Session())  # type: ignore[arg-type]
    request = FinetuneRequest(
        Dataset(tmp_path, "folder", ()),
        tmp_path,
        "enet-camvid",
        tmp_path / "model.pth",
        dataclasses.replace(FinetuneOptions(), device="cpu"),
    )
    job_id = finetunes.start(request)
    thread = finetunes.jobs._jobs[job_id].thread
    assert thread is not None
    thread.join(120)
    (state,) = finetunes.jobs.states()
    assert state.state == "failed" and "is called otherwise" in state.message
    assert finetunes.reports == {} and state.total == finetune_jobs._PARTS
