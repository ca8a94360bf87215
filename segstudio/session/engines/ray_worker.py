"""The part of the Ray engine that runs on the cluster: one model in one actor.

Nothing here imports Ray.  A worker is told what to load and which samples to predict, and it does
that with the engine of a single machine, so that its answers are those of a local run.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from segstudio import __version__
from segstudio.core.errors import SegStudioError
from segstudio.core.types import Sample
from segstudio.project.signature import FileSignature
from segstudio.session.engines.base import Outcome, build_model, run_identity
from segstudio.session.engines.local import LocalEngine

if TYPE_CHECKING:
    from segstudio.inference.model import Model
    from segstudio.session.runner import RunRequest

__all__ = ["Facts", "RayWorker", "Setup", "ShippedFile", "Task", "Unseen", "look_here"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Where a worker is, and what has to be the same there as here.

    Attributes
    ----------
    host : str
        Name of the machine.
    segstudio, torch : str
        Versions; PyTorch's without the build ("+cpu", "+cu128").
    """

    host: str
    segstudio: str
    torch: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker has to load.

    Attributes
    ----------
    request : RunRequest
        Its options decide the model; it has no samples.
    source : Path
        Absolute path of the checkpoint, a file or a folder.
    identity : str
        What `run_identity` says of the model there, so that no other file is taken for it.
    with_scores : bool
        See `LocalEngine`.
    counts : dict of (int, int) to int
        Inputs of each shape that the run makes, where the model compiles for them: every worker
        compiles for the same ones then, as a local run does.
    """

    request: RunRequest
    source: Path
    identity: str
    with_scores: bool
    counts: dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True, eq=False)
class ShippedFile:
    """A checkpoint's file for workers that cannot read it.

    Attributes
    ----------
    path : str
        Where it is put below a folder; the names of the folders around it tell something too.
    data : ndarray of shape (N,), uint8
        Its bytes.
    """

    path: str
    data: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A sample to predict.

    Attributes
    ----------
    image_path : Path
        The image, or the name it has where its bytes come from.
    data : bytes or None
        The image file's content, for workers that cannot read it.
    signature : FileSignature or None
        Of the file that ``data`` is.
    early : bool
        Whether it is predicted as if nothing were compiled; see `Engine.outcomes`.
    """

    image_path: Path
    data: bytes | None = None
    signature: FileSignature | None = None
    early: bool = False


@dataclass(frozen=True, slots=True)
class Unseen:
    """A worker cannot read an image and needs its bytes."""


def look_here() -> Facts:
    """Return the facts of this process."""
    torch = importlib.metadata.version("torch").partition("+")[0]
    return Facts(socket.gethostname(), __version__, torch)


class RayWorker:
    """One model on one GPU or on some CPUs of a cluster; Ray makes it an actor."""

    def __init__(self) -> None:
        self._engine: LocalEngine | None = None

    def look(self) -> Facts:
        """Return where this is; nothing is loaded yet."""
        return look_here()

    def load(self, setup: Setup, files: Sequence[ShippedFile] | None = None) -> str | None:
        """Load the model, from its path or from the files that came with the call.

        Returns
        -------
        str or None
            Why it cannot be had, None when it is ready.
        """
        from segstudio.session.plugins import load_plugins

        load_plugins()
        try:
            if files is None:
                if not setup.source.exists():
                    return f"{setup.source} does not exist there."
                model = _build(setup, setup.source)
            else:
                model = _build_shipped(setup, files)
        except SegStudioError as error:
            return str(error)
        model.backend.wait_ready(setup.counts)
        self._engine = LocalEngine(model, batch=setup.request.batch, with_scores=setup.with_scores)
        return None

    def predict(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome | Unseen]]:
        """Yield the position of each task with what became of it, as they are finished."""
        assert self._engine is not None
        with tempfile.TemporaryDirectory(prefix="segstudio-", ignore_cleanup_errors=True) as folder:
            samples = []
            for position, task in enumerate(tasks):
                path = task.image_path
                if task.data is not None:
                    path = Path(folder) / str(position) / (path.name or "image")
                    path.parent.mkdir()
                    path.write_bytes(task.data)
                elif not os.access(path, os.R_OK):
                    yield position, Unseen()
                    continue
                samples.append(Sample(str(position), path))
            early = {str(position) for position, task in enumerate(tasks) if task.early}
            for outcome in self._engine.outcomes(samples, early=early):
                position = int(outcome.sample.sample_id)
                yield position, _as_there(outcome, tasks[position])


def _as_there(outcome: Outcome, task: Task) -> Outcome:
    """Return an outcome in the words of the machine that the image came from."""
    if task.data is None:
        return outcome
    error = outcome.error
    if error is not None:
        error = error.replace(str(outcome.sample.image_path), str(task.image_path))
    return replace(outcome, error=error, signature=task.signature)


def _build(setup: Setup, source: Path) -> Model:
    """Load the model of a path.

    Raises
    ------
    SegStudioError
        When it cannot be loaded, or would give other results.
    """
    model = cast("Model", build_model(setup.request, str(source)))  # a path is one model
    here = json.loads(run_identity(model, setup.request.refine, setup.request.tta))
    wanted = json.loads(setup.identity)
    other = sorted(key for key in here.keys() | wanted.keys() if here.get(key) != wanted.get(key))
    if other:
        remedy = "; choose the precision fp32" if {"backend", "precision"} & set(other) else ""
        raise SegStudioError(
            f"{setup.source} gives another model on {socket.gethostname()} than where the run was "
            f"started: {', '.join(other).replace('_', ' ')}{remedy}."
        )
    return model


def _build_shipped(setup: Setup, files: Sequence[ShippedFile]) -> Model:
    """Load the model of files that came from elsewhere; they are not kept."""
    with tempfile.TemporaryDirectory(prefix="segstudio-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve()
        for file in files:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            file.data.tofile(path)
        try:
            model = _build(setup, root / setup.source.relative_to(setup.source.anchor))
        except SegStudioError as error:
            # The user knows the path that it came from.
            anchor = setup.source.anchor
            raise SegStudioError(str(error).replace(f"{root}{os.sep}", anchor)) from error
        below = model.checkpoint.path.resolve().relative_to(root)
        model.checkpoint = replace(model.checkpoint, path=Path(setup.source.anchor) / below)
        return model
