"""Stored error analysis goes with the prediction that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segstudio.core.label_space import load_label_space
from segstudio.project.opening import repair_store
from segstudio.project.store import ErrorRecord, Store

SPACE = load_label_space("camvid")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "project.sqlite")
    opened.begin_run("enet", "m", "one", SPACE, {})
    opened.begin_run("other", "m", "two", SPACE, {})
    for run in ("enet", "other"):
        for sample_id in ("a.png", "b.png"):
            opened.finish_sample(run, sample_id, seconds=0.1)
            assert opened.save_errors(run, record(opened, run, sample_id))
    yield opened
    opened.close()


def record(store: Store, run: str, sample_id: str, *, key: str = "key") -> ErrorRecord:
    finished = store.results(run)[sample_id].finished
    return ErrorRecord(sample_id, key, b"errors", b"regions", finished)


def test_an_analysis_is_replaced_by_the_next(store: Store) -> None:
    assert store.save_errors("enet", record(store, "enet", "a.png", key="new"))
    assert store.error_keys("enet") == {"a.png": "new", "b.png": "key"}
    assert store.error_keys("other") == {"a.png": "key", "b.png": "key"}


def test_a_sample_that_is_redone_loses_its_analysis(store: Store) -> None:
    store.finish_sample("enet", "a.png", seconds=0.1)
    assert store.error_keys("enet") == {"b.png": "key"}
    assert store.error_keys("other") == {"a.png": "key", "b.png": "key"}


def test_an_analysis_of_a_prediction_that_is_gone_is_not_entered(store: Store) -> None:
    old = record(store, "enet", "a.png")
    store.finish_sample("enet", "a.png", seconds=0.1)
    assert not store.save_errors("enet", old)
    failed = record(store, "enet", "b.png", key="again")
    store.fail_sample("enet", "b.png", "It cannot be read.")
    assert not store.save_errors("enet", failed)
    assert store.error_keys("enet") == {"b.png": "key"}
    assert not store.save_errors("enet", ErrorRecord("c.png", "key", b"", b"", 0.0))


def test_a_run_that_starts_again_has_no_analysis(store: Store) -> None:
    store.forget_results("enet")
    assert store.error_keys("enet") == {}
    assert store.errors("enet", ["a.png"]) == {}
    assert store.error_keys("other") == {"a.png": "key", "b.png": "key"}


def test_a_repaired_project_keeps_them(store: Store) -> None:
    path = store.path
    store.close()
    data = bytearray(path.read_bytes())
    # Damage that only the check of the whole file sees: the count of free pages.
    data[36:40] = (7).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    assert repair_store(path) is not None
    repaired = Store(path)
    assert repaired.errors("enet", ["a.png"]) == {"a.png": (b"errors", b"regions")}
    repaired.close()
