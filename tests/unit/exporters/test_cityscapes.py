"""Cityscapes' label images, scored by its own scripts and opened by our reader."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.opening import open_dataset
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import iou, mean_iou

SPACE = load_label_space("cityscapes")
NAMES = ["berlin_000000_000019", "berlin_000001_000019", "ulm_000094_000019"]


@pytest.fixture
def scripts() -> ModuleType:
    # Not in the test extra: it asks for the backport "typing" of a module that Python has.
    return pytest.importorskip(
        "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling",
        reason="pip install --no-deps cityscapesScripts pyquaternion",
    )


@pytest.fixture
def maps(make_map: Callable) -> dict[str, np.ndarray]:
    return {name: make_map(n, 19, 40, 60) for n, name in enumerate(NAMES)}


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_cityscapes_scripts_give_our_own_iou(
    scripts: ModuleType,
    maps: dict[str, np.ndarray],
    make_map: Callable,
    make_item: Callable,
    run_export: Callable,
    tmp_path: Path,
) -> None:
    predictions = {}
    for n, (name, target) in enumerate(maps.items()):
        chosen = np.where(make_map(n + 20, 2, 40, 60) == 0, make_map(n + 40, 19, 40, 60), target)
        chosen[chosen == 255] = 3
        predictions[name] = chosen
    targets = run_export(
        "cityscapes",
        [make_item(f"{n}_leftImg8bit.png", m, split="val") for n, m in maps.items()],
        SPACE,
        to=tmp_path / "truth",
        layout="dataset",
    )
    results = run_export(
        "cityscapes",
        [make_item(f"{n}_leftImg8bit.png", m) for n, m in predictions.items()],
        SPACE,
        to=tmp_path / "results",
    )
    assert results.notes == [] and targets.notes == []
    truth = [
        str(targets.folder / "gtFine" / "val" / name.partition("_")[0])
        + f"/{name}_gtFine_labelIds.png"
        for name in NAMES
    ]
    args = copy.copy(scripts.args)
    args.predictionPath, args.predictionWalk = str(results.folder), None
    args.evalInstLevelScore, args.JSONOutput, args.quiet = False, False, True
    found = [scripts.getPrediction(args, path) for path in truth]
    theirs = scripts.evaluateImgLists(found, truth, args)

    confusion = sum(confusion_matrix(maps[name], predictions[name], 19) for name in NAMES)
    ours = dict(zip(SPACE.names, iou(confusion), strict=True))
    for name, score in ours.items():
        assert theirs["classScores"][name] == pytest.approx(score, abs=1e-12, nan_ok=True), name
    assert 0.2 < theirs["averageScoreClasses"] < 0.9
    assert theirs["averageScoreClasses"] == pytest.approx(mean_iou(confusion), abs=1e-12)


def test_label_ids_and_names(
    maps: dict[str, np.ndarray], make_item: Callable, run_export: Callable
) -> None:
    out = run_export(
        "cityscapes",
        [make_item(f"val/berlin/{n}_leftImg8bit.png", m) for n, m in maps.items()],
        SPACE,
    )
    assert out.places() == sorted(
        ["label_space.json", *(f"{name}_pred_labelIds.png" for name in NAMES)]
    )
    for name, label_map in maps.items():
        ids = read(out.folder / f"{name}_pred_labelIds.png")
        assert ids.dtype == np.uint8
        for index, entry in enumerate(SPACE.classes):
            assert (ids[label_map == index] == entry.source_id).all()
        assert (ids[label_map == 255] == 0).all()


def test_other_names_and_other_classes_are_told(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    out = run_export(
        "cityscapes", [make_item("a/1.png", make_map(1, 11))], load_label_space("camvid")
    )
    assert "label_space.json" in out.places() and "1_pred_labelIds.png" in out.places()
    assert len(out.notes) == 2
    assert "camvid" in out.notes[0] and "other classes" in out.notes[0]
    assert "CITY_SEQUENCE_FRAME" in out.notes[1] and "(1 sample)" in out.notes[1]


def test_ids_beyond_8_bits_are_refused(make_item: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json({"name": "far", "classes": [{"name": "x", "id": 300}]})
    with pytest.raises(UsageError, match="ids up to 300"):
        run_export("cityscapes", [make_item("1.png", np.zeros((2, 2), np.uint8))], space)


def test_in_out_in(maps: dict[str, np.ndarray], make_item: Callable, run_export: Callable) -> None:
    items = [make_item(f"{n}_leftImg8bit.png", m, split="train") for n, m in maps.items()]
    out = run_export("cityscapes", items, SPACE, layout="dataset", images="copy")
    again = open_dataset(out.folder)
    assert again.format == "cityscapes" and len(again) == 3 and again.splits == ("train",)
    for sample in again.samples:
        name = Path(sample.sample_id).name.removesuffix("_leftImg8bit.png")
        assert np.array_equal(again.read_target(sample), maps[name])
