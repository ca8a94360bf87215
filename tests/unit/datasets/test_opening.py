"""Whatever a user points at opens, or says in one sentence why not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import (
    LabelValueError,
    NoDatasetError,
    SizeMismatchError,
    UnknownNameError,
    UnreadableImageError,
    UsageError,
)
from segstudio.core.label_space import load_label_space
from segstudio.datasets.opening import open_dataset, sniff

Put = Callable[..., Path]
GRAY = np.zeros((6, 8), np.uint8)


def camvid(put: Put, root: str = "data") -> None:
    for split in ("train", "test"):
        for index in range(2):
            put(f"{root}/{split}/{index}.png")
            put(f"{root}/{split}annot/{index}.png", GRAY + 3)


def test_the_best_fit_wins_and_format_overrides(put: Put, tmp_path: Path) -> None:
    camvid(put)
    assert sniff(tmp_path / "data") == [(0.95, "camvid"), (0.51, "folder")]
    assert open_dataset(tmp_path / "data").format == "camvid"
    plain = open_dataset(tmp_path / "data", format="folder")
    assert plain.format == "folder" and len(plain) == 8
    with pytest.raises(UnknownNameError, match="did you mean camvid"):
        open_dataset(tmp_path / "data", format="camvit")
    with pytest.raises(NoDatasetError, match="no image folder with a label folder"):
        open_dataset(tmp_path / "data", format="paired")


def test_one_split_and_a_limit(put: Put, tmp_path: Path) -> None:
    camvid(put)
    part = open_dataset(tmp_path / "data", split="test")
    assert [sample.sample_id for sample in part.samples] == ["test/0.png", "test/1.png"]
    assert part.splits == ("test",) and part.root == tmp_path / "data"
    assert len(part.select(limit=1)) == 1
    with pytest.raises(UsageError, match="no split 'val'; it has train, test"):
        open_dataset(tmp_path / "data", split="val")
    with pytest.raises(UsageError, match="limit of 0"):
        part.select(limit=0)


def test_a_split_of_a_folder_without_any(put: Put, tmp_path: Path) -> None:
    put("a.png")
    with pytest.raises(UsageError, match="no split 'train'; it has none"):
        open_dataset(tmp_path, split="train")


def test_one_image_is_a_dataset(put: Put, tmp_path: Path) -> None:
    path = put("street.png")
    put("other.png")
    dataset = open_dataset(str(path))
    assert [sample.sample_id for sample in dataset.samples] == ["street.png"]
    assert dataset.root == tmp_path and dataset.sample("street.png").image_path == path


def test_what_cannot_be_opened_is_said_in_one_sentence(put: Put, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "deep").mkdir(parents=True)
    (tmp_path / "texts").mkdir()
    for name, text in {"a.json": "", "b.json": "{}", "c.txt": ""}.items():
        (tmp_path / "texts" / name).write_text(text)
    (tmp_path / "all.zip").write_bytes(b"PK")
    (tmp_path / "all.tar.gz").write_bytes(b"")
    cases = {
        "nowhere": r"There is no folder or image .*nowhere",
        "empty": r"empty is empty",
        "hollow": r"holds 1 empty folder but no images",
        "texts": r"holds 2 \.json files, 1 \.txt file but no images",
        "texts/a.json": r"a\.json is not valid JSON: .* line 1, column 1",
        "texts/b.json": r"b\.json holds no images, annotations and categories",
        "texts/c.txt": r"c\.txt is no image",
        "all.zip": r"all\.zip is an archive; unpack it",
        "all.tar.gz": r"all\.tar\.gz is an archive; unpack it",
    }
    for name, sentence in cases.items():
        with pytest.raises(NoDatasetError, match=sentence) as caught:
            open_dataset(tmp_path / name)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    (tmp_path / "fake.png").write_text("text")
    with pytest.raises(UnreadableImageError, match=r"fake\.png is not an image"):
        open_dataset(tmp_path / "fake.png")


def test_a_pipe_is_no_image(put: Put, tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    put("a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "d.png").symlink_to("/dev/zero")
    assert [sample.sample_id for sample in open_dataset(tmp_path).samples] == ["a.png"]


def test_images_beyond_the_bounded_look_are_found(put: Put, tmp_path: Path) -> None:
    for folder in range(15):
        (tmp_path / f"a{folder:02}").mkdir()
        for index in range(40):
            (tmp_path / f"a{folder:02}" / f"{index}.txt").touch()
    put("z/deep/image.png")
    assert sniff(tmp_path) == []
    assert len(open_dataset(tmp_path)) == 1


def test_a_label_space_of_ones_own(put: Put, tmp_path: Path) -> None:
    camvid(put)
    named = open_dataset(tmp_path / "data", label_space="voc")
    assert named.label_space == load_label_space("voc")
    space = load_label_space("cityscapes")
    assert open_dataset(tmp_path / "data", label_space=space).label_space is space
    with pytest.raises(UnknownNameError):
        open_dataset(tmp_path / "data", label_space="nonsense")


@pytest.mark.parametrize(
    "target",
    ["images/a/1.png", "a/1.png", "1.png", "1_mask.png", "images/a/1.jpg.png", "1_labelIds.tif"],
)
def test_ground_truth_from_another_folder(put: Put, tmp_path: Path, target: str) -> None:
    put("data/images/a/1.jpg")
    put("data/images/a/2.jpg")
    path = put(f"truth/{target}", GRAY)
    dataset = open_dataset(tmp_path / "data", ground_truth=tmp_path / "truth")
    assert [sample.target_path for sample in dataset.samples] == [path, None]
    assert "1 image without ground truth" in dataset.notes[-1]


def test_ground_truth_takes_the_place_of_the_datasets_own(put: Put, tmp_path: Path) -> None:
    camvid(put)
    put("truth/test/1.png", GRAY + 5)
    dataset = open_dataset(tmp_path / "data", split="test", ground_truth=tmp_path / "truth")
    assert dataset.samples[0].target_path is None
    assert (dataset.read_target(dataset.samples[1]) == 5).all()


def test_ground_truth_that_does_not_fit(put: Put, tmp_path: Path) -> None:
    put("data/1.jpg")
    put("truth/other.png", GRAY)
    with pytest.raises(NoDatasetError, match="None of the 1 label map"):
        open_dataset(tmp_path / "data", ground_truth=tmp_path / "truth")
    with pytest.raises(NoDatasetError, match=r"no folder .*nowhere with ground truth"):
        open_dataset(tmp_path / "data", ground_truth=tmp_path / "nowhere")


def test_targets_are_checked(put: Put, tmp_path: Path) -> None:
    camvid(put)
    put("data/testannot/0.png", np.zeros((6, 9), np.uint8))
    put("data/testannot/1.png", GRAY + 12)
    put("data/test/2.png")
    dataset = open_dataset(tmp_path / "data", split="test")
    with pytest.raises(SizeMismatchError, match=r"testannot/0\.png is 6 x 9 .* is 6 x 8\.$"):
        dataset.read_target(dataset.samples[0])
    with pytest.raises(LabelValueError, match=r"testannot/1\.png holds the value 12"):
        dataset.read_target(dataset.samples[1])
    with pytest.raises(UsageError, match=r"2\.png has no ground truth"):
        dataset.read_target(dataset.samples[2])
    assert dataset.read_image(dataset.samples[0]).shape == (6, 8, 3)
    assert dataset.has_targets
    with pytest.raises(UnknownNameError, match=r"no sample 'test/3\.png': did you mean"):
        dataset.sample("test/3.png")


def test_masks_without_a_label_space_ask_for_one(put: Put, tmp_path: Path) -> None:
    put("images/1.png")
    put("masks/1.png", GRAY)
    dataset = open_dataset(tmp_path)
    with pytest.raises(UsageError, match="does not say what the values of its masks mean"):
        dataset.read_target(dataset.samples[0])
    assert (dataset.read_target(dataset.samples[0], load_label_space("voc")) == 0).all()


def test_the_collector_is_left_as_it_was(put: Put, tmp_path: Path) -> None:
    import gc

    put("a.png")
    open_dataset(tmp_path)
    assert gc.isenabled()
    with pytest.raises(NoDatasetError):
        open_dataset(tmp_path / "nowhere")
    assert gc.isenabled()


def test_opening_reads_no_pixels_and_imports_no_decoder(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "a.jpg").touch()
    code = (
        "import sys; from segstudio.datasets.opening import open_dataset\n"
        f"assert len(open_dataset({str(tmp_path)!r})) == 1\n"
        "heavy = {'cv2', 'PIL', 'torch', 'scipy', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
