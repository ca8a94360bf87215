"""Correct, save, reopen, export, import again: the same array at every station."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox
from segstudio.datasets import large, scratch
from segstudio.datasets.opening import open_dataset
from segstudio.editing.driver import StrokeDriver, Surroundings
from segstudio.editing.tool import TOOLS
from segstudio.exporters.base import EXPORTERS, ExportItem
from segstudio.session.corrections import GROUND_TRUTH, Correction
from segstudio.session.session import Session
from segstudio.session.settings import Settings

HEIGHT, WIDTH = 211, 317
FORMATS = ("voc", "coco-rle")
"""Exports that are datasets by themselves, beside the index PNG."""

STROKES = (
    ("brush", [(20.0, 30.0), (90.5, 200.2)], 3),
    ("polygon", [(100.0, 20.0), (190.0, 60.0), (120.0, 150.0)], 5),
    ("rectangle", [(5.0, 250.0), (60.0, 300.0)], 255),
    ("fill", [(150.0, 250.0)], 7),
    ("lasso", [(60.0, 60.0), (60.0, 180.0), (140.0, 120.0)], 1),
    ("eraser", [(70.0, 80.0), (75.0, 110.0)], 1),
    ("replace", [(205.0, 310.0)], 9),
)


def _space(wide: bool) -> LabelSpace:
    data = load_label_space("camvid").to_json()
    data["ignore_ids"] = [255]
    if wide:
        data["name"] = "many"
        first = data["classes"][0]
        data["classes"] = [
            {**first, "name": f"class {number}", "id": number} for number in range(300)
        ]
        data["ignore_ids"] = [65535]
    return LabelSpace.from_json(data)


def _dataset(root: Path, space: LabelSpace) -> None:
    rng = np.random.default_rng(4)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        blocks = rng.integers(0, len(space), (HEIGHT // 8 + 1, WIDTH // 8 + 1))
        target = np.kron(blocks, np.ones((8, 8), int))[:HEIGHT, :WIDTH].astype(space.dtype)
        image = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), target)
    (root / "label_space.json").write_text(json.dumps(space.to_json()))


def _paint(correction: Correction) -> NDArray[np.integer]:
    document = correction.document
    for name, points, label in STROKES:
        tool = TOOLS.get(name)()
        active = document.ignore_index if label == 255 else label
        if name in ("fill", "replace"):
            active = (int(document.label_map[int(points[0][0]), int(points[0][1])]) + 1) % 11
        driver = StrokeDriver(
            document,
            tool,
            active_class=active,
            surroundings=Surroundings(correction.source_map, region=BBox(0, 0, 100, 100)),
        )
        kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(points) - 1), PointerKind.RELEASE]
        events = [
            PointerEvent(kind, *point)
            for kind, point in zip(kinds, [*points, points[-1]], strict=True)
        ]
        if tool.is_slow(tool.Options()):
            assert driver.paint(driver.find(events)) is not None, name
        else:
            assert [driver.handle(event) for event in events][-1] is not None, name
    document.undo()
    document.undo()
    document.redo()
    return np.array(document.label_map)


def _reopened_elsewhere(
    name: str,
    items: Iterable[ExportItem],
    space: LabelSpace,
    folder: Path,
    expected: list[NDArray[np.integer]],
) -> None:
    """Export with photographs, open that folder as a dataset, and compare every array."""
    if name == "voc" and len(space) > 255:
        return  # refuses what its palette cannot hold
    exporter, target = EXPORTERS.get(name)(), folder / name
    options = exporter.Options(images="copy")
    exporter.write(items, target, label_space=space, options=options)
    dataset = open_dataset(target)
    there = dataset.label_space
    # COCO has no value for pixels of no class: those that nothing annotates are its background.
    assert there is not None and set(there.names) - {"background"} == set(space.names), name
    place = np.full(int(np.iinfo(there.dtype).max) + 1, space.ignore_index, space.dtype)
    for index, title in enumerate(there.names):
        if title in space.names:
            place[index] = space.names.index(title)
    assert len(dataset.samples) == len(expected)
    for sample, label_map in zip(dataset.samples, expected, strict=True):
        np.testing.assert_array_equal(place[dataset.read_target(sample)], label_map, name)


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "in files"])
def test_the_array_is_the_same_at_every_station(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "in files":
        monkeypatch.setenv("SEGSTUDIO_SCRATCH", str(tmp_path / "scratch"))
        for module in (scratch, large):
            monkeypatch.setattr(module, "LARGE_PIXELS", 1000)
        monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    root, space = tmp_path / "data", _space(kind == "16 bits")
    _dataset(root, space)
    settings = Settings(tmp_path / "settings.json")
    corrected: dict[str, NDArray[np.integer]] = {}

    session = Session(settings)
    session.open_dataset(root)
    ids = [sample.sample_id for sample in session.dataset.samples]
    for sample_id in ids:
        correction = session.open_correction(sample_id, source=GROUND_TRUTH)
        corrected[sample_id] = _paint(correction)
        assert scratch.is_mapped(correction.document.label_map) == (kind == "in files")
        assert correction.live is not None
        np.testing.assert_array_equal(correction.live.confusion, correction.live.recount())
        session.save_correction(sample_id)
    session.close()

    session = Session(settings)
    session.open_dataset(root)
    for sample_id, expected in corrected.items():
        reopened = session.open_correction(sample_id, source=GROUND_TRUTH)
        assert reopened.recovered_strokes == 0 and not reopened.document.is_dirty
        np.testing.assert_array_equal(reopened.document.label_map, expected)
        session.corrections.release(sample_id)
    target = tmp_path / "exported"
    items, space = session.export_items("corrections")
    EXPORTERS.get("index-png")().write(items, target, label_space=space)
    for name in () if kind == "in files" else FORMATS:
        _reopened_elsewhere(name, items, space, tmp_path, list(corrected.values()))
    session.close()

    session = Session(settings)
    names = sorted(path for path in target.rglob("*.png"))
    assert len(names) == len(ids)
    again = session.open_dataset(
        root, ground_truth=names[0].parent, label_space=space, project=tmp_path / "again"
    )
    for sample in again.samples:
        found = again.read_target(sample)
        np.testing.assert_array_equal(found, corrected[sample.sample_id])
    session.close()
