"""A damaged project opens for reading with a sentence, and is repaired on the user's word."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from segstudio.core.errors import WriteError
from segstudio.core.label_space import load_label_space
from segstudio.project.layout import ProjectLayout, choose_project_folder
from segstudio.project.store import Store
from segstudio.session.session import Session
from segstudio.session.settings import Settings

SAMPLES = 400


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(Settings(tmp_path / "settings.json"))
    yield session
    session.close()


@pytest.fixture
def database(dataset_folder: Path) -> Path:
    """A project of the dataset, large enough to be damaged in the middle."""
    path = ProjectLayout(choose_project_folder(dataset_folder, None)[0]).database
    with closing(Store(path)) as store:
        run = store.begin_run("enet", "m", "id", load_label_space("camvid"), {})
        for number in range(SAMPLES):
            store.finish_sample(run, f"{number:04}.png", seconds=1.0, counts=("k", 0.1, bytes(99)))
    return path


def damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    middle = len(data) * 5 // 8 // size * size
    data[middle : middle + 4 * size] = b"\xaa" * (4 * size)
    path.write_bytes(data)


def test_a_damaged_project_is_shown_and_repaired_when_asked(
    session: Session, dataset_folder: Path, database: Path
) -> None:
    damage(database)
    before = database.read_bytes()
    problems: list[str] = []
    opened: list[object] = []
    session.problem.connect(problems.append)
    session.open_dataset(dataset_folder)
    session.dataset_opened.connect(opened.append)
    assert len(problems) == 1 and f"{database} is damaged" in problems[0]
    assert [record.run for record in session.runs()] == ["enet"]
    with pytest.raises(WriteError, match="nothing is written"):
        session.store.set_review("0001.png", "checked")
    assert database.read_bytes() == before
    generation = session.generation
    aside = session.repair_project()
    assert aside is not None and aside.read_bytes() == before
    assert opened == [session.dataset] and session.generation == generation + 1
    assert 0 < session.finished_count("enet") < SAMPLES
    session.store.set_review("0001.png", "checked")
    assert session.repair_project() is None
    assert opened == [session.dataset]
