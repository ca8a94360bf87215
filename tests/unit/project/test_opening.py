"""Damaged and unwritable projects are read from a copy; the file itself is never touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from segstudio.core.errors import CorruptProjectError, WriteError
from segstudio.core.label_space import load_label_space
from segstudio.project import opening
from segstudio.project.opening import open_store, repair_store
from segstudio.project.store import Store

SPACE = load_label_space("camvid")
SAMPLES = 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound project with one run."""
    path = tmp_path / "project.sqlite"
    with closing(Store(path)) as store:
        run = store.begin_run("enet", "m", "id", SPACE, {})
        for number in range(SAMPLES):
            counts = ("key", 0.1, bytes(200))
            store.finish_sample(run, f"{number:04}.png", seconds=1.0, counts=counts)
        store.set_review("0001.png", "corrected")
        store.add_correction("0001.png", SPACE, "enet")
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def damage(path: Path) -> None:
    """Overwrite the middle of the file, where results or counts are."""
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    middle = len(data) * 5 // 8 // size * size
    data[middle : middle + 4 * size] = b"\xaa" * (4 * size)
    path.write_bytes(data)


def test_a_sound_project_is_opened_for_writing(path: Path) -> None:
    store, note = open_store(path)
    assert note is None and not store.read_only
    store.set_review("a", "b")
    store.close()
    assert repair_store(path) is None
    assert [entry.name for entry in path.parent.iterdir()] == ["project.sqlite"]


def test_a_damaged_project_is_read_as_far_as_it_goes(path: Path) -> None:
    damage(path)
    before = files(path.parent)
    with pytest.raises(CorruptProjectError, match="segstudio run --repair"):
        Store(path)
    store, note = open_store(path)
    assert note is not None and note.startswith(f"{path} is damaged (")
    assert "\n" not in note and note.endswith(".")
    assert store.read_only and [record.run for record in store.runs()] == ["enet"]
    results, counts = store.results("enet"), store.counts("enet")
    assert 0 < len(counts) + len(results) < 2 * SAMPLES
    assert {"0000.png", f"{SAMPLES - 1:04}.png"} <= results.keys() & counts.keys(), (
        "what is before and behind the damage"
    )
    assert store.reviews() == {"0001.png": "corrected"}
    assert store.correction_label_space("0001.png") == SPACE
    for write in (
        lambda: store.set_review("a", "b"),
        lambda: store.finish_sample("enet", "z.png", seconds=1.0),
    ):
        with pytest.raises(WriteError) as caught:
            write()
        assert str(caught.value) == note
    store.close()
    assert files(path.parent) == before


def test_repair_keeps_the_damaged_file_and_goes_on_with_the_rest(path: Path) -> None:
    damage(path)
    damaged = path.read_bytes()
    aside = repair_store(path)
    assert aside == path.with_name("project.sqlite.damaged")
    assert aside.read_bytes() == damaged
    with closing(Store(path)) as store:
        assert 0 < store.finished_count("enet") <= SAMPLES
        assert store.begin_run("enet", "m", "id", SPACE, {}) == "enet"
        assert store.add_correction("0001.png", SPACE, None) == 2
        store.finish_sample("enet", "z.png", seconds=1.0)
        assert store._query("PRAGMA integrity_check") == [("ok",)]
        assert store._query("PRAGMA foreign_key_check") == []
    damage(path)
    second = repair_store(path)
    assert second == path.with_name("project.sqlite.damaged-2")
    assert aside.read_bytes() == damaged


def test_a_file_that_holds_nothing_is_refused_and_repaired_to_an_empty_one(tmp_path: Path):
    path = tmp_path / "project.sqlite"
    path.write_bytes(b"this is no database " * 100)
    before = files(tmp_path)
    with pytest.raises(CorruptProjectError, match="is not a sound project file"):
        open_store(path)
    assert files(tmp_path) == before
    assert repair_store(path) == path.with_name("project.sqlite.damaged")
    with closing(Store(path)) as store:
        assert store.runs() == []


def test_a_newer_version_is_no_damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    for refuse in (open_store, repair_store):
        with pytest.raises(CorruptProjectError, match="newer SegStudio"):
            refuse(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["project.sqlite"]


def make_unwritable(path: Path) -> None:
    """Raise the write version in the header (byte 18): SQLite then reads only, root or not."""
    data = bytearray(path.read_bytes())
    data[18] = 3
    path.write_bytes(data)


def test_a_project_that_cannot_be_written_can_be_read(path: Path) -> None:
    make_unwritable(path)
    before = files(path.parent)
    store, note = open_store(path)
    assert note is not None and "it is open for reading only" in note
    assert store.read_only and store.finished_count("enet") == SAMPLES
    assert len(store.counts("enet")) == SAMPLES
    with pytest.raises(WriteError, match="open for reading only"):
        store.set_review("a", "b")
    store.close()
    assert files(path.parent) == before


def test_a_project_of_an_older_version_that_cannot_be_written_can_be_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for column in ("image_size", "image_mtime_ns", "image_digest"):
            connection.execute(f"ALTER TABLE results DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    make_unwritable(path)
    store, note = open_store(path)
    assert note is not None and store.read_only
    results = store.results("enet")
    assert len(results) == SAMPLES and results["0000.png"].signature is None
    store.close()


def test_what_a_killed_process_left_in_the_log_is_read_too(path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO reviews (sample_id, state) VALUES ('late.png', 'seen')")
    log, main = Path(f"{path}-wal").read_bytes(), path.read_bytes()
    writer.close()
    Path(f"{path}-shm").unlink(missing_ok=True)
    path.write_bytes(main)  # as the kill left it: the last row only in the log
    Path(f"{path}-wal").write_bytes(log)
    before = files(path.parent)
    with opening._readable(path) as source:
        assert source is not None
        copy = opening._private()
        opening._copy_tables(source, copy)
    rows = copy.execute("SELECT state FROM reviews WHERE sample_id = 'late.png'").fetchall()
    assert rows == [("seen",)]
    copy.close()
    assert files(path.parent) == before


def test_no_file_at_all_is_made(tmp_path: Path) -> None:
    store, note = open_store(tmp_path / "project.sqlite")
    assert note is None
    store.close()
    assert repair_store(tmp_path / "none.sqlite") is None
    with pytest.raises(WriteError, match="Cannot write"):
        open_store(tmp_path / "nowhere" / "project.sqlite")
