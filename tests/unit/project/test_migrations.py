"""Projects of older versions open with all that they hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from segstudio.core.label_space import load_label_space
from segstudio.project import schema
from segstudio.project.reviews import Review
from segstudio.project.side_tables import ImageFacts, OodRecord
from segstudio.project.signature import FileSignature
from segstudio.project.store import ErrorRecord, ResultRecord, Store

SPACE = load_label_space("camvid")

# The schema of the first version as it was published, not taken from the program.
FIRST_VERSION = """
CREATE TABLE runs (run TEXT PRIMARY KEY, model TEXT NOT NULL, identity TEXT NOT NULL,
    label_space TEXT NOT NULL, options TEXT NOT NULL, created REAL NOT NULL) STRICT;
CREATE TABLE results (run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sample_id TEXT NOT NULL, error TEXT, seconds REAL, finished REAL NOT NULL,
    PRIMARY KEY (run, sample_id)) STRICT, WITHOUT ROWID;
CREATE TABLE counts (run TEXT NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    sample_id TEXT NOT NULL, target TEXT NOT NULL, miou REAL, counts BLOB NOT NULL,
    PRIMARY KEY (run, sample_id)) STRICT, WITHOUT ROWID;
CREATE TABLE reviews (sample_id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE corrections (sample_id TEXT NOT NULL, revision INTEGER NOT NULL,
    label_space TEXT NOT NULL, source TEXT, saved REAL NOT NULL,
    PRIMARY KEY (sample_id, revision)) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_a_project_of_the_first_version_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    import json

    space = json.dumps(SPACE.to_json())
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_VERSION)
        old.execute("INSERT INTO runs VALUES ('enet', 'm', 'id', ?, '{}', 1.0)", (space,))
        old.execute("INSERT INTO results VALUES ('enet', 'a.png', NULL, 0.5, 7.0)")
        old.execute("INSERT INTO results VALUES ('enet', 'b.png', 'no.', NULL, 8.0)")
        old.execute("INSERT INTO counts VALUES ('enet', 'a.png', 'key', 0.25, x'0102')")
        old.execute("INSERT INTO reviews VALUES ('a.png', 'corrected')")
        old.execute("INSERT INTO corrections VALUES ('a.png', 1, ?, 'enet', 2.0)", (space,))
        old.commit()
    for _ in range(2):
        with closing(Store(path)) as store:
            assert store._query("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
            assert store.begin_run("enet", "m", "id", SPACE, {}) == "enet"
            results = store.results("enet")
            assert results["a.png"] == ResultRecord("a.png", None, 0.5, None)
            assert results["a.png"].finished == 7.0
            assert results["b.png"] == ResultRecord("b.png", "no.", None, None)
            assert store.counts("enet") == {"a.png": ("key", b"\x01\x02")}
            assert store.reviews() == {"a.png": "corrected"}
            assert store.correction_label_space("a.png") == SPACE
    signature = FileSignature(10, 20, "ab")
    with closing(Store(path)) as store:
        store.finish_sample("enet", "c.png", seconds=1.0, signature=signature)
        store.sign_samples("enet", [("a.png", signature)])
        results = store.results("enet")
        assert results["c.png"].signature == results["a.png"].signature == signature
        assert results["a.png"].finished == 7.0


def test_tables_are_all_there_are(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "project.sqlite")) as store:
        found = store._query("SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in found} == set(schema.TABLES)


def test_a_project_of_the_second_version_gets_a_place_for_errors(tmp_path: Path) -> None:
    import json

    path = tmp_path / "project.sqlite"
    space = json.dumps(SPACE.to_json())
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_VERSION)
        for column in ("image_size INTEGER", "image_mtime_ns INTEGER", "image_digest TEXT"):
            old.execute(f"ALTER TABLE results ADD COLUMN {column}")
        old.execute("PRAGMA user_version = 2")
        old.execute("INSERT INTO runs VALUES ('enet', 'm', 'id', ?, '{}', 1.0)", (space,))
        old.execute("INSERT INTO results VALUES ('enet', 'a.png', NULL, 0.5, 7.0, 1, 2, 'd')")
        old.execute("INSERT INTO counts VALUES ('enet', 'a.png', 'key', 0.25, x'0102')")
        old.commit()
    with closing(Store(path)) as store:
        assert store.results("enet")["a.png"].signature == FileSignature(1, 2, "d")
        assert store.counts("enet") == {"a.png": ("key", b"\x01\x02")}
        assert store.error_keys("enet") == {}
        assert store.save_errors("enet", ErrorRecord("a.png", "key", b"e", b"r", 7.0))
    with closing(Store(path)) as store:
        assert store.errors("enet", ["a.png", "b.png"]) == {"a.png": (b"e", b"r")}


def test_a_project_of_the_third_version_gets_the_side_tables(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        # The first three steps are published and never change.
        for step in schema.MIGRATIONS[:3]:
            old.executescript(step)
        old.execute("PRAGMA user_version = 3")
        old.execute("INSERT INTO reviews VALUES ('a.png', 'corrected')")
        tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master")}
        assert not tables & {"ood", "image_facts", "project_notes"}
    with closing(Store(path)) as store:
        assert store.reviews() == {"a.png": "corrected"}
        assert store.note("view") is None and store.image_facts() == {}
        run = store.begin_run("enet", "m", "id", SPACE, {})
        assert store.ood_records(run) == []
        store.set_note("view", "1")
        store.set_note("view", "2")
        facts = ImageFacts("10|20", 480, 0.25, 0.125)
        store.save_image_facts([("a.png", facts)])
        store.finish_sample(run, "a.png", seconds=1.0)
        store.save_ood(run, [OodRecord("a.png", "key", b"counts"), OodRecord("b.png", "k", b"c")])
        store.save_components(run, [("a.png", "level", b"matches")])
    with closing(Store(path)) as store:
        assert store.note("view") == "2"
        assert store.image_facts() == {"a.png": facts}
        assert store.ood_keys(run) == {"a.png": "key", "b.png": "k"}
        assert store.ood_records(run) == [
            OodRecord("a.png", "key", b"counts", "level", b"matches"),
            OodRecord("b.png", "k", b"c"),
        ]
        store.save_ood(run, [OodRecord("a.png", "other", b"new")])
        assert store.ood_records(run)[0] == OodRecord("a.png", "other", b"new")
        store.finish_sample(run, "a.png", seconds=1.0)
        assert store.ood_keys(run) == {"b.png": "k"}, "what was counted is no longer there"
        store.forget_results(run)
        assert store.ood_keys(run) == {}


def test_a_project_of_the_fourth_version_can_be_reviewed(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for step in schema.MIGRATIONS[:4]:
            old.executescript(step)
        old.execute("PRAGMA user_version = 4")
        old.execute("INSERT INTO reviews VALUES ('a.png', 'corrected')")
    with closing(Store(path)) as store:
        assert store.review("a.png") == Review("corrected", "", 0.0)
        store.set_review("a.png", "flagged", "blurred")
        store.add_review_seconds("a.png", 2.5)
        store.add_review_seconds("b.png", 1.0)
        store.set_review("a.png", "checked")
    with closing(Store(path)) as store:
        assert store.review("a.png") == Review("checked", "blurred", 2.5)
        assert store.reviews() == {"a.png": "checked"}
        assert store.review_seconds() == {"a.png": 2.5, "b.png": 1.0}
