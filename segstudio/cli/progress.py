"""Progress on stderr: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from segstudio.training.trainer import TrainProgress, Validation

__all__ = ["TrainingDisplay", "duration"]

_SECONDS_BETWEEN_LINES = 10.0


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

    def __enter__(self) -> Interruptible:
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

    def report(self, news: TrainProgress | Validation) -> None:
        """Show one piece of news."""
        from segstudio.training.trainer import TrainProgress

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
