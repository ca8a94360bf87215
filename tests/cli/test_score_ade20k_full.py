"""Predictions in all object classes of ADE20K, scored in the benchmark's 150."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segstudio.core.label_space import load_label_space


def test_the_full_ade20k_is_scored_as_the_benchmark(segstudio: Any, tmp_path: Path) -> None:
    target_space = load_label_space("ade20k")
    ids = np.repeat(np.array([[2978, 774, 783, 2420]], np.uint16), 5, axis=1)
    names = np.repeat(np.array([["wall", "door", "door", "tree"]]), 5, axis=1)
    targets = np.vectorize(lambda name: target_space.find(name).index)(names).astype(np.uint8)
    for folder, values in (("found", ids - np.uint16(1)), ("wanted", targets)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), values)
    command = ["score", tmp_path / "found", tmp_path / "wanted", "--label-space", "ade20k"]
    outcome = segstudio(*command, "--mapping", "ade20k-full-to-ade20k", "--json")
    assert outcome.status == 0, outcome.err
    (run,) = outcome.document()["runs"]
    ious = {entry["name"]: entry["iou"] for entry in run["pooled"]["classes"]}
    assert {name: iou for name, iou in ious.items() if iou is not None} == {
        "wall": 1.0,
        "door": 1.0,
        "tree": 0.0,
        "sky": 0.0,
    }
