"""Where the files of a project are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segstudio.core.errors import WriteError
from segstudio.project import layout as layout_module
from segstudio.project.layout import LAYERS, ProjectLayout, choose_project_folder


def test_every_path_is_below_the_root_and_its_own(tmp_path: Path) -> None:
    layout = ProjectLayout(tmp_path)
    ids = ["a.png", "a.jpg", "sub/a.png"]
    paths = [layout.database]
    paths += [layout.layer(run, layer, name) for run in "xy" for layer in LAYERS for name in ids]
    paths += [layout.correction(name) for name in ids] + [layout.journal(name) for name in ids]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert layout.layer("r", "labels", "a.png").suffix == ".png"


def test_journals_are_found_with_their_samples(tmp_path: Path) -> None:
    layout = ProjectLayout(tmp_path)
    assert layout.journals() == []
    for name in ("b/c.png", "a.journal.jpg"):
        path = layout.journal(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {layout.journal_sample_id(path) for path in layout.journals()}
    assert found == {"b/c.png", "a.journal.jpg"}


def test_the_usual_place_is_in_the_dataset(tmp_path: Path) -> None:
    for _ in range(2):
        assert choose_project_folder(tmp_path) == (tmp_path / ".segstudio", None)
    assert (tmp_path / ".segstudio").is_dir()


def test_a_folder_that_was_asked_for_is_created(tmp_path: Path) -> None:
    wanted = tmp_path / "results" / "here"
    assert choose_project_folder(tmp_path / "dataset", wanted) == (wanted, None)
    assert wanted.is_dir()


def test_a_dataset_that_cannot_be_written_has_its_project_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "user"))
    monkeypatch.setattr(layout_module.os, "access", lambda path, mode: False)
    one, two = tmp_path / "one" / "images", tmp_path / "two" / "images"
    one.mkdir(parents=True)
    two.mkdir(parents=True)
    folder, note = choose_project_folder(one)
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "user")
    assert note is not None and str(one) in note and str(folder) in note and note.endswith(".")
    assert choose_project_folder(one)[0] == folder
    assert choose_project_folder(two)[0] != folder
    assert list(one.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_a_place_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot write"):
        choose_project_folder(tmp_path, tmp_path / "file" / "project")


def test_a_folder_that_nobody_may_write_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    dataset.chmod(0o555)  # an administrator could write all the same
    try:
        folder, note = choose_project_folder(dataset)
    finally:
        dataset.chmod(0o755)
    assert folder.is_relative_to(tmp_path / "home") and folder.is_dir()
    assert note is not None and str(dataset) in note
    assert list(dataset.iterdir()) == []
