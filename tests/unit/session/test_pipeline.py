"""The pipeline: everything once, never more alive than allowed, stopped when asked."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest

from segstudio.session.pipeline import Limits, Loaded, stream

LIMITS = Limits(loaders=2, workers=2, batch=3, ahead=7, weight=100)


class Alive:
    """Counts arrays that somebody still holds."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def track(self, array: np.ndarray) -> np.ndarray:
        weakref.finalize(array, self._leave)
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return array

    def _leave(self) -> None:
        with self._lock:
            self.now -= 1


def double(values: list[int], beside: int) -> list[int]:
    return [2 * value for value in values]


def one_by_one(number: int) -> Loaded[int]:
    return Loaded(number, bucket=number % 3, weight=1)


def test_every_item_gives_one_result() -> None:
    found = Counter(stream(range(101), one_by_one, double, LIMITS))
    assert found == Counter(2 * number for number in range(101))
    assert list(stream([], one_by_one, double, LIMITS)) == []


def test_batches_are_of_one_bucket_and_full_until_the_end() -> None:
    batches: list[list[int]] = []
    lock = threading.Lock()

    def compute(values: list[int], beside: int) -> list[int]:
        with lock:
            batches.append(values)
        return values

    items = [0, 1, 2] * 10  # ten of each bucket: three full batches and one of the rest
    results = list(stream(items, one_by_one, compute, LIMITS))
    assert Counter(results) == Counter(items)
    assert all(len(set(batch)) == 1 for batch in batches)
    assert sorted(map(len, batches)) == [1] * 3 + [3] * 9


def test_partial_batches_go_when_nothing_can_be_added() -> None:
    # Every item has a bucket of its own, so no batch ever becomes full.
    def load(number: int) -> Loaded[int]:
        return Loaded(number, bucket=number, weight=1)

    assert sorted(stream(range(40), load, double, LIMITS)) == [2 * n for n in range(40)]


def test_what_load_answers_itself_is_a_result() -> None:
    def load(number: int) -> Loaded[int] | str:
        return f"no {number}" if number % 4 == 0 else one_by_one(number)

    found: set[object] = set(stream(range(12), load, double, LIMITS))  # type: ignore[misc]
    assert found == {"no 0", "no 4", "no 8", *(2 * n for n in range(12) if n % 4)}


@pytest.mark.parametrize("items", [100, 3000])
def test_what_is_alive_does_not_depend_on_the_number_of_items(items: int) -> None:
    alive = Alive()

    def load(number: int) -> Loaded[np.ndarray]:
        return Loaded(alive.track(np.full(16, number)), bucket=number % 2, weight=1)

    def compute(values: list[np.ndarray], beside: int) -> list[int]:
        return [int(value[0]) for value in values]

    seen = 0
    for _ in stream(range(items), load, compute, LIMITS):
        seen += 1
        assert alive.now <= LIMITS.alive
    assert seen == items
    assert 3 < alive.most <= LIMITS.alive
    assert alive.now == 0


def test_a_consumer_that_stands_still_stops_the_loading() -> None:
    loaded = threading.Semaphore(0)
    count = 0
    lock = threading.Lock()

    def load(number: int) -> Loaded[int]:
        nonlocal count
        with lock:
            count += 1
        loaded.release()
        return one_by_one(number)

    with closing(stream(range(10_000), load, double, LIMITS)) as results:
        next(results)
        before = count
        # Nothing is begun while nobody asks: what had been begun is all there is.
        assert not loaded.acquire(timeout=0) or count <= LIMITS.alive
        assert before <= count <= LIMITS.alive


def test_weight_bounds_what_is_computed_at_once() -> None:
    limits = Limits(loaders=2, workers=4, batch=4, ahead=12, weight=100)
    running = [0]
    most = [0]
    beginning = threading.Event()
    lock = threading.Lock()
    told: set[tuple[int, int]] = set()

    def load(number: int) -> Loaded[int]:
        weight = 250 if number % 10 == 0 else 50
        return Loaded(weight, bucket=weight, weight=weight)

    def compute(values: list[int], beside: int) -> list[int]:
        with lock:
            running[0] += sum(values)
            most[0] = max(most[0], running[0])
            told.add((sum(values), beside))
        if sum(values) == 250:
            beginning.wait(0.1)  # room for another to begin, which it must not
        elif running[0] > 100:
            beginning.set()
        with lock:
            running[0] -= sum(values)
        return values

    assert len(list(stream(range(60), load, compute, limits))) == 60
    assert most[0] <= 250
    # 250 goes alone; two of 50 fill the room as one batch, or as two beside each other.
    assert told <= {(250, 1), (100, 1), (50, 2)} and (250, 1) in told


def test_stopping_begins_nothing_and_keeps_what_is_being_computed() -> None:
    limits = Limits(loaders=1, workers=1, batch=1, ahead=4, weight=100)
    begun, go_on, stop = threading.Event(), threading.Event(), threading.Event()
    computed: list[int] = []

    def compute(values: list[int], beside: int) -> list[int]:
        computed.extend(values)
        begun.set()
        assert go_on.wait(30)
        return values

    def cancel() -> None:
        assert begun.wait(30)
        stop.set()
        go_on.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    results = list(stream(range(1000), one_by_one, compute, limits, cancelled=stop.is_set))
    canceller.join()
    assert results == computed and 1 <= len(results) <= 1 + limits.workers


def fail_at(where: str) -> tuple[Callable[[int], Loaded[int]], Callable[..., list[int]]]:
    def load(number: int) -> Loaded[int]:
        if where == "load" and number == 20:
            raise ZeroDivisionError(number)
        return one_by_one(number)

    def compute(values: list[int], beside: int) -> list[int]:
        if where == "compute" and 20 in values:
            raise ZeroDivisionError(20)
        return values

    return load, compute


@pytest.mark.parametrize("where", ["load", "compute"])
def test_an_exception_comes_out_and_the_threads_end(where: str) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        list(stream(range(1000), *fail_at(where), LIMITS))
    assert set(threading.enumerate()) == before


def test_leaving_early_ends_the_threads() -> None:
    before = set(threading.enumerate())
    with closing(stream(range(1000), one_by_one, double, LIMITS)) as results:
        next(results)
        assert set(threading.enumerate()) != before
    assert set(threading.enumerate()) == before


def test_limits_that_cannot_move_anything_are_refused() -> None:
    for wrong in ({"loaders": 0}, {"workers": 0}, {"batch": 8}, {"weight": 0}):
        with pytest.raises(ValueError, match="cannot move"):
            Limits(**{"loaders": 1, "workers": 1, "batch": 1, "ahead": 4, "weight": 1, **wrong})
