"""What a command says while it looks through a folder for long."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segstudio.cli import common, progress
from segstudio.datasets import opening


def test_what_is_slow_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    told = threading.Event()

    def say(sentence: str) -> None:
        said.append(sentence)
        told.set()

    monkeypatch.setattr(common, "say", say)
    with common.said_when_slow("looking", 0.01):
        assert told.wait(30)
    assert said == ["looking"]


def test_what_is_quick_or_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(common, "say", said.append)
    before = threading.active_count()
    with common.said_when_slow("looking", 30.0):
        pass
    with pytest.raises(ValueError), common.said_when_slow("looking", 30.0):
        raise ValueError
    ended = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for thread in ended:
        thread.join(30)
    assert not said and threading.active_count() <= before


COMMANDS: list[list[Any]] = [
    ["run", "SET", "-m", "enet-camvid"],
    ["export", "SET", "--format", "index-png", "-o", "out"],
    ["train", "SET", "--architecture", "enet", "-o", "out"],
    ["compare", "PROJECT", "a", "b", "--dataset", "SET"],
    ["import-run", "SET", "SET"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_says_that_it_looks_through_a_folder(
    segstudio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Opening takes until it is said, and then there is nothing in the folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "set"
    folder.mkdir()
    told = threading.Event()
    waited: list[float] = []

    def say(sentence: str) -> None:
        if "looking through" in sentence:
            told.set()

    class Impatient(threading.Timer):
        def __init__(self, seconds: float, *arguments: Any) -> None:
            waited.append(seconds)
            super().__init__(0.001, *arguments)

    def slow(*arguments: Any, **options: Any) -> Any:
        assert told.wait(60)
        return open_dataset(*arguments, **options)

    open_dataset = opening.open_dataset
    monkeypatch.setattr(common, "say", say)
    monkeypatch.setattr(common.threading, "Timer", Impatient)
    monkeypatch.setattr(opening, "open_dataset", slow)
    monkeypatch.setattr("segstudio.session.session.open_dataset", slow)
    if command[0] == "compare":
        (tmp_path / "project").mkdir()
        make_runs(tmp_path / "project")
    names = {"SET": folder, "PROJECT": tmp_path / "project"}
    outcome = segstudio(*(names.get(part, part) for part in command))
    assert outcome.status == 2 and str(folder) in outcome.err
    assert told.is_set() and waited == [1.0]


def make_runs(folder: Path) -> None:
    from segstudio.core.label_space import load_label_space
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store

    store = Store(ProjectLayout(folder).database)
    for name in ("a", "b"):
        store.begin_run(name, name, name, load_label_space("camvid"), {})
    store.close()


def test_an_export_tells_how_far_it_is_when_it_takes_long(
    segstudio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("images/a", "masks/a", "images/b", "masks/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    command = ["export", tmp_path, "--what", "ground-truth", "--format", "index-png", "-o"]
    quick = segstudio(*command, tmp_path / "quick")
    assert quick.status == 0 and "exporting" not in quick.err
    monkeypatch.setattr(progress, "_NOT_WORTH_A_LINE", 0.0)
    slow = segstudio(*command, tmp_path / "slow")
    assert slow.status == 0 and "exporting: 2/2\n" in slow.err
    assert slow.out.replace("slow", "quick") == quick.out
