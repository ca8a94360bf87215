"""``segstudio download``: a published checkpoint into the cache, checked."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console

from segstudio.cli.common import JsonFlag, say
from segstudio.core.errors import CancelledError, UnknownNameError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from segstudio.checkpoints.download import Downloaded

__all__ = ["download_model"]

_SECONDS_BETWEEN_LINES = 10.0


def download_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Name of a published model; see `segstudio list models`."
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Fetch it again although it is here.")
    ] = False,
    json: JsonFlag = False,
) -> int:
    """Fetch a published checkpoint into the cache; broken off, it goes on where it was."""
    from segstudio.checkpoints.catalogue import load_catalogue
    from segstudio.cli.tables import print_json
    from segstudio.core.registry import did_you_mean
    from segstudio.inference.catalogue import embedded_models

    embedded = {entry.name: entry.path for entry in embedded_models()}
    facts: dict[str, Any]
    if model in embedded:
        say(f"{model} comes with SegStudio and is already here.")
        path, facts = embedded[model], {"licence": None, "sha256": None, "already_there": True}
    else:
        entries = {entry.name: entry for entry in load_catalogue()}
        if model not in entries:
            known = [*embedded, *entries]
            raise UnknownNameError(
                f"There is no published model {model!r}: {did_you_mean(model, known)}"
            )
        found = _fetch(model, force=force)
        path, entry = found.path, entries[model]
        how = "its SHA-256 is the published one" if found.sha256 else "nobody published its hash"
        say(f"{model} {'was here already' if found.already_there else 'is here now'}; {how}.")
        if entry.licence.startswith("other"):
            say(f"Mind its licence: {entry.licence.partition(': ')[2]}.")
        facts = {
            "licence": entry.licence,
            "sha256": found.sha256,
            "already_there": found.already_there,
        }
    if json:
        print_json({"name": model, "path": str(path), "bytes": _size(path), **facts})
    else:
        print(path)
    return 0


def _fetch(name: str, *, force: bool) -> Downloaded:
    from segstudio.checkpoints.catalogue import find_entry
    from segstudio.checkpoints.download import download

    try:
        with _Display(name) as display:
            return download(find_entry(name), report=display.report, force=force)
    except KeyboardInterrupt:
        raise CancelledError(
            f"Interrupted: what was fetched of {name} is kept; run the command again to go on."
        ) from None


def _size(path: Path | None) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    if path is None:
        return 0
    files = [path] if path.is_file() else [entry for entry in path.iterdir() if entry.is_file()]
    return sum(entry.stat().st_size for entry in files)


class _Display:
    """Shows on stderr how far a download is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._console = Console(stderr=True, markup=False, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._shown = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            from rich import progress as bars

            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(),
                bars.DownloadColumn(),
                bars.TransferSpeedColumn(),
                bars.TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._name, total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(self, done: int, total: int | None) -> None:
        """Show how many bytes are there."""
        if self._bar is not None and self._task is not None:
            whole: Any = total
            self._bar.update(self._task, completed=done, total=whole)
            return
        now = time.monotonic()
        if now - self._shown < _SECONDS_BETWEEN_LINES and done != total:
            return
        from segstudio.checkpoints.transfer import readable_size

        self._shown = now
        whole = "" if total is None else f" of {readable_size(total)}"
        print(f"{self._name}: {readable_size(done)}{whole}", file=sys.stderr, flush=True)
