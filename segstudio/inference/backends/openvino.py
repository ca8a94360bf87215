"""The network as OpenVINO compiles it for the CPU; the eager one serves until that is done.

Compiled for inputs of one shape, in a thread of its own, and only for runs, which know how many
inputs of which shape will come.  A batch is run input by input, so an answer does not depend on
what else is in the batch.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from segstudio.architectures._base import SegmentationNetwork
from segstudio.core.errors import CancelledError, WriteError
from segstudio.inference.backends.base import Backend, BackendRecord, Shape, never
from segstudio.inference.backends.blobs import BlobStore, blob_key
from segstudio.inference.backends.compiling import (
    CompiledNetwork,
    CompileSettings,
    NotConvertibleError,
    compile_network,
    load_compiled,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OpenVinoBackend", "shapes_worth_compiling"]

_RESIDENT_BYTES = 2 << 30
"""Of weights in compiled networks: every shape has a copy of its own."""
_MOST_SHAPES = 16
_WORTHWHILE = 8
"""Inputs of one shape; compiling takes as long as some ten to thirty eager forward passes."""
_POLL_S = 0.1


def shapes_worth_compiling(counts: Mapping[Shape, int], most: int) -> list[Shape]:
    """Return the shapes for which a run compiles, the most frequent first.

    Those of at least eight inputs; a pure function of the counts, so that every run over the same
    images decides alike.

    Parameters
    ----------
    counts : mapping of Shape to int
        Inputs of each shape.
    most : int
        How many shapes there may be.
    """
    ordered = sorted(counts, key=lambda shape: (-counts[shape], shape))
    return [shape for shape in ordered[:most] if counts[shape] >= _WORTHWHILE]


class OpenVinoBackend(Backend):
    """Serves each shape by a compiled network as soon as it has one.

    Parameters
    ----------
    network : SegmentationNetwork
        On the CPU, in evaluation mode.
    eager : Backend
        Serves meanwhile, and the shapes that are not compiled.
    settings : CompileSettings
    key : str or None
        Stands for the network in the store; None when nothing does.
    store : BlobStore or None
        Compiled networks of other processes and days.
    """

    compiles = True

    def __init__(
        self,
        network: SegmentationNetwork,
        eager: Backend,
        settings: CompileSettings,
        *,
        key: str | None,
        store: BlobStore | None,
    ) -> None:
        self._network = network
        self._eager = eager
        self._settings = settings
        self._key = key
        self._store = store if key is not None else None
        weights = sum(entry.nbytes for entry in network.state_dict().values())
        self._most = max(1, min(_MOST_SHAPES, _RESIDENT_BYTES // max(1, weights)))
        self._changed = threading.Condition()
        # All below is touched with _changed held.
        self._compiled: dict[Shape, CompiledNetwork] = {}
        self._failed: dict[Shape, str] = {}
        self._queue: list[Shape] = []
        self._working = False
        self._closed = False
        self._notes: tuple[str, ...] = ()
        self._thread = threading.local()

    @property
    def name(self) -> str:
        """The word openvino and the precision; the eager name once the network did not convert."""
        return self._eager.name if self._gave_up else f"openvino {self._settings.precision}"

    @property
    def precision(self) -> str:
        """One of fp32, bf16 and fp16."""
        return self._eager.precision if self._gave_up else self._settings.precision

    @property
    def notes(self) -> tuple[str, ...]:
        """Why something is not served by OpenVINO, or not kept on disk."""
        with self._changed:
            reasons = {reason: shape for shape, reason in self._failed.items()}
            failures = tuple(
                f"OpenVINO cannot run this network at {height} x {width}, so {self._eager.name} "
                f"does, because {reason}."
                for reason, (height, width) in reasons.items()
            )
            return (*self._eager.notes, *failures, *self._notes)

    def __call__(self, batch: Tensor) -> Tensor:
        """Return logits; see `Backend`."""
        shape: Shape = (batch.shape[-2], batch.shape[-1])
        with self._changed:
            compiled = self._compiled.get(shape)
        if compiled is None or getattr(self._thread, "uncompiled", False):
            return self._eager(batch)
        return torch.cat([compiled(image) for image in batch.split(1)])

    @contextlib.contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Serve this thread by the eager backend; see `Backend`."""
        self._thread.uncompiled = True
        try:
            yield
        finally:
            self._thread.uncompiled = False

    def start(self, counts: Mapping[Shape, int]) -> None:
        """Compile for the shapes of a run that are worth it, and keep to them; see `Backend`."""
        wanted = shapes_worth_compiling(counts, self._most)
        with self._changed:
            # What was compiled for another run gives way, and is not served by in this one.
            for shape in set(self._compiled) - set(wanted):
                del self._compiled[shape]
            self._queue = [shape for shape in wanted if not self._settled(shape)]
            if self._queue and not self._working and not self._closed:
                self._working = True
                threading.Thread(target=self._work, name="openvino").start()

    def wait_ready(
        self, counts: Mapping[Shape, int], *, cancelled: Callable[[], bool] = never
    ) -> None:
        """Wait until all that `start` began is done; see `Backend`."""
        self.start(counts)
        with self._changed:
            while self._queue and not self._closed:
                if cancelled():
                    self._queue.clear()
                    raise CancelledError("The run was stopped while its network was compiled.")
                self._changed.wait(_POLL_S)

    def record(self) -> BackendRecord:
        """Return what a run has to record; after `wait_ready` it does not change."""
        with self._changed:
            shapes = tuple(sorted(self._compiled))
        if not shapes:
            eager = self._eager
            return BackendRecord(eager.name, eager.precision, (), eager.name, self.notes)
        return BackendRecord(self.name, self.precision, shapes, self._eager.name, self.notes)

    def close(self) -> None:
        """Stop after the step that is under way, and free what was compiled."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._compiled.clear()
            self._changed.notify_all()

    def join(self) -> None:
        """Wait until nothing is being prepared."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working)

    # -- with _changed held ------------------------------------------------------------------------

    @property
    def _gave_up(self) -> bool:
        return bool(self._failed) and not self._compiled

    def _settled(self, shape: Shape) -> bool:
        return shape in self._compiled or shape in self._failed

    def _go_on(self) -> bool:
        return not self._closed and threading.main_thread().is_alive()

    # -- preparing ---------------------------------------------------------------------------------

    def _work(self) -> None:
        """Compile for the shapes in the queue, until it is empty or the program ends."""
        while True:
            with self._changed:
                if not self._queue or not self._go_on():
                    self._working = False
                    self._changed.notify_all()
                    return
                shape = self._queue[0]
            compiled, reason = None, ""
            try:
                compiled = self._prepared(shape)
            except Exception as error:  # noqa: BLE001 - whoever waits for the thread is told
                reason = str(error) or type(error).__name__
            with self._changed:
                self._keep(shape, compiled, reason)
                self._changed.notify_all()

    def _keep(self, shape: Shape, compiled: CompiledNetwork | None, reason: str) -> None:
        """Enter a result, unless it was called off meanwhile (_changed is held)."""
        if shape not in self._queue:
            return
        self._queue.remove(shape)
        if compiled is not None:
            self._compiled[shape] = compiled
        elif reason:
            self._failed[shape] = reason
            if self._gave_up:
                # What the first shape has shown is said of all: each attempt takes seconds.
                self._failed.update(dict.fromkeys(self._queue, reason))
                self._queue.clear()

    def _prepared(self, shape: Shape) -> CompiledNetwork | None:
        """Return the compiled network from the store, or compile and store it."""
        key = blob_key(self._key, shape, self._settings)
        data = self._store.load(key) if self._store is not None else None
        compiled = load_compiled(data, self._settings) if data is not None else None
        if compiled is None:
            compiled = compile_network(self._network, shape, self._settings, go_on=self._go_on)
            if compiled is not None and self._store is not None:
                self._save(self._store, key, compiled)
        if compiled is not None and compiled.precision != self._settings.precision:
            raise NotConvertibleError(f"it chose {compiled.precision} by itself")
        return compiled

    def _save(self, store: BlobStore, key: str, compiled: CompiledNetwork) -> None:
        try:
            store.save(key, compiled.to_bytes())
        except WriteError as error:
            with self._changed:
                self._notes = (f"The compiled network is not kept: {error}",)
