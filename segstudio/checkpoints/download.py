"""Fetching published checkpoints into the cache folder, checked before they can be used."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segstudio.checkpoints.catalogue import (
    CatalogueEntry,
    PublishedFile,
    cached_path,
    entry_folder,
    find_weights,
)
from segstudio.checkpoints.connection import Patience
from segstudio.checkpoints.structure import file_digest
from segstudio.checkpoints.transfer import (
    DownloadError,
    MissingFileError,
    Report,
    Wanted,
    fetch,
)
from segstudio.core.atomic import make_folder
from segstudio.core.errors import WriteError

__all__ = ["DownloadError", "Downloaded", "Patience", "Report", "download"]

_SMALL = 1_000_000
"""Bytes that a file beside a checkpoint can have."""
_SLACK = 64_000_000
_MOST_TIMES = 4
"""Training state beside the weights makes a file larger than its tensors, but not more than so."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A published checkpoint that is on this machine.

    Attributes
    ----------
    path : Path
        What to open: the checkpoint file, or its folder when other files belong to it.
    file : Path
        The checkpoint file.
    already_there : bool
        Whether nothing had to be fetched.
    sha256 : str or None
        The published hash, or its beginning, that the file has; None when none is published.
    """

    path: Path
    file: Path
    already_there: bool
    sha256: str | None


def download(
    entry: CatalogueEntry,
    *,
    report: Report | None = None,
    cancel: threading.Event | None = None,
    force: bool = False,
    patience: Patience | None = None,
) -> Downloaded:
    """Fetch a published checkpoint, unless it is here.

    Parameters
    ----------
    entry : CatalogueEntry
    report : callable, optional
        Receives the bytes of the checkpoint file that are there, and all there will be or None.
    cancel : threading.Event, optional
        Set it to stop; what was fetched is kept and the next call goes on from there.
    force : bool
        Fetch it again although it is here; the old file stays until the new one is checked.
    patience : Patience, optional
        Timeouts and repetitions.

    Raises
    ------
    DownloadError
        When it cannot be had, is not the published file, or another process is fetching it.
    CancelledError
        When it was stopped.
    WriteError
        When the cache folder cannot be written.
    """
    report = report or (lambda done, total: None)
    cancel = cancel or threading.Event()
    patience = patience or Patience()
    folder = make_folder(entry_folder(entry))
    with _only_here(folder, entry):
        found = find_weights(entry)
        if found is not None and not force:
            return _checked(entry, *found)
        # The checkpoint comes last: once it is there, all that belongs to it is.
        by_hand = (entry.url, folder / entry.weights[0].name)
        for file in entry.beside:
            if force or not (folder / file.name).exists():
                with contextlib.suppress(MissingFileError):
                    fetch(
                        Wanted(file.url, folder / file.name, _SMALL, by_hand=by_hand),
                        report=lambda done, total: None,
                        cancel=cancel,
                        patience=patience,
                    )
        for number, file in enumerate(entry.weights, 1):
            try:
                wanted = _wanted(entry, file, folder)
                sha256 = fetch(wanted, report=report, cancel=cancel, patience=patience)
            except MissingFileError:
                if number == len(entry.weights):
                    raise
            else:
                return Downloaded(cached_path(entry) or wanted.target, wanted.target, False, sha256)
    raise AssertionError("an entry has at least one file")


def _wanted(entry: CatalogueEntry, file: PublishedFile, folder: Path) -> Wanted:
    limit = file.bytes or _MOST_TIMES * entry.estimated_bytes + _SLACK
    return Wanted(
        file.url,
        folder / file.name,
        limit,
        sha256_prefix=file.sha256_prefix,
        bytes=file.bytes,
        expected=file.bytes or entry.estimated_bytes,
    )


def _checked(entry: CatalogueEntry, file: PublishedFile, path: Path) -> Downloaded:
    """Return what is here already; a file put there by hand may be anything."""
    try:
        digest = file_digest(path) if file.sha256_prefix else ""
    except OSError as error:
        reason = str(error.strerror or error).lower()
        raise DownloadError(f"{path} cannot be read: {reason}.") from error
    if file.sha256_prefix and not digest.startswith(file.sha256_prefix):
        raise DownloadError(
            f"{path} is not the published file (its SHA-256 begins with "
            f"{digest[: len(file.sha256_prefix)]}, not {file.sha256_prefix}); "
            f"fetch it again with: segstudio download {entry.name} --force."
        )
    return Downloaded(cached_path(entry) or path, path, True, file.sha256_prefix)


@contextlib.contextmanager
def _only_here(folder: Path, entry: CatalogueEntry) -> Iterator[None]:
    """Keep other processes, and other threads, from writing the same files."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "download.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DownloadError(
            f"{entry.name} is being downloaded already, by another window or command; "
            "wait until that is done."
        ) from error
    except OSError as error:
        raise WriteError.from_os_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()
