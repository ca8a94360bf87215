"""How an export gets onto the disk: a few threads ahead, one file at a time, nothing in the way."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from segstudio.core.atomic import TEMPORARY_SUFFIX, make_folder, write_bytes
from segstudio.core.errors import UsageError, WriteError

__all__ = [
    "check_writable",
    "existing_places",
    "in_order",
    "kept_note",
    "refuse_existing",
    "write_content",
    "write_side_files",
]

T = TypeVar("T")

_WORKERS = min(4, os.cpu_count() or 1)


def in_order(
    entries: Iterable[T], work: Callable[[T], Any]
) -> Iterator[tuple[T, Callable[[], Any]]]:
    """Yield each entry with a call that returns, or raises, the result of ``work`` on it.

    A few threads work ahead, as decoding and encoding leave Python's lock.  No more than a few
    results wait for their turn, so memory does not grow with the number of entries.
    """
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="export")
    waiting: deque[tuple[T, Future[Any]]] = deque()
    try:
        for entry in entries:
            waiting.append((entry, pool.submit(work, entry)))
            if len(waiting) > 2 * _WORKERS:
                first, future = waiting.popleft()
                yield first, future.result
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_writable(destination: Path) -> None:
    """Create the destination when it is missing, and raise once when nothing can be written to it.

    Raises
    ------
    WriteError
        Before any sample has been read.
    """
    make_folder(destination)
    try:
        with tempfile.TemporaryFile(dir=destination):
            pass
    except OSError as error:
        raise WriteError.from_os_error(destination, error) from error


def write_content(path: Path, content: bytes | Path) -> None:
    """Write a file, or a symbolic link to a path, in place of what is there.

    Not flushed file by file: an export can be made again, and a thousand flushes take longer than
    the thousand files.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    if isinstance(content, bytes):
        write_bytes(path, content, durable=False)
        return
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        temporary.symlink_to(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if os.name == "nt":
            raise WriteError(
                f"Cannot link {path} to {content}: Windows allows links to administrators and in "
                "developer mode only; choose copies."
            ) from error
        raise WriteError.from_os_error(path, error) from error


def write_side_files(files: Mapping[str, bytes], destination: Path, existing: str) -> list[Path]:
    """Write files by name; with ``existing`` "keep" only those that are missing.

    Returns
    -------
    list of Path
        Files that were kept although they hold something else.
    """
    kept = []
    for name, data in files.items():
        path = destination / name
        if existing != "keep" or not path.exists():
            write_bytes(path, data)
        elif not _holds(path, data):
            kept.append(path)
    return kept


def kept_note(path: Path) -> str:
    """Return the sentence on a file that ``existing="keep"`` left alone."""
    return f"{path} was there already and was kept as it is."


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def existing_places(places: Sequence[str], destination: Path) -> list[str]:
    """Return those of an export's files that are there already."""
    if not destination.exists():
        return []
    root = str(destination)
    return [place for place in places if os.path.lexists(f"{root}{os.sep}{place}")]


def refuse_existing(places: Sequence[str], destination: Path) -> None:
    """Raise when one of an export's files is there already.

    Raises
    ------
    UsageError
        Naming the first, and how many there are.
    """
    there = existing_places(places, destination)
    if there:
        raise UsageError(
            f"{destination / there[0]} exists already ({len(there)} of {len(places)} files do); "
            "choose another folder, or replace or keep the existing files."
        )
