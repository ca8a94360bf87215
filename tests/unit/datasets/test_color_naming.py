"""Colours that nobody named: found, named, saved, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import NoDatasetError, UsageError
from segstudio.datasets.color_naming import ColorName, count_colors, name_colors, save_named_colors
from segstudio.datasets.formats.rgb import FOUND_COLORS
from segstudio.datasets.opening import open_dataset

Put = Callable[..., Path]
RED, TEAL, VOID = (200, 10, 10), (10, 120, 130), (3, 3, 3)


@pytest.fixture
def folder(put: Put, tmp_path: Path) -> Path:
    for number in range(3):
        put(f"images/{number}.png")
        mask = np.full((6, 8, 3), RED, np.uint8)
        mask[:2], mask[5] = TEAL, VOID
        put(f"labels/{number}.png", mask)
    return tmp_path


def test_colours_are_counted_most_frequent_first(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert dataset.label_space is not None and dataset.label_space.source == FOUND_COLORS
    assert any("segstudio colors" in note for note in dataset.notes)
    found = count_colors(dataset)
    assert [(e.color, e.pixels, e.masks) for e in found] == [
        (RED, 72, 3), (TEAL, 48, 3), (VOID, 24, 3)]  # fmt: skip
    assert sum(entry.share for entry in found) == pytest.approx(1)
    assert len(count_colors(dataset, limit=1)) == 3 and count_colors(dataset, 1)[0].masks == 1


def test_named_colours_are_a_label_space_that_opening_finds(folder: Path) -> None:
    entries = [ColorName(TEAL, "sea"), ColorName(RED, " fire "), ColorName(VOID, "")]
    assert save_named_colors(folder, entries) == folder / "label_space.json"
    dataset = open_dataset(folder)
    assert dataset.label_space is not None
    assert list(dataset.label_space.names) == ["sea", "fire"]
    target = dataset.read_target(dataset.samples[0])
    assert target[:, 0].tolist() == [0, 0, 1, 1, 1, 255]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [([], "at least one"), ([ColorName(RED, " ")], "at least one"),
     ([ColorName(RED, "a"), ColorName(TEAL, "A")], "name a stands twice"),
     ([ColorName(RED, "a"), ColorName(RED, "b")], "colour .* stands twice")],
)  # fmt: skip
def test_names_that_cannot_be(entries: list[ColorName], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        name_colors(entries, "x")


def test_photographs_are_no_masks(put: Put, tmp_path: Path) -> None:
    put("images/a.png")
    put("labels/a.png", np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
    put("label_space.json".replace(".json", ".png"))
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nx,1,2,3\n")
    dataset = open_dataset(tmp_path, format="rgb")
    assert len(count_colors(dataset)) == 48
    for number in range(6):
        put(f"images/n{number}.png")
        put(f"labels/n{number}.png", np.random.default_rng(number).integers(0, 256, (6, 8, 3))
            .astype(np.uint8))  # fmt: skip
    with pytest.raises(UsageError, match="more than 256 colours"):
        count_colors(open_dataset(tmp_path, format="rgb"))


def test_a_mismatch_says_what_was_expected_and_found(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NoDatasetError) as caught:
        open_dataset(folder, format="cityscapes")
    sentence = str(caught.value)
    assert "it holds 6 .png files, and looks like the format rgb." in sentence
    assert "leftImg8bit" in sentence and sentence.count(".") >= 1
    assert json.dumps(sentence)


def test_ties_are_named_with_what_to_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "segstudio.datasets.opening.sniff", lambda path: [(0.9, "paired"), (0.9, "rgb")]
    )
    notes = open_dataset(folder).notes
    assert any("could as well be opened as rgb, with --format rgb." in note for note in notes)
