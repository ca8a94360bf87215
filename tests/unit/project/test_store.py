"""The SQLite store: resuming, migrating, refusing, and surviving kills and company."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from segstudio.core.errors import CorruptProjectError, UnknownNameError, WriteError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.project import schema
from segstudio.project.reviews import Accepted, UncertainRecord
from segstudio.project.store import ResultRecord, Store

SPACE = load_label_space("camvid")
ROOT = Path(schema.__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def begin(store: Store, name: str = "enet", identity: str = "one") -> str:
    return store.begin_run(name, f"{name}.safetensors", identity, SPACE, {"device": "cpu"})


# -- runs and results -----------------------------------------------------------------------------


def test_an_equal_identity_is_the_same_run_and_another_a_new_one(store: Store) -> None:
    assert begin(store) == "enet"
    assert begin(store) == "enet"
    assert begin(store, identity="two") == "enet-2"
    assert begin(store, identity="three") == "enet-3"
    assert begin(store, identity="two") == "enet-2"
    assert [record.run for record in store.runs()] == ["enet", "enet-2", "enet-3"]
    record = store.run("enet")
    assert record.label_space == SPACE and record.options == {"device": "cpu"}
    assert (record.model, record.identity) == ("enet.safetensors", "one")
    with pytest.raises(UnknownNameError, match=r"no run 'enett': did you mean enet"):
        store.run("enett")


def test_results_survive_closing(path: Path) -> None:
    store = Store(path)
    run = begin(store)
    store.finish_sample(run, "a.png", seconds=0.5, counts=("key", 0.25, b"\x00counts"))
    store.finish_sample(run, "b.png", seconds=0.5)
    store.fail_sample(run, "c.png", "c.png cannot be read.")
    store.close()
    store = Store(path)
    try:
        assert store.results(run) == {
            "a.png": ResultRecord("a.png", None, 0.5),
            "b.png": ResultRecord("b.png", None, 0.5),
            "c.png": ResultRecord("c.png", "c.png cannot be read.", None),
        }
        assert store.finished_count(run) == 2
        assert store.counts(run) == {"a.png": ("key", b"\x00counts")}
        assert store.mious(run) == {"a.png": 0.25}
        assert store.results("another") == {} and store.finished_count("another") == 0
    finally:
        store.close()


def test_a_sample_that_failed_can_be_finished_later(store: Store) -> None:
    run = begin(store)
    store.fail_sample(run, "a.png", "no.")
    store.finish_sample(run, "a.png", seconds=1.0, counts=("key", None, b"1"))
    assert store.results(run) == {"a.png": ResultRecord("a.png", None, 1.0)}
    assert store.mious(run) == {"a.png": None}


def test_counts_never_outlive_the_prediction_they_were_made_of(store: Store) -> None:
    run = begin(store)
    store.finish_sample(run, "a.png", seconds=1.0, counts=("key", 0.5, b"1"))
    store.finish_sample(run, "a.png", seconds=2.0)
    assert store.counts(run) == {}
    store.save_counts(run, [("a.png", "other", 0.75, b"2")])
    store.save_counts(run, [("a.png", "newer", 0.8, b"3")])
    assert store.counts(run) == {"a.png": ("newer", b"3")}
    store.forget_results(run)
    assert store.results(run) == {} and store.counts(run) == {}
    assert store.run(run).run == run


def test_a_run_that_was_not_begun_has_no_results(store: Store) -> None:
    with pytest.raises(CorruptProjectError, match="FOREIGN KEY"):
        store.finish_sample("ghost", "a.png", seconds=1.0)
    assert store.results("ghost") == {}


def test_saving_many_counts_is_all_or_nothing(store: Store) -> None:
    run = begin(store)

    def entries() -> Iterator[tuple[str, str, float | None, bytes]]:
        yield "a.png", "key", 0.5, b"1"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.save_counts(run, entries())
    assert store.counts(run) == {}
    begin(store, identity="the next transaction still works")


def test_reviews_and_corrections(store: Store) -> None:
    store.set_review("a.png", "in progress")
    store.set_review("a.png", "corrected")
    assert store.reviews() == {"a.png": "corrected"}
    assert store.correction_label_space("a.png") is None
    assert store.add_correction("a.png", SPACE, None) == 1
    other = load_label_space("voc")
    assert store.add_correction("a.png", other, "enet") == 2
    assert store.add_correction("b.png", SPACE, "ground-truth") == 1
    space = store.correction_label_space("a.png")
    assert isinstance(space, LabelSpace) and space == other
    assert store.corrected_samples() == {"a.png", "b.png"}


# -- the file -------------------------------------------------------------------------------------


def test_it_is_ordinary_sqlite(path: Path, store: Store) -> None:
    begin(store)
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert other.execute("SELECT run, model FROM runs").fetchall() == [
            ("enet", "enet.safetensors")
        ]
        version = other.execute("PRAGMA user_version").fetchone()[0]
    other.close()
    assert version == len(schema.MIGRATIONS)


def test_an_older_file_is_migrated_and_keeps_its_data(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Store(path)
    run = begin(old)
    old.finish_sample(run, "a.png", seconds=1.0)
    old.close()
    later = (
        *schema.MIGRATIONS,
        "CREATE TABLE notes (text TEXT) STRICT; INSERT INTO notes VALUES ('new');",
        "ALTER TABLE notes ADD COLUMN author TEXT;",
    )
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    for _ in range(2):  # the second opening has nothing left to do
        new = Store(path)
        assert new._query("SELECT text, author FROM notes") == [("new", None)]
        assert new._query("PRAGMA user_version") == [(len(later),)]
        assert new.finished_count(run) == 1
        new.close()


def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(path).close()
    good = schema.MIGRATIONS
    broken = (*good, "CREATE TABLE notes (text TEXT) STRICT; INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(CorruptProjectError, match="nowhere"):
        Store(path)
    monkeypatch.setattr(schema, "MIGRATIONS", good)
    store = Store(path)
    assert store._query("SELECT name FROM sqlite_master WHERE name = 'notes'") == []
    assert store._query("PRAGMA user_version") == [(len(good),)]
    store.close()


def test_a_newer_file_is_refused_untouched(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 999")
    other.close()
    with pytest.raises(CorruptProjectError) as caught:
        Store(path)
    assert str(caught.value) == (
        f"{path} was written by a newer SegStudio; please update to open it."
    )
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (999,)
    other.close()


@pytest.mark.parametrize("content", [b"this is no database, " * 50, b"SQLite format 3\0" * 64])
def test_a_file_that_is_no_database_is_named_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptProjectError, match="is not a sound project file") as caught:
        Store(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_damaged_page_is_one_sentence(path: Path) -> None:
    store = Store(path)
    run = begin(store)
    for number in range(300):
        store.finish_sample(run, f"{number:05}.png", seconds=1.0, counts=("k", 0.1, b"x" * 300))
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xaa" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(CorruptProjectError, match="move it away to start afresh"):
        damaged = Store(path)
        try:
            damaged.counts(run)
            damaged.results(run)
        finally:
            damaged.close()


def test_a_folder_that_is_not_there_is_a_write_error(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="Cannot write"):
        Store(tmp_path / "nowhere" / "project.sqlite")


def test_a_file_locked_by_another_program_is_not_called_damaged(path: Path, store: Store) -> None:
    store._connection.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(WriteError, match="keeps it locked; try again"):
            begin(store)
    finally:
        other.close()
    assert begin(store) == "enet"


# -- company and kills ----------------------------------------------------------------------------


def test_threads_share_one_store(store: Store) -> None:
    run = begin(store)

    def work(worker: int) -> None:
        for number in range(25):
            store.finish_sample(run, f"{worker}/{number}.png", seconds=0.0)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.finished_count(run) == 100


WRITER = """
import sys
from pathlib import Path
from segstudio.core.label_space import load_label_space
from segstudio.project.store import Store
name, count = sys.argv[2], int(sys.argv[3])
store = Store(Path(sys.argv[1]))
run = store.begin_run("enet", "enet", "identity", load_label_space("camvid"), {})
other = store.begin_run("enet", "enet", name, load_label_space("camvid"), {})
for number in range(count):
    sample_id = f"{name}/{number:06}.png"
    store.finish_sample(run, sample_id, seconds=0.0, counts=("key", 0.5, sample_id.encode()))
    print(number, flush=True)
print(run, other, flush=True)
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_create_and_write_one_file(path: Path) -> None:
    writers = [start_writer(path, name, 60) for name in ("left", "right")]
    outputs = [writer.communicate(timeout=120)[0].splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    runs, others = zip(*(output[-1].split() for output in outputs), strict=True)
    assert set(runs) == {"enet"}, "equal identities must meet in one run"
    assert set(others) == {"enet-2", "enet-3"}
    store = Store(path)
    assert store.finished_count("enet") == 120
    assert len(store.counts("enet")) == 120
    store.close()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_kill_between_transactions_loses_nothing_that_was_finished(path: Path) -> None:
    writer = start_writer(path, "killed", 1_000_000)
    assert writer.stdout is not None
    reported = -1
    for line in writer.stdout:
        reported = int(line)
        if reported == 40:
            break
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate(timeout=60)[0].split()
    # The last line may be cut by the kill; what is before it was reported whole.
    reported = max([reported, *(int(line) for line in rest[:-1])])
    store = Store(path)
    results, counts = store.results("enet"), store.counts("enet")
    for number in range(reported + 1):
        assert f"killed/{number:06}.png" in results
    assert set(results) == set(counts), "a result and its counts are one transaction"
    assert all(data == name.encode() for name, (_, data) in counts.items())
    assert store._query("PRAGMA integrity_check") == [("ok",)]
    store.finish_sample("enet", "after.png", seconds=0.0)
    store.close()


def test_accepted_regions_are_taken_back_by_batch(store: Store) -> None:
    run = begin(store)
    first = [Accepted("a.png", 1, 2, 30), Accepted("b.png", 4, 5, 60)]
    batch = store.accept(run, "error", first)
    later = store.accept(run, "error", [first[0], Accepted("a.png", 9, 9, 9)])
    assert later != batch and store.last_batch() == later
    assert store.accepted(run, "error") == {*first, Accepted("a.png", 9, 9, 9)}
    assert store.accepted(run, "error", "b.png") == {first[1]}
    assert store.accepted(run, "uncertain") == set()
    assert store.take_back(later) == 1, "what was accepted before is not of this batch"
    assert store.accepted(run, "error") == set(first)
    assert store.take_back(batch) == 2
    assert store.accepted(run, "error") == set() and store.last_batch() is None


def test_uncertain_regions_belong_to_the_prediction_they_were_found_in(store: Store) -> None:
    run = begin(store)
    store.finish_sample(run, "a.png", seconds=1.0)
    finished = store.results(run)["a.png"].finished
    record = UncertainRecord("a.png", finished, 128, 0.25, b"\x01\x00", b"rows")
    assert store.save_uncertain(run, record)
    assert store.uncertain_keys(run) == {"a.png": (finished, 128)}
    assert store.uncertain(run) == {"a.png": record}
    assert not store.save_uncertain(run, replace(record, finished=finished - 1))
    assert not store.save_uncertain(run, replace(record, sample_id="b.png"))
    assert store.uncertain(run) == {"a.png": record}
