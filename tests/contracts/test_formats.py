"""What every dataset format has to do, over the registry.

A format needs an entry in `FIXTURES`: a function that lays out a tiny dataset of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import NoDatasetError
from segstudio.datasets.base import FORMATS, DatasetFormat
from segstudio.datasets.opening import open_dataset, sniff


def _photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 14, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def _labels(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 11, (10, 14)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def make_folder(folder: Path) -> int:
    """Write three images in two folders; return the number of samples."""
    for seed, name in enumerate(["a.png", "sub/b.jpg", "sub/c.png"]):
        _photo(folder / name, seed)
    return 3


def make_paired(folder: Path) -> int:
    """Write images/ and masks/ with splits; return the number of samples."""
    for seed, name in enumerate(["train/a", "train/b", "val/c"]):
        _photo(folder / "images" / f"{name}.jpg", seed)
        _labels(folder / "masks" / f"{name}.png", seed)
    (folder / "classes.txt").write_text("\n".join(f"class {index}" for index in range(11)))
    return 3


def make_camvid(folder: Path) -> int:
    """Write CamVid's layout with lists; return the number of samples."""
    for split in ("train", "val", "test"):
        for seed in range(2):
            _photo(folder / split / f"{seed:04}.png", seed)
            _labels(folder / f"{split}annot" / f"{seed:04}.png", seed)
        lines = [f"/x/{split}/{i:04}.png /x/{split}annot/{i:04}.png" for i in range(2)]
        (folder / f"{split}.txt").write_text("\n".join(lines))
    return 6


FIXTURES: dict[str, Callable[[Path], int]] = {
    "folder": make_folder,
    "paired": make_paired,
    "camvid": make_camvid,
}


@pytest.fixture(params=FORMATS.names())
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[type[DatasetFormat], Path, int]:
    assert request.param in FIXTURES, f"the format {request.param} has no fixture here"
    folder = tmp_path / request.param
    folder.mkdir()
    return FORMATS.get(request.param), folder, FIXTURES[request.param](folder)


Case = tuple[type[DatasetFormat], Path, int]


def test_it_says_what_it_is(case: Case) -> None:
    assert case[0].description.endswith(".")


def test_it_knows_its_own_better_than_all_others(case: Case) -> None:
    entry, folder, _ = case
    ranking = sniff(folder)
    assert ranking[0][1] == entry.name and 0.5 < ranking[0][0] <= 1
    assert all(score < ranking[0][0] for score, _ in ranking[1:])


def test_it_claims_nothing_it_cannot_open(case: Case, tmp_path: Path) -> None:
    entry, _, _ = case
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    for path in (tmp_path / "empty", tmp_path / "file.txt", tmp_path / "nowhere"):
        assert entry.sniff(path) == 0.0
    with pytest.raises(NoDatasetError) as caught:
        entry.open(tmp_path / "empty")
    assert str(caught.value).endswith(".") and str(tmp_path / "empty") in str(caught.value)


def test_it_opens_its_fixture(case: Case) -> None:
    entry, folder, count = case
    dataset = open_dataset(folder)
    assert dataset.format == entry.name and len(dataset) == count and not dataset.notes
    assert dataset.root == folder and dataset.title == folder.name
    ids = [sample.sample_id for sample in dataset.samples]
    assert len(set(ids)) == len(ids)
    for sample in dataset.samples:
        assert sample.image_path.is_file()
        assert sample.image_path == folder / sample.sample_id
        assert (sample.split is None) == (not dataset.splits)
        assert dataset.sample(sample.sample_id) is sample
    assert {s.split for s in dataset.samples} - {None} == set(dataset.splits)


def test_images_and_targets_can_be_read(case: Case) -> None:
    dataset = open_dataset(case[1])
    for sample in dataset.samples:
        image = dataset.read_image(sample)
        assert image.dtype == np.uint8 and image.shape == (10, 14, 3)
        if sample.target_path is not None:
            target = dataset.read_target(sample)
            assert target.shape == (10, 14) and target.max() <= 10


def test_opening_opens_no_image(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", forbidden)
    assert len(open_dataset(case[1])) == case[2]


def test_a_label_space_can_be_given(case: Case) -> None:
    dataset = case[0].open(case[1], label_space=None)
    given = open_dataset(case[1], label_space="voc")
    assert given.label_space is not None and given.label_space.name == "voc"
    assert [s.sample_id for s in dataset.samples] == [s.sample_id for s in given.samples]
