"""A run belongs to one process at a time, and to nobody once that process is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segstudio.core.errors import WriteError
from segstudio.project import locks
from segstudio.project.locks import hold_run

ROOT = Path(locks.__file__).resolve().parents[2]

HOLDER = """
import sys
from pathlib import Path
from segstudio.project.locks import hold_run
with hold_run(Path(sys.argv[1]), "enet"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with hold_run(tmp_path, "enet"):
        with pytest.raises(WriteError) as caught, hold_run(tmp_path, "enet"):
            raise AssertionError("both hold it")
        assert f"The run enet is being worked on by process {os.getpid()} since 2" in str(
            caught.value
        )
        with hold_run(tmp_path, "another"):
            pass
    with hold_run(tmp_path, "enet"):
        pass
    assert not list(tmp_path.glob("*.json"))


def test_a_note_that_says_nothing_is_no_obstacle(tmp_path: Path) -> None:
    with hold_run(tmp_path, "enet"):
        for text in ("", "[]", '{"pid": 1}', '{"pid": "x", "host": "h", "since": 0}'):
            (tmp_path / "enet.json").write_text(text)
            with pytest.raises(WriteError, match="worked on by another process;"):
                hold_run(tmp_path, "enet").__enter__()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(WriteError, match=rf"worked on by process {process.pid} since"):
        hold_run(tmp_path, "enet").__enter__()
    process.kill()
    process.communicate(timeout=60)
    with hold_run(tmp_path, "enet"):
        pass


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match="Cannot write"), hold_run(tmp_path / "file", "enet"):
        pass
