"""What the readers of other people make of our exports; each skips where it is not installed."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.opening import open_dataset
from segstudio.exporters.base import EXPORTERS, ExportItem
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import iou

SHAPE = (24, 40)


def items(space: LabelSpace, folder: Path, ending: str = ".jpg", count: int = 2) -> list[Any]:
    """Return samples with random label maps, ignored pixels among them."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        label_map = rng.integers(0, len(space), SHAPE).astype(space.dtype)
        label_map[:2] = space.ignore_index
        image = rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
        sample = Sample(f"{number}{ending}", folder / f"{number}{ending}")
        found.append(ExportItem(sample, lambda m=label_map: m, lambda i=image: i))
    return found


def test_rasterio_reads_place_and_classes_of_a_geotiff(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed")
    space = load_label_space("isprs")
    entries = items(space, tmp_path, ".tif")
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, 12, 3, (0.5, 0.5, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 5_400_000.0, 0.0), True),
        (34735, 3, len(keys), keys, True),
    ]
    for entry in entries:
        tifffile.imwrite(entry.sample.image_path, entry.read_image(), extratags=tags)
    EXPORTERS.get("geotiff")().write(entries, tmp_path / "out", label_space=space)
    with rasterio.open(tmp_path / "out" / "0.tif") as opened:
        assert opened.crs.to_epsg() == 32633 and opened.nodata == 255
        assert opened.transform[:6] == (0.5, 0, 500_000, 0, -0.5, 5_400_000)
        assert np.array_equal(opened.read(1), entries[0].read_label_map())
        assert tuple(opened.colormap(1)[0][:3]) == tuple(space.colors[0])


def test_hugging_faces_datasets_opens_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    space = load_label_space("camvid")
    entries = items(space, tmp_path)
    EXPORTERS.get("huggingface")().write(entries, tmp_path / "out", label_space=space)
    metadata = next((tmp_path / "out").rglob("metadata.*"))
    rows = [json.loads(line) for line in metadata.read_text().splitlines()]
    assert len(rows) == 2
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    split = opened[next(iter(opened))]
    assert len(split) == 2
    label = next(name for name in split.column_names if "label" in name or "mask" in name)
    maps = sorted(np.asarray(row[label]).tobytes() for row in split)
    assert maps == sorted(entry.read_label_map().tobytes() for entry in entries)


def test_train_ids_leave_as_the_ids_that_cityscapes_own_evaluation_reads(tmp_path: Path) -> None:
    evaluation = pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="cityscapesScripts is not installed",
    )
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    space = load_label_space("cityscapes-trainids")
    rng = np.random.default_rng(3)
    target = rng.integers(0, len(space), SHAPE).astype(np.uint8)
    target[:2] = 255
    prediction = np.where(rng.random(SHAPE) < 0.7, target, rng.integers(0, len(space), SHAPE))
    prediction = np.where(target == 255, 0, prediction).astype(np.uint8)
    sample = Sample("aachen_000000_000019_leftImg8bit.png", tmp_path / "a.png")
    item = ExportItem(sample, lambda: prediction, lambda: np.zeros((*SHAPE, 3), np.uint8))
    (path,) = [
        path
        for path in EXPORTERS.get("cityscapes")().write([item], tmp_path / "out", label_space=space)
        if path.suffix == ".png"
    ]
    ids = {label.trainId: label.id for label in labels if 0 <= label.trainId < 255}
    truth = np.zeros(SHAPE, np.uint8)
    for index, label_id in ids.items():
        truth[target == index] = label_id
    written = np.asarray(Image.open(path))
    theirs = np.zeros((256, 256), np.int64)
    np.add.at(theirs, (truth.ravel(), written.ravel()), 1)
    arguments = evaluation.args
    arguments.evalLabels = [label.id for label in labels if label.id >= 0]
    matrix = theirs[: max(arguments.evalLabels) + 1, : max(arguments.evalLabels) + 1]
    scores = [
        evaluation.getIouScoreForLabel(ids[index], matrix, arguments) for index in range(len(space))
    ]
    ours = iou(confusion_matrix(target, prediction, len(space), ignore_index=255))
    assert np.allclose(scores, ours)


def test_the_id_rule_of_panoptic_pngs(tmp_path: Path) -> None:
    """A segment's id is R + 256 G + 256^2 B, as panopticapi's rgb2id has it."""
    space = load_label_space("camvid")
    entries = items(space, tmp_path)
    paths = EXPORTERS.get("coco-panoptic")().write(entries, tmp_path / "out", label_space=space)
    document = json.loads(next(p for p in paths if p.suffix == ".json").read_text())
    try:
        from panopticapi.utils import rgb2id
    except ImportError:

        def rgb2id(color: Any) -> Any:
            values = color.astype(np.int64)
            return values[..., 0] + 256 * values[..., 1] + 65536 * values[..., 2]

    assert len(document["annotations"]) == 2
    for annotation in document["annotations"]:
        path = next((tmp_path / "out").rglob(annotation["file_name"]))
        found = rgb2id(np.asarray(Image.open(path)))
        areas = {entry["id"]: entry["area"] for entry in annotation["segments_info"]}
        values, counts = np.unique(found[found > 0], return_counts=True)
        assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == areas


def test_label_studios_own_decoder_gives_the_regions(tmp_path: Path) -> None:
    brush = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="pip install label-studio-sdk"
    )
    space = load_label_space("camvid")
    entries = items(space, tmp_path)
    EXPORTERS.get("label-studio")().write(entries, tmp_path / "out", label_space=space)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text(encoding="utf-8"))
    for entry, task in zip(entries, tasks, strict=True):
        found = np.full(SHAPE, 255, np.uint8)
        for region in task["annotations"][0]["result"]:
            size = region["original_height"], region["original_width"]
            mask = np.reshape(brush.decode_rle(region["value"]["rle"]), (*size, 4))[:, :, 3] > 0
            assert (found[mask] == 255).all()
            found[mask] = space.names.index(region["value"]["brushlabels"][0])
        assert np.array_equal(found, entry.read_label_map())


# pycocotools 2.0.11, with which it reads run lengths, has an __array__ of before numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("cvat-mask", "voc_segmentation"),
        ("voc", "voc_segmentation"),
        ("coco-rle", "coco_instances"),
        ("coco-panoptic", "coco_panoptic"),
    ],
)
def test_datumaro_which_cvat_reads_with_gives_the_label_maps(
    tmp_path: Path, name: str, form: str
) -> None:
    dataset = pytest.importorskip("datumaro.components.dataset", reason="pip install datumaro")
    kinds = pytest.importorskip("datumaro.components.annotation").AnnotationType
    space = load_label_space("camvid")
    entries = items(space, tmp_path, ".png")
    for entry in entries:
        Image.fromarray(entry.read_image()).save(entry.sample.image_path)
    exporter = EXPORTERS.get(name)
    out = tmp_path / "out"
    exporter().write(entries, out, label_space=space, options=exporter.Options(images="copy"))
    for old, new in (
        ("annotations.json", "instances_default.json"),
        ("panoptic.json", "panoptic_default.json"),
        ("panoptic", "panoptic_default"),
    ):
        if (out / old).exists():  # the names that datumaro looks for
            (out / "annotations").mkdir(exist_ok=True)
            (out / old).rename(out / "annotations" / new)
    opened = dataset.Dataset.import_from(str(out), form)
    labels = [label.name for label in opened.categories()[kinds.label]]
    read = {}
    for sample in opened:
        found = np.full(SHAPE, 255, np.uint8)
        for annotation in sample.annotations:
            if annotation.type == kinds.mask and labels[annotation.label] in space.names:
                mask = np.asarray(annotation.image) > 0
                found[mask] = space.names.index(labels[annotation.label])
        read[Path(sample.id).name] = found
    assert sorted(read) == ["0", "1"]
    for entry in entries:
        assert np.array_equal(read[Path(entry.sample.sample_id).stem], entry.read_label_map())


def labelmes_own() -> tuple[Any, Any]:
    """Return labelme's reader and its drawing; the package opens no window when it is imported."""
    package = pytest.importorskip("labelme", reason="pip install labelme")
    return package.LabelFile, pytest.importorskip("labelme.utils").shapes_to_label


@pytest.mark.parametrize("regions", ["class", "component"])
@pytest.mark.parametrize("shape", ["mask", "polygon"])
def test_labelme_itself_reads_and_draws_the_label_maps(
    tmp_path: Path, shape: str, regions: str
) -> None:
    read, draw = labelmes_own()
    space = load_label_space("camvid")
    entries = items(space, tmp_path, ".png")
    exporter = EXPORTERS.get("labelme")
    options = exporter.Options(images="copy", shape=shape, regions=regions)
    written = exporter()
    written.write(entries, tmp_path / "out", label_space=space, options=options)
    names = {name: value for value, name in enumerate(space.names, 1)}
    lost = 0
    for entry in entries:
        file = read(str((tmp_path / "out" / entry.sample.sample_id).with_suffix(".json")))
        with Image.open(io.BytesIO(file.image_data)) as picture:
            assert np.array_equal(np.asarray(picture), entry.read_image())
        drawn, _ = draw(SHAPE, file.shapes, names)
        expected = entry.read_label_map().astype(int) + 1
        expected[expected == 256] = 0
        lost += int((drawn != expected).sum())
    said = [note for note in written.notes if note.startswith("labelme draws")]
    assert bool(said) == (lost > 0) and all(f"({lost} pixels in" in note for note in said)
    assert lost == 0 if shape == "mask" else lost < 0.01 * len(entries) * entry.read_image().size


SHAPES: dict[str, list[list[float]]] = {
    "polygon": [[3.7, 2.2], [30.5, -4.0], [45.9, 11.3], [20.0, 22.8], [9.1, 14.0]],
    "rectangle": [[33.6, 20.4], [25.2, 12.9]],
    "oriented_rectangle": [[5.0, 15.5], [12.2, 12.1], [15.8, 19.9], [8.4, 23.3]],
    "circle": [[10.5, 9.5], [16.2, 12.0]],
    "line": [[1.0, 1.0], [38.0, 9.0]],
    "linestrip": [[2.0, 21.0], [18.5, 16.5], [38.0, 22.0]],
    "point": [[34.4, 5.6]],
    "mask": [[20.7, 2.6], [25.7, 6.6]],
}


def test_what_labelme_writes_is_read_as_labelme_draws_it(tmp_path: Path) -> None:
    read, draw = labelmes_own()
    photo = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    stencil = np.random.default_rng(1).random((5, 6)) < 0.6
    encoded = io.BytesIO()
    Image.fromarray(stencil.astype(np.uint8)).save(encoded, format="PNG")
    coded = base64.b64encode(encoded.getvalue()).decode()
    shapes = [
        {
            "label": kind, "points": points, "group_id": number, "description": "", "flags": {},
            "shape_type": kind, "mask": coded if kind == "mask" else None,
        }
        for number, (kind, points) in enumerate(SHAPES.items())
    ]  # fmt: skip
    for number, order in enumerate((shapes, shapes[::-1], [*shapes[4:], *shapes[:4]])):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
        data = (tmp_path / f"{number}.png").read_bytes() if number else None
        read().save(
            str(tmp_path / f"{number}.json"), order, f"{number}.png", *SHAPE, image_data=data
        )
    dataset = open_dataset(tmp_path)
    space = dataset.label_space
    assert dataset.format == "labelme" and space is not None and not dataset.notes
    assert space.names == ["background", *sorted(SHAPES)]
    for sample in dataset.samples:
        assert sample.target_path is not None
        drawn, _ = draw(
            SHAPE,
            read(str(sample.target_path)).shapes,
            {name: value for value, name in enumerate(space.names)},
        )
        assert np.array_equal(dataset.read_target(sample), drawn)
        assert len(np.unique(drawn)) > 5
