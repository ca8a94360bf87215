"""What annotation tools write: labelme, Label Studio, Supervisely."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.datasets.blobs import decode_box_runs, decode_brush, decode_png_mask, inflate
from segstudio.datasets.formats.label_studio import LabelStudioFormat
from segstudio.datasets.formats.labelme import LabelmeFormat
from segstudio.datasets.formats.supervisely import SuperviselyFormat
from segstudio.datasets.opening import open_dataset

SHAPE = (30, 40)


def png(mask: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(mask)).save(stream, format="PNG")
    return stream.getvalue()


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def labelme(root: Path, shapes: Any, **changes: Any) -> None:
    document = {"shapes": shapes, "imageHeight": 30, "imageWidth": 40, "imagePath": "a.jpg"}
    (root / "a.json").write_text(json.dumps(document | changes))


def shape(label: str, points: Any, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def read(format: Any, root: Path) -> np.ndarray:
    dataset = format.open(root)
    return dataset.read_target(dataset.samples[0])


def test_labelme_s_shapes_are_drawn_as_labelme_draws_them(
    image: Callable[[str], Path], tmp_path: Path
) -> None:
    image("a.jpg")
    mask = np.pad(np.ones((3, 4), bool), ((1, 0), (2, 0)))
    shapes = [
        shape("b", [[2.5, 3], [30, 5.2], [20, 50]]),
        shape("a", [[35, 25], [30, 20]], "rectangle"),
        shape("c", [[10, 10], [13, 14]], "circle"),
        shape("d", [[0, 0], [39, 29]], "line"),
        shape("e", [[38, 2]], "point"),
        shape("f", [[5, 20], [10, 23]], "mask", mask=text64(png(mask))),
        shape("__ignore__", [[0, 25], [4, 25], [4, 29], [0, 29]]),
    ]
    labelme(tmp_path, shapes)
    expected = Image.new("L", (40, 30), 0)
    draw = ImageDraw.Draw(expected)
    draw.polygon([(2.5, 3), (30, 5.2), (20, 50)], outline=2, fill=2)
    draw.rectangle([(30, 20), (35, 25)], outline=1, fill=1)
    draw.ellipse([5, 5, 15, 15], outline=3, fill=3)
    draw.line([(0, 0), (39, 29)], fill=4, width=10)
    draw.ellipse([33, -3, 43, 7], outline=5, fill=5)
    pixels = np.array(expected)
    pixels[20:24, 5:11][mask] = 6
    pixels[25:30, 0:5] = 255
    target = read(LabelmeFormat, tmp_path)
    assert np.array_equal(target, pixels)
    assert set(np.unique(target)) == {0, 1, 2, 3, 4, 5, 6, 255}


def test_labelme_s_class_list_decides(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("images/a.jpg")
    labelme(tmp_path, [shape("dog", [[0, 0], [39, 0], [39, 29]])])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "a.json").rename(tmp_path / "annotations" / "a.json")
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ncat\ndog\n")
    dataset = open_dataset(tmp_path)
    assert dataset.format == "labelme" and not dataset.notes and dataset.label_space is not None
    assert dataset.label_space.names == ["_background_", "cat", "dog"]
    assert set(np.unique(dataset.read_target(dataset.samples[0]))) == {0, 2}
    (tmp_path / "labels.txt").write_text("dog\n")
    assert set(np.unique(read(LabelmeFormat, tmp_path))) == {0, 255}
    (tmp_path / "labels.txt").write_text("cat\n")
    with pytest.raises(LabelValueError, match="shape 0 has the label 'dog'"):
        read(LabelmeFormat, tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (shape("a", "x"), "points that are no pairs"),
        (shape("a", [[1, 2, 3]]), "points that are no pairs"),
        (shape("a", [[1, float("nan")]]), "coordinates are no numbers"),
        (shape("a", [[1, 1]], "spiral"), "'spiral' that cannot be painted"),
        (shape("a", [[1, 1]], "mask", mask="?"), "no base64"),
        (shape("a", [[1, 1]], "mask", mask=text64(b"x")), "damaged mask"),
        (shape("a", [[1, 1]], "mask", mask=text64(png(np.ones((31, 2), bool)))), "31 x 2"),
        (7, "shape 0 is no object"),
    ],
)
def test_broken_labelme_shapes(
    image: Callable[[str], Path], tmp_path: Path, entry: Any, message: str
) -> None:
    image("a.jpg")
    labelme(tmp_path, [entry])
    with pytest.raises(LabelValueError, match=message):
        read(LabelmeFormat, tmp_path)


def test_labelme_files_that_do_not_fit(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("a.jpg")
    image("b.jpg")
    (tmp_path / "c.json").write_text("{}")
    labelme(tmp_path, [], imageWidth=41)
    dataset = LabelmeFormat.open(tmp_path)
    assert [sample.target_path is None for sample in dataset.samples] == [False, True]
    assert dataset.notes == (
        "1 image without a JSON file, b.jpg first.",
        "1 JSON file without an image, c.json first.",
    )
    with pytest.raises(SizeMismatchError, match="30 x 41"):
        dataset.read_target(dataset.samples[0])
    labelme(tmp_path, {})
    with pytest.raises(LabelValueError, match="no list 'shapes'"):
        dataset.read_target(dataset.samples[0])
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(NoDatasetError, match="put the images beside them"):
        LabelmeFormat.open(tmp_path)


def test_a_shape_far_away_costs_no_time(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("a.jpg")
    labelme(tmp_path, [shape("a", [[0, 0], [1e12, 1e12]], "circle")])
    assert (read(LabelmeFormat, tmp_path) == 1).all()


def packed(values: np.ndarray) -> list[int]:
    """Pack as thi.ng's rle-pack does, runs and literals alternating."""
    flat = values.ravel().tolist()
    sizes = (3, 4, 8, 16)
    bits = f"{len(flat):032b}{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    place = 0
    while place < len(flat):
        run = 1
        while place + run < len(flat) and flat[place + run] == flat[place] and run < 65536:
            run += 1
        literal = run < 3
        length = min(5, len(flat) - place) if literal else run
        kind = next(n for n, size in enumerate(sizes) if length <= 2**size)
        bits += f"{int(not literal)}{kind:02b}{length - 1:0{sizes[kind]}b}"
        for value in flat[place : place + length] if literal else flat[place : place + 1]:
            bits += f"{value:08b}"
        place += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def rgba(mask: np.ndarray) -> np.ndarray:
    return np.repeat(mask[:, :, None] * np.uint8(255), 4, axis=2)


def test_brushes() -> None:
    random = np.random.default_rng(4)
    for density in (0, 0.1, 0.9, 1):
        mask = random.random((9, 13)) < density
        mask[:, 7:] = True
        assert np.array_equal(decode_brush(packed(rgba(mask)), (9, 13), "x"), mask)


@pytest.mark.parametrize("damage", ["cut", "size", "text", "value"])
def test_broken_brushes(damage: str) -> None:
    data: Any = packed(rgba(np.ones((9, 13), bool)))
    data = {
        "cut": data[:-2],
        "size": [255, 255, 255, 255, *data[4:]],
        "text": "abc",
        "value": [300],
    }[damage]
    with pytest.raises(LabelValueError, match=r"^here has a damaged brush"):
        decode_brush(data, (9, 13), "here")


@pytest.mark.parametrize("data", [1 << 40, True, None, "abc", {"a": 1}, b"abc", 2.5])
def test_a_brush_that_is_no_list_takes_no_memory(data: object) -> None:
    """Found by fuzzing: ``bytes`` of a number is so many zeros."""
    with pytest.raises(LabelValueError, match="here has a damaged brush: no list of bytes"):
        decode_brush(data, (9, 13), "here")


def studio(root: Path, *results: Any, image: str = "/data/upload/1/0a1b2c3d-a.jpg") -> None:
    annotations = [{"result": result} for result in results]
    annotations.insert(0, {"result": [], "was_cancelled": True})
    task = {"data": {"image": image}, "annotations": annotations}
    (root / "export.json").write_text(json.dumps([task, {"data": {"image": "gone.jpg"}}]))


def region(value: Any, width: int = 40) -> dict[str, Any]:
    return {"original_width": width, "original_height": 30, "value": value}


def test_label_studio(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("pictures/a.jpg")
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 4:20] = True
    brush = {"format": "rle", "rle": packed(rgba(mask)), "brushlabels": ["road"]}
    points = {"points": [[50, 50], [100, 50], [100, 100]], "polygonlabels": ["car"]}
    box = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["sign"]}
    studio(tmp_path, [region(brush), region(points), region(box), {"type": "choices"}])
    dataset = open_dataset(tmp_path)
    assert dataset.format == "label-studio" and dataset.label_space is not None
    assert dataset.label_space.names == ["background", "car", "road"]
    assert dataset.notes == (f"1 task of {tmp_path / 'export.json'} without an image here.",)
    target = dataset.read_target(dataset.samples[0])
    assert (target[mask] == 2).all() and target[20, 35] == 1 and target[0, 0] == 0
    assert int((target == 2).sum()) == int(mask.sum())
    for address in ("/data/local-files/?d=pictures/a.jpg", "s3://x/a.jpg", "pictures/a.jpg"):
        studio(tmp_path, [region(points)], image=address)
        assert len(LabelStudioFormat.open(tmp_path)) == 1
    studio(tmp_path, [region(points, width=41)])
    with pytest.raises(SizeMismatchError, match="30 x 41"):
        read(LabelStudioFormat, tmp_path)
    studio(tmp_path, [], image="../../etc/passwd")
    with pytest.raises(NoDatasetError, match="None of the images"):
        LabelStudioFormat.open(tmp_path)


def supervisely(root: Path, objects: Any, height: int = 30) -> None:
    (root / "meta.json").write_text(
        json.dumps({"classes": [{"title": "car", "color": "#0102ff"}, {"title": "Background"}]})
    )
    (root / "ds" / "ann").mkdir(parents=True, exist_ok=True)
    document = {"size": {"height": height, "width": 40}, "objects": objects}
    (root / "ds" / "ann" / "ä b.jpg.json").write_text(json.dumps(document))


def bitmap(data: bytes, origin: Any = (35, 25)) -> dict[str, Any]:
    entry = {"data": text64(zlib.compress(data)), "origin": list(origin)}
    return {"classTitle": "car", "geometryType": "bitmap", "bitmap": entry}


def test_supervisely(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("ds/img/ä b.jpg")
    transparent = np.zeros((8, 9, 4), np.uint8)
    transparent[2:, 3:, 3] = 255
    polygon = {
        "classTitle": "car",
        "geometryType": "polygon",
        "points": {
            "exterior": [[2, 2], [20, 2], [20, 20], [2, 20]],
            "interior": [[[6, 6], [10, 6], [10, 10], [6, 10]]],
        },
    }
    box = {"classTitle": "car", "geometryType": "rectangle", "points": {"exterior": [[0, 0]]}}
    supervisely(
        tmp_path, [polygon, box, bitmap(png(transparent)), bitmap(png(transparent), (-5, 2))]
    )
    dataset = open_dataset(tmp_path)
    assert dataset.format == "supervisely" and dataset.label_space is not None
    assert dataset.label_space.names == ["background", "car"]
    expected = np.zeros(SHAPE, int)
    expected[2:21, 2:21] = 1
    expected[6:11, 6:11] = 0
    expected[27:30, 38:40] = 1
    expected[4:10, 0:4] = 1
    assert np.array_equal(dataset.read_target(dataset.samples[0]), expected)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (bitmap(b"x"), "damaged mask"),
        (bitmap(png(np.ones((31, 1), bool))), "31 x 1"),
        (bitmap(bytes(10_000_000)), "larger than its image"),
        ({"classTitle": "car", "geometryType": "bitmap"}, "without data and origin"),
        ({"classTitle": "horse"}, "does not know"),
        (3, "does not know"),
    ],
)
def test_broken_supervisely_objects(
    image: Callable[[str], Path], tmp_path: Path, entry: Any, message: str
) -> None:
    image("ds/img/ä b.jpg")
    supervisely(tmp_path, [entry])
    with pytest.raises(LabelValueError, match=message):
        read(SuperviselyFormat, tmp_path)


def test_supervisely_files_that_do_not_fit(image: Callable[[str], Path], tmp_path: Path) -> None:
    image("ds/img/ä b.jpg")
    supervisely(tmp_path, [], height=31)
    with pytest.raises(SizeMismatchError, match="31 x 40"):
        read(SuperviselyFormat, tmp_path)
    (tmp_path / "meta.json").write_text('{"classes": [1]}')
    with pytest.raises(UsageError, match="no list of classes"):
        SuperviselyFormat.open(tmp_path)


def test_blobs_are_bounded() -> None:
    with pytest.raises(LabelValueError, match="damaged mask"):
        inflate(b"not zlib", 10, "x")
    assert inflate(zlib.compress(b"abc"), 3, "x") == b"abc"
    with pytest.raises(LabelValueError, match="larger"):
        inflate(zlib.compress(b"abcd"), 3, "x")
    assert decode_png_mask(png(np.eye(3, dtype=bool)), (3, 3), "x").sum() == 3
    assert decode_box_runs(["0", "3", "1"], 2, 2, "x").ravel().tolist() == [1, 1, 1, 0]
