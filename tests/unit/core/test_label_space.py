"""The label spaces and mappings that come with SegStudio, and how ids become indices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, UnknownNameError, UsageError
from segstudio.core.label_space import (
    ClassInfo,
    LabelMapping,
    LabelSpace,
    label_space_names,
    load_label_space,
    load_mapping,
    mapping_names,
)
from segstudio.datasets.formats.ade20k_full import object_space

EXPECTED = {
    # name: classes, spot checks of (index, name, colour, source id)
    "camvid": (11, [(0, "Sky", (128, 128, 128), 0), (10, "Bicyclist", (0, 128, 192), 10)]),
    "ade20k": (150, [(0, "wall", (120, 120, 120), 1), (126, "animal", (255, 0, 122), 127)]),
    "cityscapes": (19, [(0, "road", (128, 64, 128), 7), (18, "bicycle", (119, 11, 32), 33)]),
    "voc": (21, [(0, "background", (0, 0, 0), 0), (20, "tvmonitor", (0, 64, 128), 20)]),
    "coco": (80, [(0, "person", (220, 20, 60), 1), (79, "toothbrush", (191, 162, 208), 90)]),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_fields_label_spaces(name: str) -> None:
    count, checks = EXPECTED[name]
    space = load_label_space(name)
    assert len(space) == count and space.name == name
    for index, title, color, source_id in checks:
        assert space.classes[index] == ClassInfo(index, title, color, source_id)


@pytest.mark.parametrize("name", label_space_names())
def test_every_label_space_is_well_formed(name: str) -> None:
    space = load_label_space(name)
    assert space.title and space.source.endswith(".")
    assert len(set(space.names)) == len(space)
    assert all(entry == entry.strip() for entry in space.names)
    assert space.ignore_index in space.ignore_ids
    assert LabelSpace.from_json(json.loads(json.dumps(space.to_json()))) == space
    for entry in space.classes:
        assert space.find(entry.name) == entry
    ids = np.array([[entry.source_id for entry in space.classes]], space.dtype)
    assert space.from_source_ids(ids, "x").tolist() == [list(range(len(space)))]
    assert np.array_equal(space.to_source_ids(space.from_source_ids(ids, "x")), ids)


def test_the_full_ade20k_is_what_its_format_makes_without_names() -> None:
    made, _ = object_space([])
    shipped = load_label_space("ade20k-full")
    assert (shipped.name, shipped.classes, shipped.ignore_ids) == (
        made.name,
        made.classes,
        made.ignore_ids,
    )


def test_the_expected_ones_are_all_there() -> None:
    assert set(EXPECTED) <= set(label_space_names())
    wanted = {"coco-to-ade20k", "coco-to-camvid", "cityscapes-to-camvid", "ade20k-to-camvid"}
    assert wanted <= set(mapping_names())


@pytest.mark.parametrize("name", mapping_names())
def test_every_mapping_names_classes_that_exist(name: str) -> None:
    mapping = load_mapping(name)
    assert name == mapping.name == f"{mapping.source}-to-{mapping.target}"
    source, target = load_label_space(mapping.source), load_label_space(mapping.target)
    table = mapping.table(source, target)
    mapped = [index for index in range(len(source)) if table[index] != target.ignore_index]
    assert len(mapped) == len(mapping.pairs)
    assert (table[len(source) :] == target.ignore_index).all()


def test_coco_animals_become_ade20k_animal() -> None:
    source, target = load_label_space("coco"), load_label_space("ade20k")
    table = load_mapping("coco-to-ade20k").table(source, target)
    named = {entry.name: int(table[entry.index]) for entry in source.classes}
    animals = ["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra"]
    assert {target.names[named[animal]] for animal in animals} == {"animal"}
    assert target.names[named["motorcycle"]] == "minibike"
    assert target.names[named["couch"]] == "sofa"
    assert named["train"] == target.ignore_index


def test_a_whole_name_goes_before_a_synonym() -> None:
    names = ["buffet, counter", "Counter", "car;auto"]
    space = LabelSpace.from_json({"name": "x", "classes": names})
    found = [space.find(name) for name in ("counter", "buffet", " AUTO ", "tray")]
    assert [entry and entry.index for entry in found] == [1, 0, 2, None]


def test_ignored_and_unknown_ids() -> None:
    space = load_label_space("cityscapes")
    ids = np.array([[7, 0, 255, 33]], np.uint8)
    assert space.from_source_ids(ids, "x").tolist() == [[0, 255, 255, 18]]
    with pytest.raises(LabelValueError, match=r"mask\.png holds the value 34, .* cityscapes"):
        space.from_source_ids(np.array([[7, 34]], np.uint8), "mask.png")
    for wrong in (np.array([[-1]], np.int32), np.array([[70000]], np.int64)):
        with pytest.raises(LabelValueError, match=f"value {wrong[0, 0]},"):
            space.from_source_ids(wrong, "mask.png")


def test_camvid_void_is_ignored_and_comes_back() -> None:
    space = load_label_space("camvid")
    label_map = space.from_source_ids(np.array([[3, 11]], np.uint8), "x")
    assert label_map.tolist() == [[3, 255]] and label_map.dtype == np.uint8
    assert space.to_source_ids(label_map).tolist() == [[3, 11]]


def test_check_names_the_file_and_the_value() -> None:
    space = load_label_space("voc")
    space.check(np.array([[0, 20, 255]], np.uint8), "x")
    with pytest.raises(LabelValueError, match=r"^m\.png holds the class index 21"):
        space.check(np.array([[21]], np.uint8), "m.png")


def test_more_than_255_classes_take_16_bits() -> None:
    space = LabelSpace.from_json({"classes": [f"c{index}" for index in range(300)]})
    assert space.dtype is np.uint16 and space.ignore_index == 65535
    found = space.from_source_ids(np.array([[299, 255]], np.uint16), "x")
    assert found.tolist() == [[299, 255]] and found.dtype == np.uint16
    assert space.from_source_ids(np.array([[65535]], np.uint16), "x").tolist() == [[65535]]


def test_synonyms_are_found() -> None:
    space = LabelSpace.from_json({"classes": ["wall", "car;auto;automobile"]})
    assert space.find(" Automobile ") == space.classes[1]
    assert space.find("aut") is None


def test_ids_with_two_meanings_are_refused() -> None:
    document = {"name": "x", "classes": [{"name": "a", "id": 1}, {"name": "b", "id": 1}]}
    with pytest.raises(UsageError, match="source id 1 two meanings"):
        LabelSpace.from_json(document)


def test_unknown_names_and_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean camvid"):
        load_label_space("camvit")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    with pytest.raises(UsageError, match=r"bad\.json cannot be read"):
        load_label_space(bad)
    bad.write_text('{"classes": "road"}')
    with pytest.raises(UsageError):
        load_label_space(bad)


def test_a_mapping_with_a_misspelt_class_says_so() -> None:
    mapping = LabelMapping("m", "camvid", "voc", (("Car", ("caar",)),))
    with pytest.raises(UsageError, match=r"'caar'.*did you mean car"):
        mapping.table(load_label_space("camvid"), load_label_space("voc"))
