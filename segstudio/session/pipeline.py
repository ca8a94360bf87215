"""A bounded pipeline of threads: load ahead, gather equals into batches, compute, hand on.

Everything that waits between two stages is bounded by number and by weight, so a consumer that is
slow (a full disk queue) stops the computing, that stops the loading, and the memory in use does
not depend on how many items there are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Limits", "Loaded", "stream"]

Item = TypeVar("Item")
Value = TypeVar("Value")
Result = TypeVar("Result")

_POLL_SECONDS = 0.1
"""How long a wish to stop may go unnoticed while nothing is finished."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pipeline.

    Attributes
    ----------
    loaders, workers : int
        Threads that load, and threads that compute.
    batch : int
        Most items that are computed together.
    ahead : int
        Most items that are being loaded or are loaded and wait; at least ``batch``.
    weight : int
        Most weight that is computed at once, a single item excepted; and the weight of what waits
        from which on nothing more is loaded.
    """

    loaders: int
    workers: int
    batch: int
    ahead: int
    weight: int

    def __post_init__(self) -> None:
        if min(self.loaders, self.workers, self.batch, self.weight) < 1 or self.ahead < self.batch:
            raise ValueError(f"{self} cannot move anything")

    @property
    def alive(self) -> int:
        """Most items inside at once: loading, waiting, computing, or done and not handed on."""
        return self.ahead + (self.workers + 1) * self.batch


@dataclass(frozen=True, slots=True, eq=False)
class Loaded(Generic[Value]):
    """An item that is ready to be computed.

    Attributes
    ----------
    value : Value
    bucket : hashable
        Only items of equal buckets are computed together.
    weight : int
        What it costs in memory, in the unit of `Limits.weight`.
    """

    value: Value
    bucket: Hashable
    weight: int


def stream(
    items: Iterable[Item],
    load: Callable[[Item], Loaded[Value] | Result],
    compute: Callable[[list[Value], int], list[Result]],
    limits: Limits,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    begin_worker: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield the result of every item, in the order in which they are finished.

    Parameters
    ----------
    items : iterable
        Taken one by one, as there is room.
    load : callable
        Runs in a loading thread; what it returns is loaded, or is the result already.
    compute : callable
        Runs in a computing thread, on values of one bucket; the number says how many such batches
        can be computed at the same time, for the weight they have.
    limits : Limits
    cancelled : callable
        Once it says True nothing is begun any more; what is being computed is still yielded.
    begin_worker : callable
        Runs first in every computing thread.

    Raises
    ------
    BaseException
        The first that ``load`` or ``compute`` raised; the threads have ended by then.
    """
    pipeline = _Pipeline(items, load, compute, limits, cancelled)
    loaders = ThreadPoolExecutor(limits.loaders, thread_name_prefix="load")
    workers = ThreadPoolExecutor(limits.workers, "compute", initializer=begin_worker)
    try:
        yield from pipeline.run(loaders, workers)
    finally:
        for pool in (loaders, workers):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (loaders, workers):
            pool.shutdown()


class _Pipeline(Generic[Item, Value, Result]):
    """The state of one `stream`; touched by its consumer's thread only."""

    def __init__(
        self,
        items: Iterable[Item],
        load: Callable[[Item], Loaded[Value] | Result],
        compute: Callable[[list[Value], int], list[Result]],
        limits: Limits,
        cancelled: Callable[[], bool],
    ) -> None:
        self._items = iter(items)
        self._load = load
        self._compute = compute
        self._limits = limits
        self._cancelled = cancelled
        self._over = False
        self._loading: set[Future[Loaded[Value] | Result]] = set()
        self._buckets: dict[Hashable, list[Loaded[Value]]] = {}
        self._computing: dict[Future[list[Result]], int] = {}

    def run(self, loaders: ThreadPoolExecutor, workers: ThreadPoolExecutor) -> Iterator[Result]:
        """Move everything on until nothing is left."""
        while True:
            if self._cancelled():
                self._stop()
            self._begin_loading(loaders)
            self._begin_computing(workers)
            if not self._loading and not self._computing:
                return
            running: list[Future[Any]] = [*self._loading, *self._computing]
            wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            yield from self._collect()

    def _stop(self) -> None:
        self._over = True
        self._buckets.clear()
        self._loading = {future for future in self._loading if not future.cancel()}

    def _waiting(self) -> list[Loaded[Value]]:
        return [entry for bucket in self._buckets.values() for entry in bucket]

    def _has_room(self) -> bool:
        waiting = self._waiting()
        if sum(entry.weight for entry in waiting) >= self._limits.weight:
            return False
        return len(self._loading) + len(waiting) < self._limits.ahead

    def _begin_loading(self, loaders: ThreadPoolExecutor) -> None:
        while not self._over and self._has_room():
            try:
                item = next(self._items)
            except StopIteration:
                self._over = True
                return
            self._loading.add(loaders.submit(self._load, item))

    def _begin_computing(self, workers: ThreadPoolExecutor) -> None:
        # One more than there are threads, so that none has to wait for the consumer.
        while len(self._computing) <= self._limits.workers:
            batch = self._choose_batch()
            if not batch:
                return
            weight = max(1, sum(entry.weight for entry in batch))
            if self._computing and sum(self._computing.values()) + weight > self._limits.weight:
                return
            bucket = self._buckets[batch[0].bucket]
            del bucket[: len(batch)]
            if not bucket:
                del self._buckets[batch[0].bucket]
            beside = max(1, min(self._limits.workers, self._limits.weight // weight))
            values = [entry.value for entry in batch]
            self._computing[workers.submit(self._compute, values, beside)] = weight

    def _choose_batch(self) -> list[Loaded[Value]]:
        """Return what to compute next, nothing while a batch can still become fuller."""
        if not self._buckets:
            return []
        # Where several are full the one begun first goes first; a partial one goes when nothing
        # can be added: all is loaded, or what waits fills the room.
        for bucket in self._buckets.values():
            if len(bucket) >= self._size(bucket):
                return bucket[: self._size(bucket)]
        if self._loading or (not self._over and self._has_room()):
            return []
        fullest = max(self._buckets.values(), key=len)
        return fullest.copy()

    def _size(self, bucket: list[Loaded[Value]]) -> int:
        """Return how many of a bucket are computed together: fewer where they weigh much."""
        heaviest = max(entry.weight for entry in bucket)
        return max(1, min(self._limits.batch, self._limits.weight // max(1, heaviest)))

    def _collect(self) -> Iterator[Result]:
        """Take over what is finished; yield what is a result."""
        for loaded in [future for future in self._loading if future.done()]:
            self._loading.discard(loaded)
            entry = loaded.result()
            if not isinstance(entry, Loaded):
                yield entry
            elif not self._cancelled():
                self._buckets.setdefault(entry.bucket, []).append(entry)
        for computed in [future for future in self._computing if future.done()]:
            del self._computing[computed]
            yield from computed.result()
