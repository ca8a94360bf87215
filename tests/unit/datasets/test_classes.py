"""Class files beside the images, in the forms that tools write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segstudio.core.errors import UsageError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.classes import find_label_space, read_class_file


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_own_form(tmp_path: Path) -> None:
    space = load_label_space("cityscapes")
    assert read_class_file(write(tmp_path / "label_space.json", space.to_json())) == space


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", "road\nsky\n\n"),
        ("labels.txt", "__ignore__\nroad\nsky\n"),
        ("classes.json", ["road", "sky"]),
        ("classes.json", {"classes": ["road", "sky"]}),
        ("classes.json", {"0": "road", "1": "sky"}),
        ("classes.json", [{"name": "road"}, {"name": "sky", "color": [1, 2, 3]}]),
    ],
)
def test_lists_of_names(tmp_path: Path, name: str, content: object) -> None:
    space = read_class_file(write(tmp_path / name, content))
    assert space.names == ["road", "sky"]
    assert [entry.source_id for entry in space.classes] == [0, 1]
    assert space.ignore_ids == (255,)


def test_palette_and_void(tmp_path: Path) -> None:
    document = {
        "classes": ["void", "road", "sky"],
        "palette": [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
        "void": 0,
    }
    space = read_class_file(write(tmp_path / "classes.json", document))
    assert space.names == ["road", "sky"] and space.colors == [(1, 2, 3), (4, 5, 6)]
    assert [entry.source_id for entry in space.classes] == [1, 2]
    assert space.ignore_ids == (0, 255)


@pytest.mark.parametrize("content", ["{", "3", "{}", '{"classes": 3}', "[]", '{"classes": [{}]}'])
def test_a_broken_file_is_a_note_and_the_next_is_tried(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "classes.json", content)
    with pytest.raises(UsageError, match=r"classes\.json"):
        read_class_file(path)
    write(tmp_path / "classes.txt", "road\n")
    space, notes = find_label_space(tmp_path)
    assert space is not None and space.names == ["road"]
    assert len(notes) == 1 and "classes.json" in notes[0]


def test_an_empty_list_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no class"):
        read_class_file(write(tmp_path / "classes.txt", "\n"))
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read as a list of classes"):
        read_class_file(tmp_path / "labels.txt")


def test_no_class_file(tmp_path: Path) -> None:
    assert find_label_space(tmp_path) == (None, ())
