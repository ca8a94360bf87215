"""Formats whose ids are coded: full ADE20K, MATLAB files, X-AnyLabeling's mappings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from segstudio.core.errors import LabelValueError, NoDatasetError, SegStudioError, UsageError
from segstudio.core.label_space import load_label_space, load_mapping
from segstudio.datasets.ade20k_objects import SCENE_PARSING_OBJECTS
from segstudio.datasets.opening import open_dataset, sniff

Put = Callable[..., Path]
PLACE = "images/ADE/training/urban/street/ADE_train_00000001"


def seg(ids: list[int]) -> np.ndarray:
    """Return ADE20K's coding of a row of class numbers, in the form of `put`."""
    row = [(number // 256 * 10, number % 256, 3) for number in ids]
    return np.tile(np.array([row], np.uint8), (6, 1, 1))


def ade(put: Put, ids: list[int], document: object = None) -> Path:
    put(f"{PLACE}.jpg", np.zeros((6, 8, 3), np.uint8))
    path = put(f"{PLACE}_seg.png", seg(ids))
    text = document if isinstance(document, str) else json.dumps(document)
    (path.parent / "ADE_train_00000001.json").write_text(text, encoding="latin-1")
    return path


def test_the_full_ade20k_codes_classes_in_red_and_green(put: Put, tmp_path: Path) -> None:
    entries = [{"name": "wall", "name_ndx": 2978}, {"name": "caf\xe9", "name_ndx": 3}]
    ids = [0, 3, 2978, 255, 256, 511, 3688, 1]
    path = ade(put, ids, {"annotation": {"object": entries}})
    dataset = open_dataset(tmp_path)
    assert dataset.format == "ade20k-full" and dataset.splits == ("train",)
    space = dataset.label_space
    assert space is not None and space.dtype is np.uint16
    found = dataset.read_target(dataset.samples[0])
    stored = [space.classes[index].source_id for index in found[0][1:].tolist()]
    assert stored == ids[1:] and found[0, 0] == 65535
    assert [space.classes[found[0, place]].name for place in (1, 2)] == ["café", "wall"]
    assert space.classes[found[0, 3]].name == "object 255"
    put(f"{PLACE}_seg.png", seg(ids) + np.uint8(3))
    with pytest.raises(LabelValueError, match="multiple of 10"):
        dataset.read_target(dataset.samples[0])
    assert path.is_file()


def test_the_layout_of_2016_has_no_json(put: Put, tmp_path: Path) -> None:
    put("images/validation/a/abbey/ADE_val_00000001.jpg", np.zeros((6, 8, 3), np.uint8))
    put("images/validation/a/abbey/ADE_val_00000001_seg.png", seg([5] * 8))
    put("images/validation/a/abbey/ADE_val_00000001_parts_1.png", seg([1] * 8))
    (tmp_path / "index_ade20k.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1 and dataset.splits == ("val",)
    assert "called after their numbers" in " ".join(dataset.notes)
    assert "(.mat, .pkl) are not read" in " ".join(dataset.notes)


@pytest.mark.parametrize(
    "document",
    ["{", '{"annotation": 5}', '{"annotation": {"object": [{"name_ndx": "x", "name": 1}]}}',
     '{"annotation": {"object": {"name": "one", "name_ndx": 5}}}', "[" * 100_000],
)  # fmt: skip
def test_a_broken_json_of_the_full_ade20k_names_nothing(
    put: Put, tmp_path: Path, document: str
) -> None:
    ade(put, [5] * 8, document)
    dataset = open_dataset(tmp_path)
    assert dataset.label_space is not None
    assert dataset.label_space.classes[4].name in ("object 5", "one")
    assert (dataset.read_target(dataset.samples[0]) == 4).all()


def test_the_objects_of_the_benchmark_stand_in_alphabetical_order(shared: Path) -> None:
    """A wrong number would break the order; what a real image names is counted beside it."""
    ordered = [name for number, name in sorted(SCENE_PARSING_OBJECTS.items()) if number < 3090]
    assert len(ordered) == 150 and ordered == sorted(ordered)
    text = next((shared / "ade20k" / "full").glob("*.json")).read_text(encoding="latin-1")
    objects = json.loads(text)["annotation"]["object"]
    named = {entry["name_ndx"]: entry["name"] for entry in objects}
    both = named.keys() & SCENE_PARSING_OBJECTS.keys()
    assert len(both) == 14 and all(named[n] == SCENE_PARSING_OBJECTS[n] for n in both)


def test_the_full_ade20k_becomes_the_benchmark(put: Put, tmp_path: Path) -> None:
    entries = [{"name": "wall", "name_ndx": 7}, {"name": "nobody", "name_ndx": 2978}]
    ids = [0, 2978, 774, 783, 2254, 3109, 7, 3688]
    ade(put, ids, {"annotation": {"object": entries}})
    dataset, target = open_dataset(tmp_path), load_label_space("ade20k")
    space = dataset.label_space
    assert space is not None
    assert space.classes[6].name == "wall (7)", "the benchmark's name stays its own"
    mapping = load_mapping("ade20k-full-to-ade20k")
    table = mapping.table(space, target)
    found = table[dataset.read_target(dataset.samples[0])[0]]
    names = [target.names[index] if index != 255 else None for index in found.tolist()]
    wanted = ["wall", "door", "door", "screen", "crt screen"]
    assert names == [None, *wanted, None, None]
    assert set(table.tolist()) == {*range(150), 255}, "every class of the benchmark is reached"
    assert {name for name, _ in mapping.pairs} == set(SCENE_PARSING_OBJECTS.values())


def test_a_folder_of_one_kind_of_scene_opens(put: Put, tmp_path: Path) -> None:
    ade(put, [1] * 8)
    put(f"{PLACE.replace('train', 'val').replace('valing', 'training')}.jpg")
    street = (tmp_path / PLACE).parent
    dataset = open_dataset(street)
    assert dataset.format == "ade20k-full" and dataset.splits == ("train", "val")
    assert dataset.samples[0].sample_id == "ADE_train_00000001.jpg"
    # Above it only the whole layout counts: another dataset may hold such a folder.
    assert sniff(street.parent)[0][1] != "ade20k-full"


def mat(path: Path, **arrays: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, arrays)


def test_coco_stuff_10k_has_the_ids_of_the_164k_and_one_more(put: Put, tmp_path: Path) -> None:
    put("images/COCO_train2014_1.jpg")
    values = np.array([[0, 1, 90, 92, 182, 1, 1, 1]] * 6, np.uint16)
    mat(tmp_path / "annotations/COCO_train2014_1.mat", S=values)
    dataset = open_dataset(tmp_path)
    space = dataset.label_space
    assert dataset.format == "coco-stuff-10k" and space is not None
    found = dataset.read_target(dataset.samples[0])[0]
    assert found[0] == 255
    assert [space.classes[index].source_id for index in found[1:5]] == [0, 89, 91, 181]
    assert space.classes[found[1]].name == "person"


@pytest.mark.parametrize("damage", ["cut", "text", "name", "size", "float", "high", "negative"])
def test_damaged_matlab_files_are_one_sentence(put: Put, tmp_path: Path, damage: str) -> None:
    put("images/a.jpg")
    path = tmp_path / "annotations/a.mat"
    good = np.ones((6, 8), np.uint16)
    arrays = {
        "name": {"T": good},
        "size": {"S": np.ones((5, 8))},
        "float": {"S": good * 1.5},
        "high": {"S": good * 183},
        "negative": {"S": -good.astype(int)},
    }
    mat(path, **arrays.get(damage, {"S": good}))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:150])
    if damage == "text":
        path.write_text("MATLAB 5.0 MAT-file and nothing else")
    dataset = open_dataset(tmp_path, format="coco-stuff-10k")
    with pytest.raises(SegStudioError) as caught:
        dataset.read_target(dataset.samples[0])
    assert str(path) in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("count", [59, 33])
def test_the_releases_of_pascal_context(put: Put, tmp_path: Path, count: int) -> None:
    put("JPEGImages/2008_000002.jpg")
    put(f"{count}_context_labels/2008_000002.png", np.full((6, 8), count, np.uint8))
    bare = open_dataset(tmp_path)
    assert bare.format == "pascal-context"
    assert (bare.label_space is None) == (count == 33)
    lines = [f"{number}: class {number}" for number in range(1, count + 1)]
    (tmp_path / f"{count}_labels.txt").write_text("\n".join(lines))
    dataset = open_dataset(tmp_path)
    assert dataset.label_space is not None and len(dataset.label_space) == count
    assert (dataset.read_target(dataset.samples[0]) == count - 1).all()
    (tmp_path / f"{count}_labels.txt").write_text("wall\n")
    with pytest.raises(UsageError, match="line 1"):
        open_dataset(tmp_path)


def test_pascal_context_in_matlab_files(put: Put, tmp_path: Path) -> None:
    put("JPEGImages/2008_000002.jpg")
    mat(tmp_path / "trainval/2008_000002.mat", LabelMap=np.full((6, 8), 459, np.uint16))
    (tmp_path / "labels.txt").write_text("1: accordion\n459: zebra\n")
    dataset = open_dataset(tmp_path)
    assert dataset.format == "pascal-context" and dataset.label_space is not None
    assert dataset.label_space.classes[1].name == "zebra"
    assert (dataset.read_target(dataset.samples[0]) == 1).all()


def test_x_anylabeling_in_grey_and_in_colour(put: Put, tmp_path: Path) -> None:
    put("images/a.jpg")
    put("masks/a.png", np.array([[0, 7, 200, 7, 0, 0, 0, 0]] * 6, np.uint8))
    file = tmp_path / "map.json"
    file.write_text('{"type": "grayscale", "colors": {"car": 7, "sky": 200}}')
    dataset = open_dataset(tmp_path)
    assert dataset.format == "x-anylabeling" and dataset.label_space is not None
    assert list(dataset.label_space.names) == ["background", "car", "sky"]
    assert dataset.read_target(dataset.samples[0])[0, :4].tolist() == [0, 1, 2, 1]
    put("masks/a.png", np.tile(np.array([[[0, 0, 0], [255, 0, 9]] * 4], np.uint8), (6, 1, 1)))
    file.write_text('{"type": "rgb", "colors": {"car": [255, 0, 9], "sky": [1, 2, 3]}}')
    dataset = open_dataset(tmp_path)
    assert dataset.read_target(dataset.samples[0])[0, :2].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("colors", "reason"),
    [('{"car": 300}', "grey value"), ('{"car": true}', "grey value"), ('{"car": 0}', "grey value"),
     ('{"a": 3, "b": 3}', "two classes")],
)  # fmt: skip
def test_mistaken_mappings_are_refused(put: Put, tmp_path: Path, colors: str, reason: str) -> None:
    put("images/a.jpg")
    put("masks/a.png", np.zeros((6, 8), np.uint8))
    (tmp_path / "map.json").write_text(f'{{"type": "grayscale", "colors": {colors}}}')
    with pytest.raises(UsageError, match=reason):
        open_dataset(tmp_path, format="x-anylabeling")
    (tmp_path / "map.json").write_text("{")
    assert sniff(tmp_path)[0][1] == "paired"
    with pytest.raises(NoDatasetError, match="mapping file"):
        open_dataset(tmp_path, format="x-anylabeling")
