"""Label maps that cannot be scored, or say nothing: a plain sentence or null, never a silent 0."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from segstudio.architectures.enet import ENet, ENetOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.preprocessing import Preprocessing

TARGET = (np.arange(20 * 30).reshape(20, 30) // 60).astype(np.uint8)
PREDICTION = np.where(TARGET == 3, 4, TARGET).astype(np.uint8)
Score = Callable[..., Any]


@pytest.fixture
def score(segstudio, tmp_path: Path) -> Score:
    """``score({name: array or bytes}, targets)`` writes two folders and scores them."""

    def put(folder: Path, files: dict[str, Any]) -> Path:
        folder.mkdir()
        for name, content in files.items():
            path = folder / (name if "." in name else f"{name}.png")
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif path.suffix == ".tif":
                tifffile.imwrite(path, content)
            else:
                Image.fromarray(content).save(path)
        return folder

    def score(predictions: dict[str, Any], targets: dict[str, Any], *more: object) -> Any:
        return segstudio(
            "score",
            put(tmp_path / "predictions", predictions),
            put(tmp_path / "targets", targets),
            "--label-space",
            "camvid",
            "--json",
            *more,
        )

    return score


def pooled(outcome: Any) -> dict[str, Any]:
    found: dict[str, Any] = outcome.document()["runs"][0]["pooled"]
    return found


def all_null(entry: dict[str, Any]) -> bool:
    ious = [one["iou"] for one in entry["classes"]]
    whole = [entry[key] for key in ("miou", "pixel_accuracy", "mean_accuracy", "fw_iou", "dice")]
    return all(value is None for value in [*ious, *whole, *entry["miou_interval"]])


RGB = np.stack([PREDICTION] * 3, -1)
NEGATIVE = np.where(PREDICTION == 4, np.int32(-1), PREDICTION.astype(np.int32))


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        ({"x": PREDICTION[1:]}, "is 19 x 30 pixels, but"),
        ({"x": np.where(TARGET == 3, 42, TARGET).astype(np.uint8)}, "the class index 42, but"),
        ({"x.tif": NEGATIVE}, "the class index -1, but"),
        ({"x.tif": PREDICTION.astype(np.int32) + 70_000}, "the class index 7000"),
        ({"x.tif": PREDICTION.astype(np.float32)}, "numbers with fractions, but a label map"),
        ({"x": RGB}, "is a colour image, but a label map stores one class id per pixel"),
        ({"x": b""}, "is empty"),
        ({"x": b"\x89PNG\r\n\x1a\nbroken"}, "cannot be read|not an image"),
        ({"x": PREDICTION, "x.tif": PREDICTION}, "could belong to"),
    ],
)
def test_a_bad_prediction_is_named_and_the_others_count(score: Score, bad, part: str) -> None:
    outcome = score({"good": PREDICTION, **bad}, {"good": TARGET, "x": TARGET})
    assert outcome.status == 1 and "Traceback" not in outcome.err
    document = outcome.document()
    (failed,) = document["failed"]
    assert failed["sample_id"] == "x" and document["samples"] == 1
    assert any(piece in failed["error"] for piece in part.split("|")), failed
    assert "\n" not in failed["error"] and "predictions" in failed["error"]
    assert pooled(outcome)["pixel_accuracy"] == pytest.approx(0.9)


def test_a_bad_target_is_named(score: Score) -> None:
    outcome = score(
        {"a": TARGET, "b": TARGET, "c": TARGET},
        {"a": RGB, "b": np.full_like(TARGET, 200), "c": TARGET, "c.tif": TARGET},
    )
    assert outcome.status == 1
    document = outcome.document()
    errors = {entry["sample_id"]: entry["error"] for entry in document["failed"]}
    assert document["samples"] == 0 and all_null(pooled(outcome))
    assert "colour image" in errors["a"] and "the class index 200" in errors["b"]
    assert "have the same name" in errors["c"]


def test_other_types_of_the_same_numbers_score_the_same(score: Score, tmp_path: Path) -> None:
    void = np.where(TARGET == 2, 65535, TARGET).astype(np.uint16)
    outcome = score(
        {"a.tif": PREDICTION.astype(np.int32), "b.tif": PREDICTION.astype(np.int16)},
        {"a": void, "b": np.where(TARGET == 2, 255, TARGET).astype(np.uint16)},
    )
    assert outcome.status == 0
    document = outcome.document()
    assert np.sum(document["runs"][0]["confusion"]) == 2 * 540
    assert pooled(outcome)["pixel_accuracy"] == pytest.approx(480 / 540)
    assert pooled(outcome)["classes"][2]["iou"] is None


def test_where_nothing_is_labelled_there_is_no_number(score: Score) -> None:
    outcome = score({"x": PREDICTION}, {"x": np.full_like(TARGET, 255)})
    assert outcome.status == 0 and outcome.document()["samples"] == 1
    assert all_null(pooled(outcome))


def test_an_image_without_labels_widens_and_narrows_nothing(score: Score) -> None:
    void = np.full_like(TARGET, 255)
    outcome = score({"x": PREDICTION, "y": PREDICTION}, {"x": TARGET, "y": void})
    found = pooled(outcome)
    assert found["pixel_accuracy"] == pytest.approx(0.9)
    assert found["miou_interval"] == [None, None], "one image says nothing of the spread"


def test_absent_classes_are_null_and_invented_ones_zero(score: Score) -> None:
    prediction = np.zeros_like(TARGET)
    prediction[:, :5] = 1
    outcome = score({"x": prediction}, {"x": np.zeros_like(TARGET)})
    ious = [entry["iou"] for entry in pooled(outcome)["classes"]]
    assert ious == [pytest.approx(25 / 30), 0.0, *[None] * 9]
    assert pooled(outcome)["miou"] == pytest.approx(25 / 60)


def test_a_prediction_that_is_all_ignore_misses_everything(score: Score) -> None:
    found = pooled(score({"x": np.full_like(TARGET, 255)}, {"x": TARGET}))
    assert found["pixel_accuracy"] == 0.0 and found["classes"][0]["precision"] is None


def test_no_images_are_refused(score: Score) -> None:
    outcome = score({}, {})
    assert outcome.status == 2 and "holds no label maps" in outcome.err


def test_a_mapping_to_nothing_is_refused(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    empty = {"name": "nothing", "source": "camvid", "target": "camvid", "classes": {}}
    path.write_text(json.dumps(empty))
    outcome = score({"x": PREDICTION}, {"x": TARGET}, "--mapping", path)
    assert outcome.status == 2 and outcome.out == ""
    assert "leads every class of camvid to ignore" in outcome.err


def test_runs_of_two_label_spaces_are_not_compared(
    segstudio, dataset_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    space = LabelSpace("four", tuple(ClassInfo(k, "abcd"[k], (k, k, k), k) for k in range(4)))
    other = tmp_path / "four.safetensors"
    save_native(
        other,
        NativeCheckpoint("enet", {}, space, Preprocessing(), state_dict_of(ENet(4, ENetOptions()))),
    )
    run = segstudio("run", dataset_folder, "-m", tiny_model, "-m", other, "--limit", "1")
    assert run.status == 0, run.err
    outcome = segstudio("compare", dataset_folder, "tiny", "four", "--json")
    assert outcome.status == 2 and outcome.out == ""
    assert "camvid" in outcome.err and "four" in outcome.err and "--mapping" in outcome.err
