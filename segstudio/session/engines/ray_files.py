"""Files that a Ray worker may not see: the checkpoint, and images that the driver sends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segstudio.core.errors import WorkerError
from segstudio.core.types import Sample
from segstudio.datasets.containers import open_entry, stat_source
from segstudio.project.signature import FileSignature, sign_file
from segstudio.session.engines.base import Outcome, fail
from segstudio.session.engines.ray_worker import ShippedFile, Task

if TYPE_CHECKING:
    from segstudio.inference.model import Model
    from segstudio.session.runner import RunRequest

__all__ = ["find_source", "is_same_file", "read_files", "read_task"]

_SAME_SECONDS = 2.0
"""File systems round times differently."""
_FACT_SUFFIXES = frozenset({".json", ".toml", ".txt", ".yaml", ".yml"})
_FACT_BYTES = 4_000_000
"""Small files beside a checkpoint may say what it is."""


def find_source(request: RunRequest, model: Model) -> Path:
    """Return the absolute path that a model was loaded from: a file, or the folder it is in."""
    from segstudio.checkpoints.files import find_checkpoint
    from segstudio.inference.catalogue import find_model

    for name in request.models:
        path = find_model(name)
        if find_checkpoint(path) == model.checkpoint.path:
            return path.absolute()
    return model.checkpoint.path.absolute()


def read_files(source: Path) -> list[ShippedFile]:
    """Read a checkpoint with the small files beside it.

    Raises
    ------
    WorkerError
        When it cannot be read any more.
    """
    from segstudio.checkpoints.files import find_checkpoint

    try:
        checkpoint = find_checkpoint(source)
        beside = [
            path
            for path in sorted(checkpoint.parent.iterdir())
            if path.suffix in _FACT_SUFFIXES
            and path.is_file()
            and path.stat().st_size <= _FACT_BYTES
        ]
        return [
            ShippedFile(path.relative_to(path.anchor).as_posix(), np.fromfile(path, np.uint8))
            for path in (checkpoint, *(path for path in beside if path != checkpoint))
        ]
    except OSError as error:
        raise WorkerError(
            f"{source} cannot be sent to the Ray workers: {error.strerror or error}."
        ) from error


def read_task(sample: Sample) -> Task | Outcome:
    """Read an image file for a worker that cannot, or say why that fails here too."""
    started = time.perf_counter()
    path = sample.image_path
    try:
        # Signed before it is read; see `sign_file`.
        signature = sign_file(path)
        entry = open_entry(path)
        data = path.read_bytes() if entry is None else entry.read()
        return Task(path, data, signature)
    except Exception as error:  # noqa: BLE001 - one image that fails is told, not the run's end
        return fail(sample, error, time.perf_counter() - started)


def is_same_file(sample: Sample, signature: FileSignature | None) -> bool:
    """Return whether a worker's image is the one that is here; True when that cannot be told."""
    if signature is None:
        return True
    try:
        state = stat_source(sample.image_path)
    except OSError:
        return True
    apart = abs(state.st_mtime_ns - signature.mtime_ns) / 1e9
    return state.st_size == signature.size and apart <= _SAME_SECONDS
