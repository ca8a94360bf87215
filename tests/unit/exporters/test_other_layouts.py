"""The folders of training tools and annotation programs: numbers, places, round trips."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.options import option_fields
from segstudio.datasets.opening import open_dataset
from segstudio.exporters.base import EXPORTERS
from segstudio.exporters.formats.label_studio import encode_brush

CAMVID = load_label_space("camvid")
WITH_PHOTOGRAPHS = [
    name
    for name, entry in EXPORTERS.items()
    if "images" in {field.name for field in option_fields(entry.Options)}
]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    ("form", "options", "unlabelled"),
    [
        ("ade20k", {"layout": "dataset"}, None),
        ("coco-stuff", {}, None),
        ("cvat-mask", {}, "background"),
        ("label-studio", {}, "background"),
        ("supervisely", {}, "background"),
    ],
)
def test_in_out_in(
    make_item: Callable,
    make_map: Callable,
    run_export: Callable,
    form: str,
    options: dict[str, str],
    unlabelled: str | None,
) -> None:
    """Where a format has no ignored value, ignored pixels come back as its background."""
    space = load_label_space(form) if form in ("ade20k", "coco-stuff") else CAMVID
    maps = {f"{n:012}": make_map(n, min(len(space), 40), 30, 41) for n in range(3)}
    items = [make_item(f"{name}.jpg", m, split="val") for name, m in maps.items()]
    out = run_export(form, items, space, images="copy", **options)
    again = open_dataset(out.folder, format=form)
    stored = again.label_space
    assert len(again) == 3 and stored is not None
    nothing = stored.ignore_index
    if unlabelled is not None and stored.find(unlabelled) is not None:
        nothing = stored.names.index(unlabelled)
    table = np.full(256, nothing)
    table[: len(space)] = [
        stored.names.index(name) if name in stored.names else -1 for name in space.names
    ]
    for sample in again.samples:
        expected = maps[Path(sample.sample_id).stem]
        assert (table[np.unique(expected)] >= 0).all()
        assert np.array_equal(again.read_target(sample), table[expected])


def test_ade20k_counts_from_one(make_item: Callable, run_export: Callable) -> None:
    space = load_label_space("ade20k")
    label_map = np.array([[0, 149, 255]], np.uint8)
    out = run_export("ade20k", [make_item("a/ADE_val_1.jpg", label_map)], space)
    assert out.places() == ["ADE_val_1.png", "label_space.json"] and out.notes == []
    assert read(out.folder / "ADE_val_1.png").tolist() == [[1, 150, 0]]
    full = LabelSpace.from_json({"name": "full", "classes": [f"c{n}" for n in range(255)]})
    out = run_export(
        "ade20k", [make_item("1.jpg", np.array([[254, 255]], np.uint8))], full, existing="replace"
    )
    assert read(out.folder / "1.png").tolist() == [[255, 0]] and "full" in out.notes[0]
    more = LabelSpace.from_json({"name": "more", "classes": [f"c{n}" for n in range(256)]})
    with pytest.raises(UsageError, match="256 classes"):
        run_export("ade20k", [make_item("1.jpg", np.zeros((1, 1), np.uint16))], more)


def test_coco_stuffs_ids(make_item: Callable, run_export: Callable) -> None:
    space = load_label_space("coco-stuff")
    label_map = np.array([[0, 170, 255]], np.uint8)
    out = run_export("coco-stuff", [make_item("000000000139.jpg", label_map)], space)
    path = out.folder / "stuffthingmaps" / "val2017" / "000000000139.png"
    assert read(path).tolist() == [[0, 181, 255]] and out.notes == []
    assert "camvid" in run_export("coco-stuff", [], CAMVID, existing="replace").notes[0]


def test_mmseg_pairs_by_name(make_item: Callable, make_map: Callable, run_export: Callable) -> None:
    maps = {"a/1.png": make_map(1, 11), "b/2.jpg": make_map(2, 11)}
    items = [make_item(n, m, split="train") for n, m in maps.items()]
    out = run_export("mmseg", items, CAMVID)
    assert [p for p in out.places() if "_dir" in p] == [
        "ann_dir/train/1.png",
        "ann_dir/train/2.png",
        "img_dir/train/1.png",
        "img_dir/train/2.jpg",
    ]
    for name, label_map in maps.items():
        assert np.array_equal(read(out.folder / f"ann_dir/train/{name[2]}.png"), label_map)
    meta = json.loads((out.folder / "metainfo.json").read_text())
    assert meta["classes"] == CAMVID.names and meta["palette"][1] == list(CAMVID.colors[1])
    assert (out.folder / "classes.txt").read_text().split() == CAMVID.names


def test_cvat_tells_classes_apart_by_colour(make_item: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json(
        {
            "classes": [
                {"name": "night", "color": [0, 0, 0]},
                {"name": "x:y", "color": [9, 9, 9]},
                {"name": "z", "color": [9, 9, 9]},
            ]
        }
    )
    label_map = np.array([[0, 1, 2, 255]], np.uint8)
    out = run_export("cvat-mask", [make_item("a/1.jpg", label_map)], space)
    lines = (out.folder / "labelmap.txt").read_text().splitlines()
    assert lines[0] == "# label:color_rgb:parts:actions" and lines[1] == "background:0,0,0::"
    colors = {}
    for line in lines[1:]:
        name, color, parts, actions = line.split(":")
        assert parts == actions == ""
        colors[name] = tuple(map(int, color.split(",")))
    assert list(colors) == ["background", "night", "x y", "z"] and len(set(colors.values())) == 4
    drawn = [tuple(pixel) for pixel in read(out.folder / "SegmentationClass" / "1.png")[0].tolist()]
    assert drawn == [colors["night"], colors["x y"], colors["z"], (0, 0, 0)]
    assert (out.folder / "ImageSets/Segmentation/default.txt").read_text() == "1\n"
    assert out.notes[0].startswith("2 classes have another colour")
    assert out.notes[1].endswith("(1 pixel in 1 sample).")


def test_cvats_background_is_vocs(make_item: Callable, run_export: Callable) -> None:
    out = run_export(
        "cvat-mask", [make_item("1.jpg", np.zeros((2, 2), np.uint8))], load_label_space("voc")
    )
    lines = (out.folder / "labelmap.txt").read_text().splitlines()
    assert lines[1] == "background:0,0,0::" and len(lines) == 22 and out.notes == []


def decode_brush(rle: list[int]) -> list[int]:
    """Decode as rle-pack does, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        is_run = take(1)
        length = take(widths[take(2)]) + 1
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    assert len(values) == total and len(bits) - place < 8 and "1" not in bits[place:]
    return values


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 5), (17, 64), (200, 301)])
def test_label_studios_brush(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5, 1.0):
        mask = rng.random(shape) < share
        rgba = np.repeat(mask.ravel(), 4) * 255
        assert decode_brush(encode_brush(mask)) == rgba.tolist()


def test_label_studio_tasks(make_item: Callable, run_export: Callable) -> None:
    label_map = np.array([[0, 0, 3], [255, 3, 3]], np.uint8)
    out = run_export("label-studio", [make_item("a b/ü.png", label_map)], CAMVID)
    (task,) = json.loads((out.folder / "tasks.json").read_text(encoding="utf-8"))
    assert task["data"]["image"] == "/data/local-files/?d=images/a%20b/%C3%BC.png"
    results = task["annotations"][0]["result"]
    assert [entry["value"]["brushlabels"] for entry in results] == [["Sky"], ["Road"]]
    sizes = {(entry["original_height"], entry["original_width"]) for entry in results}
    assert sizes == {(2, 3)}
    config = (out.folder / "label_config.xml").read_text()
    assert 'toName="image"' in config and config.count("<Label ") == 11


def test_supervisely_bitmaps(make_item: Callable, make_map: Callable, run_export: Callable) -> None:
    label_map = make_map(4, 11)
    out = run_export("supervisely", [make_item("a/1.jpg", label_map)], CAMVID, regions="component")
    document = json.loads((out.folder / "dataset" / "ann" / "1.jpg.json").read_text())
    assert (out.folder / "dataset" / "img" / "1.jpg").is_file()
    drawn = np.full(label_map.shape, 255, np.uint8)
    for entry in document["objects"]:
        png = zlib.decompress(base64.b64decode(entry["bitmap"]["data"]))
        with Image.open(BytesIO(png)) as picture:
            mask = np.asarray(picture).astype(bool)
        left, top = entry["bitmap"]["origin"]
        box = drawn[top : top + mask.shape[0], left : left + mask.shape[1]]
        box[mask] = CAMVID.names.index(entry["classTitle"])
    assert np.array_equal(drawn, label_map)
    meta = json.loads((out.folder / "meta.json").read_text())
    assert [entry["title"] for entry in meta["classes"]] == CAMVID.names


def test_huggingface_rows(make_item: Callable, make_map: Callable, run_export: Callable) -> None:
    maps = {f"{n}.jpg": make_map(n, 11) for n in range(3)}
    items = [
        make_item(name, m, split=s)
        for (name, m), s in zip(maps.items(), ("train", "val", "val"), strict=True)
    ]
    out = run_export("huggingface", items, CAMVID)
    for split, names in (("train", ["0.jpg"]), ("validation", ["1.jpg", "2.jpg"])):
        lines = (out.folder / split / "metadata.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["sample_id"] for row in rows] == names
        for row in rows:
            assert (out.folder / split / row["image_file_name"]).is_file()
            found = read(out.folder / split / row["label_file_name"])
            assert np.array_equal(found, maps[row["sample_id"]])
    names_of = json.loads((out.folder / "id2label.json").read_text())
    assert names_of["3"] == "Road" and len(names_of) == 11


def test_datasets_loads_the_folder(
    make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    maps = {f"{n}.jpg": make_map(n, 11) for n in range(2)}
    out = run_export("huggingface", [make_item(n, m) for n, m in maps.items()], CAMVID)
    theirs = datasets.load_dataset(
        "imagefolder", data_dir=str(out.folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    for row in theirs:
        assert row["image"].size == (31, 24)
        assert np.array_equal(np.asarray(row["label"]), maps[row["sample_id"]])


def test_arrays(make_item: Callable, make_map: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json({"classes": [f"c{n}" for n in range(300)]})
    deep = np.array([[0, 299, 65535]], np.uint16)
    out = run_export("numpy", [make_item("a/1.jpg", deep)], space)
    found = np.load(out.folder / "a" / "1.npy", allow_pickle=False)
    assert found.dtype == np.uint16 and np.array_equal(found, deep)


GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 440720.0, 3751320.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32611), True),
    (34737, 2, 15, "UTM zone 11|ab\0", True),
]


@pytest.mark.parametrize("deep", [False, True])
def test_geotiff_stays_at_its_place(
    make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path, deep: bool
) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    space = LabelSpace.from_json({"classes": [f"c{n}" for n in range(300 if deep else 11)]})
    label_map = make_map(1, 11)
    if deep:
        label_map = np.where(label_map == 255, 65535, label_map * 29).astype(np.uint16)
    source = tmp_path / "field.tif"
    tifffile.imwrite(source, np.zeros((24, 31, 3), np.uint8), photometric="rgb", extratags=GEO)
    out = run_export("geotiff", [make_item("field.tif", label_map, folder=tmp_path)], space)
    assert out.notes == []
    with tifffile.TiffFile(out.folder / "field.tif") as written, tifffile.TiffFile(source) as file:
        page, original = written.pages.first, file.pages.first
        assert np.array_equal(page.asarray(), label_map) and page.dtype == space.dtype
        for code, *_ in GEO:
            assert page.tags[code].value == original.tags[code].value, code
        assert written.is_geotiff
        assert written.geotiff_metadata == file.geotiff_metadata
        assert page.tags[42113].value == str(space.ignore_index)
        if not deep:
            assert tuple(page.colormap[:, 3] // 257) == space.colors[3]
    assert np.array_equal(read(out.folder / "field.tif"), label_map)


def test_geotiff_without_a_place(
    make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((5, 5), np.uint8), extratags=GEO)
    (tmp_path / "broken.tif").write_bytes(b"II*\0nonsense")
    names = ["other.tif", "broken.tif", "photo.jpg"]
    items = [make_item(name, make_map(1, 11), folder=tmp_path) for name in names]
    out = run_export("geotiff", items, CAMVID)
    assert out.notes == ["Photographs bring no georeference of the label map's size (3 samples)."]
    with tifffile.TiffFile(out.folder / "other.tif") as written:
        assert not written.is_geotiff


def test_provenance(make_item: Callable, run_export: Callable) -> None:
    corrected = np.array([[0, 1, 255, 255]], np.uint8)
    before = np.array([[0, 2, 3, 255]], np.uint8)
    items: list[Any] = [
        make_item("m.png", corrected, origin="model", read_origin=lambda: before),
        make_item("i.png", corrected, origin="imported", read_origin=lambda: before),
        make_item("e.png", corrected, origin="empty"),
        make_item("u.png", corrected),
    ]
    out = run_export("corrected", items, CAMVID)
    legend = json.loads((out.folder / "provenance.json").read_text())
    meaning = {value: name for name, value in legend.items()}

    def words(name: str) -> list[str]:
        return [meaning[value] for value in read(out.folder / "provenance" / name)[0].tolist()]

    assert words("m.png") == ["model", "human", "human", "unlabelled"]
    assert words("i.png") == ["imported", "human", "human", "unlabelled"]
    assert words("e.png") == ["human", "human", "unlabelled", "unlabelled"]
    assert words("u.png") == ["unknown", "unknown", "unlabelled", "unlabelled"]
    assert np.array_equal(read(out.folder / "masks" / "m.png"), corrected)
    assert out.notes == ["It is not known where the pixels come from (1 sample)."]
    wrong = make_item("w.png", corrected, origin="model", read_origin=lambda: before.T)
    with pytest.raises(SizeMismatchError, match="made from is 4 x 1"):
        run_export("corrected", [wrong], CAMVID, existing="replace")
    plain = run_export("corrected", items, CAMVID, to=out.folder / "plain", provenance=False)
    assert not [place for place in plain.places() if "provenance" in place]


@pytest.mark.parametrize("name", WITH_PHOTOGRAPHS)
def test_every_exporter_that_takes_photographs_puts_them_down(
    name: str, make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 31, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "1.jpg")
    items = [make_item("1.jpg", make_map(1, 11), image=image, folder=tmp_path)]
    plain = run_export(name, items, CAMVID, to=tmp_path / "plain", images="none")
    copied = run_export(name, items, CAMVID, to=tmp_path / "copied", images="copy")
    (extra,) = set(copied.places()) - set(plain.places())
    assert read(copied.folder / extra).shape == (24, 31, 3)
