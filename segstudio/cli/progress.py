"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console

from segstudio.session.events import (
    ModelLoaded,
    PredictionReady,
    RunEvent,
    RunFinished,
    RunNote,
    RunStarted,
    SampleFailed,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from segstudio.training.plan import TrainNotice, TrainProgress, Validation

__all__ = [
    "FinetuneDisplay",
    "Interruptible",
    "RunDisplay",
    "StepDisplay",
    "TrainingDisplay",
    "duration",
]

_SECONDS_BETWEEN_LINES = 10.0
_NOT_WORTH_A_LINE = 1.0
"""Seconds; what is done sooner needs no progress."""


def duration(seconds: float | None) -> str:
    """Return "1:02:03", "2:03", or "--:--" when unknown."""
    if seconds is None:
        return "--:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Interruptible:
    """Turn the first Ctrl+C (or SIGTERM) into a polite request, the second into an exception."""

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def cancelled(self) -> bool:
        """Return whether the user asked to stop."""
        return self._asked


class TrainingDisplay(Interruptible):
    """Shows the steps and validations of a training."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True)
        self._shown = 0.0
        self._losses: list[float] = []

    def report(self, news: TrainProgress | Validation | TrainNotice) -> None:
        """Show one piece of news."""
        from segstudio.training.plan import TrainNotice, TrainProgress

        if isinstance(news, TrainNotice):
            self._console.print(f"segstudio: {news.text}", highlight=False, soft_wrap=True)
            return
        if not isinstance(news, TrainProgress):
            self._console.print(
                f"epoch {news.epoch}: validation mIoU {100 * news.miou:.2f} "
                f"(best {100 * news.best_miou:.2f})",
                highlight=False,
            )
            return
        self._losses = [*self._losses[-49:], news.loss]
        now = time.monotonic()
        if now - self._shown < _SECONDS_BETWEEN_LINES and news.step < news.steps:
            return
        self._shown = now
        loss = sum(self._losses) / len(self._losses)
        self._console.print(
            f"step {news.step}/{news.steps}  epoch {news.epoch}  loss {loss:.4f}  "
            f"lr {news.learning_rate:.2e}  {duration(news.seconds_left)} left",
            highlight=False,
        )


class FinetuneDisplay(Interruptible):
    """Shows the stages of a fine-tuning."""

    def __init__(self) -> None:
        super().__init__()
        self._stage = ""
        self._shown = 0.0

    def report(self, stage: str, done: int, total: int, left: float | None) -> None:
        """Show a new stage at once, and progress now and then."""
        now = time.monotonic()
        if stage == self._stage and now - self._shown < _SECONDS_BETWEEN_LINES:
            return
        self._stage, self._shown = stage, now
        count = f" {done}/{total}" if total else ""
        rest = "" if left is None else f", {duration(left)} left"
        print(f"{stage}{count}{rest}", file=sys.stderr, flush=True)


class StepDisplay(Interruptible):
    """Shows how far one piece of work is, a line now and then; nothing of a second's work.

    Parameters
    ----------
    title : str
        What is done.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._started = self._shown = time.monotonic()

    def report(self, done: int, total: int) -> None:
        """Show how much is done, at once when it is the last."""
        now = time.monotonic()
        wait = _NOT_WORTH_A_LINE if done == total else _SECONDS_BETWEEN_LINES
        if now - (self._started if done == total else self._shown) < wait:
            return
        self._shown = now
        left = (now - self._started) / done * (total - done) if done else None
        rest = "" if done == total else f", {duration(left)} left"
        print(f"{self._title}: {done}/{total}{rest}", file=sys.stderr, flush=True)


class RunDisplay(Interruptible):
    """Shows runs on stderr and remembers how they went.

    Called with each `RunEvent`, from any thread.

    Attributes
    ----------
    started, finished : list
        The runs, in order.
    failed : list of SampleFailed
        What could not be predicted.
    unscored : list of PredictionReady
        What was predicted, but has a ground truth that cannot be used.
    mious : dict of str to list of float
        Per-image mIoU of the samples predicted now, by run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[RunStarted] = []
        self.finished: list[RunFinished] = []
        self.failed: list[SampleFailed] = []
        self.unscored: list[PredictionReady] = []
        self.mious: dict[str, list[float]] = {}
        self._console = Console(stderr=True, markup=False, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        self._done = 0
        self._now_done = 0
        self._begun = self._shown = 0.0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_bar()
        super().__exit__(kind, value, traceback)

    def __call__(self, event: RunEvent) -> None:
        """Show one piece of news."""
        with self._lock:
            if isinstance(event, ModelLoaded):
                self._say(f"{event.model} on {event.device}, loaded in {event.seconds:.1f} s")
            elif isinstance(event, RunStarted):
                self._start(event)
            elif isinstance(event, RunNote):
                self._say(event.sentence)
            elif isinstance(event, RunFinished):
                self.finished.append(event)
                self._end_bar()
            else:
                self._advance(event)

    def _start(self, event: RunStarted) -> None:
        self.started.append(event)
        self.mious[event.run] = []
        for note in event.notes:
            self._say(note)
        before = f", {event.already} of them done before" if event.already else ""
        self._say(f"run {event.run}: {event.total} images{before}")
        self._done, self._now_done = event.already, 0
        self._begun = self._shown = time.monotonic()
        if self._console.is_terminal and event.already < event.total:
            from rich import progress as bars

            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(),
                bars.MofNCompleteColumn(),
                bars.TextColumn("{task.fields[rate]}"),
                bars.TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(
                event.run, total=event.total, completed=event.already, rate=""
            )
            self._bar.start()

    def _advance(self, event: PredictionReady | SampleFailed) -> None:
        self._done += 1
        self._now_done += 1
        if isinstance(event, SampleFailed):
            self.failed.append(event)
            self._say(f"{event.sample_id} failed: {event.error}")
        else:
            if event.miou is not None:
                self.mious[event.run].append(event.miou)
            if event.problem is not None:
                self.unscored.append(event)
                self._say(f"{event.sample_id} is predicted, but not scored: {event.problem}")
        now = time.monotonic()
        total = self.started[-1].total
        rate = self._now_done / max(now - self._begun, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{rate:.1f} images/s")
        elif now - self._shown >= _SECONDS_BETWEEN_LINES or self._done == total:
            self._shown = now
            left = duration((total - self._done) / rate)
            self._say(f"{event.run}: {self._done}/{total} images, {rate:.1f} images/s, {left} left")

    def _say(self, text: str) -> None:
        """Print one line; on a terminal above the bar, elsewhere never broken in two."""
        if self._bar is not None:
            self._bar.console.print(text, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
