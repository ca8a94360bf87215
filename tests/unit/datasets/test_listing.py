"""Listing finds what is there, once, and asks the file system little."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from segstudio.datasets import listing
from segstudio.datasets.listing import describe_contents, list_files, peek, suffix_of


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [relative for relative, _ in list_files(root).files]


def test_images_of_all_folders_sorted_and_posix(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.JPG", "b/1.png", "a.tiff", "c/d/e.webp", "notes.txt", "noending")
    assert names(tmp_path) == ["a.tiff", "b/1.png", "b/2.JPG", "c/d/e.webp"]
    assert list_files(tmp_path).files[1][1] == tmp_path / "b" / "1.png"


def test_hidden_files_projects_and_leftovers_are_skipped(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.png",
        ".b.png",
        "._a.png",
        ".segstudio/runs/x/labels/a.png",
        "__MACOSX/a.png",
        "my project/project.sqlite",
        "my project/runs/r/labels/a.png",
    )
    assert names(tmp_path) == ["a.png"]


def test_a_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "x.png/y.png")
    assert names(tmp_path) == ["x.png/y.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "data", "real/a.png", "real/deep/b.png")
    touch(tmp_path / "elsewhere", "c.png")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data" / "real")
    (tmp_path / "data" / "real" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "d.png").symlink_to(tmp_path / "elsewhere" / "c.png")
    (tmp_path / "data" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    assert names(tmp_path / "data") == ["d.png", "linked/c.png", "real/a.png", "real/deep/b.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system with arbitrary names")
def test_names_that_are_no_text_are_left_out_with_a_note(tmp_path: Path) -> None:
    touch(tmp_path, "gut ä.png")
    try:
        open(os.fsencode(tmp_path) + b"/bad\xff.png", "wb").close()
    except OSError:
        pytest.skip("the file system refuses such names")
    listing = list_files(tmp_path)
    assert [relative for relative, _ in listing.files] == ["gut ä.png"]
    assert len(listing.notes) == 1 and "1 name" in listing.notes[0]


def test_an_unreadable_folder_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.png", "closed/b.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = list_files(tmp_path)
    assert [relative for relative, _ in listing.files] == ["a.png"]
    assert listing.notes == [f"The folder {tmp_path / 'closed'} cannot be read: permission denied."]


def test_no_file_is_asked_for_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, *(f"f/{index}.jpg" for index in range(50)))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("one question per file is too many")

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, forbidden)
    monkeypatch.setattr(os.path, "realpath", str)
    assert len(list_files(tmp_path).files) == 50


def test_peek_is_bounded(tmp_path: Path) -> None:
    touch(tmp_path, *(f"many/{index}.txt" for index in range(60)), "z/one.png")
    assert len(list(peek(tmp_path, 30))) == 30
    assert ("z/one.png", False) in list(peek(tmp_path, 400))


def test_contents_in_words(tmp_path: Path) -> None:
    assert describe_contents(tmp_path) == "nothing"
    touch(tmp_path, "a.json", "b.json", "README")
    assert describe_contents(tmp_path) == "2 .json files, 1 file without an ending"


def test_suffixes() -> None:
    assert suffix_of("a.b.PNG") == ".png"
    assert suffix_of("png") == "" and suffix_of(".png") == ""


def test_many_files_are_in_the_order_of_one_sort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_RUN", 3)
    monkeypatch.setattr(listing, "_JOINED", 2)
    written = [f"{top}{n * 37 % 101:03}.jpg" for top in ("", "a/", "a-b/", "B/") for n in range(40)]
    touch(tmp_path, *written)
    found = list_files(tmp_path)
    assert [name for name, _ in found.entries] == sorted(written)
    assert all(path == str(tmp_path / name) for name, path in found.entries)
