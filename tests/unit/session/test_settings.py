"""Settings that survive a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segstudio.session.settings import Settings


def test_a_chosen_format_is_remembered_by_folder(tmp_path: Path) -> None:
    file, folder = tmp_path / "settings.json", tmp_path / "data"
    settings = Settings(file)
    assert settings.format_of(folder) is None
    settings.remember_format(folder, "voc")
    settings.remember_format(tmp_path / "films", "video:every=30")
    settings.remember_format(tmp_path / "films" / ".." / "data", "coco")
    later = Settings(file)
    assert later.format_of(folder) == "coco"
    assert later.format_of(tmp_path / "films") == "video:every=30"
    assert later.format_of(tmp_path) is None


def test_the_oldest_choices_are_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    for number in range(203):
        Settings(file).remember_format(tmp_path / str(number), "voc")
        if number == 100:
            Settings(file).remember_format(tmp_path / "0", "coco")
    settings = Settings(file)
    known = [number for number in range(203) if settings.format_of(tmp_path / str(number))]
    assert known == [0, *range(4, 203)] and settings.format_of(tmp_path / "0") == "coco"


@pytest.mark.parametrize("value", ["voc", 3, [1, 2], [["a"]], [["a", "b", "c"]], {"x": 1}, None])
def test_what_somebody_else_wrote_is_no_reason_to_fail(tmp_path: Path, value: object) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"formats": value}))
    settings = Settings(file)
    assert settings.format_of(tmp_path) is None
    settings.remember_format(tmp_path, "voc")
    assert Settings(file).format_of(tmp_path) == "voc"
