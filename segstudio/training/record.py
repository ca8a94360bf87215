"""What a training leaves beside checkpoints: a log in JSON lines, a plot, TensorBoard events."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segstudio.core.atomic import replacing
from segstudio.core.errors import WriteError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Record", "read_log"]

_SECONDS_BETWEEN_PLOTS = 60.0


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a log in order of their steps.

    A training that was killed and taken up again writes some steps a second time: the last entry
    of a step holds.  A line that was cut off is left out.
    """
    found: dict[tuple[int, bool], dict[str, Any]] = {}
    if not path.exists():
        return []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            found[int(entry["step"]), "validation_miou" in entry] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return [found[key] for key in sorted(found)]


class Record:
    """Writes ``log.jsonl``, ``progress.png`` and, where TensorBoard is installed, its events.

    Parameters
    ----------
    folder : Path
        Of the training.
    step : int
        Where it begins: what TensorBoard was told of later steps, before the training was killed,
        does not count.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self._folder = folder
        self._plotted = time.monotonic()
        self._board: SummaryWriter | None = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line to the log.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        path = self._folder / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise WriteError.from_os_error(path, error) from error
        if self._board is not None:
            for key, value in entry.items():
                if key not in {"epoch", "step"}:
                    self._board.add_scalar(key, value, entry["step"])
        if time.monotonic() - self._plotted > _SECONDS_BETWEEN_PLOTS:
            self.plot()

    def plot(self) -> None:
        """Draw losses and validation mIoU over the steps to ``progress.png``."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._plotted = time.monotonic()
        entries = read_log(self._folder / "log.jsonl")
        losses = [(e["step"], e.get("mean_loss", e["loss"])) for e in entries if "loss" in e]
        scores = [
            (e["step"], 100 * e["validation_miou"]) for e in entries if "validation_miou" in e
        ]
        if not losses:
            return
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        left = figure.add_subplot()
        left.plot(*zip(*losses, strict=True), color="#4477aa", label="training loss")
        left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
        if scores:
            right = left.twinx()
            right.plot(
                *zip(*scores, strict=True), color="#cc6677", marker=".", label="validation mIoU"
            )
            best = max(scores, key=lambda entry: entry[1])
            right.set(ylabel="validation mIoU, %", ylim=(0, 100))
            right.annotate(f"{best[1]:.1f}", best, (0, 6), textcoords="offset points", ha="center")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        with replacing(self._folder / "progress.png", durable=False) as temporary:
            FigureCanvasAgg(figure)
            figure.savefig(temporary, format="png")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        with contextlib.suppress(WriteError):  # what went wrong first is what is told
            self.close()

    def close(self) -> None:
        """Draw the last plot and close TensorBoard's file."""
        self.plot()
        if self._board is not None:
            self._board.close()
