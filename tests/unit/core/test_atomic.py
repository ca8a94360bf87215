"""Writing beside and renaming: never half a file, whatever happens in between."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segstudio.core import atomic
from segstudio.core.atomic import (
    TEMPORARY_SUFFIX,
    make_folder,
    remove_leftovers,
    replacing,
    write_bytes,
    write_text,
)
from segstudio.core.errors import WriteError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writing_creates_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "höhe")
    assert path.read_bytes() == "höhe".encode()
    write_bytes(path, b"new", durable=False)
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file.txt"]


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.parent == tmp_path and temporary.name.endswith(TEMPORARY_SUFFIX)
        assert path.read_bytes() == b"old"
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(WriteError) as caught:
        write_bytes(path, b"new")
    assert str(caught.value) == (
        f"Cannot write {path}: the disk is full; free some space and try again."
    )
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for action in (
        lambda: make_folder(tmp_path / "file"),
        lambda: make_folder(tmp_path / "file" / "below"),
        lambda: write_bytes(tmp_path / "file" / "below.txt", b""),
    ):
        with pytest.raises(WriteError, match=r"^Cannot write .*file.*; choose another folder\.$"):
            action()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_results_are_for_everybody_the_umask_lets(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_bytes(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_writing_from_many_threads_leaves_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda number: write_text(tmp_path / str(number), "x", durable=False),
                    range(800),
                )
            )
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        after = os.umask(before)
    assert after == 0o027
    assert modes == {0o640}


def test_very_long_names_still_work(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240 + ".png")
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


KILLED = """
import os, signal, sys
from pathlib import Path
from segstudio.core.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half of the new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    root = Path(atomic.__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_leftovers_of_a_killed_program_are_removed_when_they_are_old(tmp_path: Path) -> None:
    old = tmp_path / "a" / f".x.png.123{TEMPORARY_SUFFIX}"
    young = tmp_path / f".y.png.456{TEMPORARY_SUFFIX}"
    kept = tmp_path / "a" / "x.png"
    old.parent.mkdir()
    for path in (old, young, kept):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(kept, (0, 0))
    assert remove_leftovers(tmp_path) == 1
    assert not old.exists() and young.exists() and kept.exists()
    assert remove_leftovers(tmp_path / "nowhere") == 0
