"""``segstudio colors``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        mask = np.full((6, 8, 3), (200, 10, 10), np.uint8)
        mask[:2] = (10, 120, 130)
        Image.fromarray(mask).save(tmp_path / name / "a.png")
    return tmp_path


def test_colours_are_listed_named_and_used(segstudio: Any, folder: Path) -> None:
    table = segstudio("colors", folder)
    assert table.status == 0 and "200,10,10" in table.out and "66.67" in table.out
    document = segstudio("colors", folder, "--json").document()
    assert [entry["color"] for entry in document] == [[200, 10, 10], [10, 120, 130]]
    named = segstudio("colors", folder, "--name", "10,120,130=sea", "--name", "1,1,1=none")
    assert named.status == 0 and "(1, 1, 1) is in none" in named.err
    space = json.loads((folder / "label_space.json").read_text())
    assert [entry["name"] for entry in space["classes"]] == ["sea", "none"]
    out = folder.parent / "out"
    done = segstudio("export", folder, "--what", "ground-truth", "--format", "index-png", "-o", out)
    assert done.status == 0, done.err
    assert np.unique(np.asarray(Image.open(next(out.rglob("a.png"))))).tolist() == [0, 255]


@pytest.mark.parametrize("text", ["1,2=x", "1,2,3", "1,2,300=x", "a,b,c=x", "1,2,3= "])
def test_a_mistaken_name_is_one_sentence(segstudio: Any, folder: Path, text: str) -> None:
    assert "--name takes R,G,B=NAME" in segstudio("colors", folder, "--name", text).complaint()
