"""What every dataset format has to do, over the registry.

A format needs a function in ``conftest.py`` that lays out a tiny dataset of its own.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.base import FORMATS, DatasetFormat
from segstudio.datasets.containers import find_container
from segstudio.datasets.opening import open_dataset, sniff

Maker = Callable[[Path], int]
Case = tuple[type[DatasetFormat], Path, int]


@pytest.fixture(params=FORMATS.names())
def case(request: pytest.FixtureRequest, tmp_path: Path, layouts: dict[str, Maker]) -> Case:
    assert request.param in layouts, f"the format {request.param} has no fixture"
    folder = tmp_path / request.param
    folder.mkdir()
    return FORMATS.get(request.param), folder, layouts[request.param](folder)


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
        assert sample.image_path.is_file() or find_container(sample.image_path)
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
            space = dataset.label_space
            assert space is not None
            target = dataset.read_target(sample)
            assert target.shape == (10, 14) and target.dtype == space.dtype
            space.check(target, sample.target_path)


def test_opening_opens_no_image(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", forbidden)
    assert len(open_dataset(case[1])) == case[2]


def test_a_label_space_can_be_given(case: Case) -> None:
    dataset = case[0].open(case[1], label_space=None)
    given = case[0].open(case[1], label_space=load_label_space("voc"))
    assert given.label_space is not None and given.label_space.name == "voc"
    assert [s.sample_id for s in dataset.samples] == [s.sample_id for s in given.samples]


def test_what_is_opened_can_be_sent_to_another_process(case: Case) -> None:
    dataset = open_dataset(case[1])
    copy = pickle.loads(pickle.dumps(dataset))
    for here, there in zip(dataset.samples, copy.samples, strict=True):
        assert here == there
        if here.target_path is not None:
            assert np.array_equal(dataset.read_target(here), copy.read_target(there))


class _Crowded:
    """What `os.scandir` returns for a folder of very many files."""

    asked = 0

    def __init__(self, path: object) -> None:
        self._entries = os.scandir(path)  # type: ignore[call-overload]

    def __enter__(self) -> _Crowded:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()

    def __iter__(self) -> Iterator[object]:
        for entry in self._entries:
            _Crowded.asked += 1
            yield entry
        for number in range(100_000):
            _Crowded.asked += 1
            yield SimpleNamespace(
                name=f"zz_{number}.txt", path=f"zz_{number}.txt", is_dir=lambda: False
            )


def test_sniffing_looks_at_few_entries(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of very many files costs a look no more than one of a few hundred."""
    entry, folder, _ = case
    _Crowded.asked = 0
    for module in (
        "listing",
        "layouts",
        "coco_files",
        "formats.label_studio",
        "formats.x_anylabeling",
    ):
        there = importlib.import_module(f"segstudio.datasets.{module}")
        monkeypatch.setattr(there, "os", SimpleNamespace(**{**vars(os), "scandir": _Crowded}))
    assert 0 <= entry.sniff(folder) <= 1
    assert _Crowded.asked <= 3000


def test_the_table_of_all_formats_over_all_fixtures(
    tmp_path: Path, layouts: dict[str, Maker]
) -> None:
    """Nobody else wins on a fixture, and nobody but the two general formats even claims it."""
    assert sorted(layouts) == FORMATS.names()
    general = {"folder", "paired"}
    # COCO's panoptic file names images and categories as its instances do; CVAT's masks are VOC's
    # folders with other colours.
    related = {("cvat-mask", "voc")}
    for name, make in layouts.items():
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        scores = {other: entry.sniff(folder) for other, entry in FORMATS.items()}
        assert max(scores, key=lambda other: scores[other]) == name
        claims = {other for other, score in scores.items() if score > 0.5} - general - {name}
        assert {(name, other) for other in claims} <= related, (name, claims)
