"""The published numbers, computed a second time without a line of the product."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.cli.app import main
from segstudio.scenes.demo import write_demo


def independent_miou(pairs: Mapping[Path, Path], classes: int, ignored: int) -> tuple[float, int]:
    """Return pooled mean IoU and the number of labelled pixels; keys are targets."""
    inter, union, labelled = np.zeros(classes), np.zeros(classes), 0
    for target_path, prediction_path in pairs.items():
        target, prediction = (np.array(Image.open(p)) for p in (target_path, prediction_path))
        known = target != ignored
        labelled += int(known.sum())
        for index in range(classes):
            is_target, is_predicted = (target == index) & known, (prediction == index) & known
            inter[index] += (is_target & is_predicted).sum()
            union[index] += (is_target | is_predicted).sum()
    return float(np.mean(inter[union > 0] / union[union > 0])), labelled


def evaluate(*arguments: object) -> Any:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(out.getvalue())


def test_demo_scenes_score_what_plain_numpy_says(tmp_path):
    dataset = write_demo(tmp_path / "demo", scenes=3)
    # The photographs of something else have no masks and do not count.
    document = evaluate(dataset, "-m", "enet-camvid")
    assert document["samples"] == 3
    labels = dataset / ".segstudio/runs/enet-camvid/labels/images"
    pairs = {
        dataset / "masks" / f"scene_{n:03}.png": labels / f"scene_{n:03}.jpg.png" for n in range(3)
    }
    miou, labelled = independent_miou(pairs, 11, 255)
    (run,) = document["runs"]
    assert run["pooled"]["miou"] == pytest.approx(miou, abs=1e-9)
    assert np.sum(run["confusion"]) == labelled
    # Chance is about 0.02: the network was trained on scenes of this kind.
    assert miou > 0.3
    for number, entry in enumerate(run["per_sample"]):
        assert entry["sample_id"] == f"images/scene_{number:03}.jpg"
        own = dict([list(pairs.items())[number]])
        assert entry["miou"] == pytest.approx(independent_miou(own, 11, 255)[0], abs=1e-9)


@pytest.mark.heavy
def test_embedded_enet_on_camvid(shared, tmp_path):
    root, project = shared / "camvid", tmp_path / "project"
    arguments = ("--split", "test", "-m", "enet-camvid", "--project", project)
    document = evaluate(root, *arguments)
    assert document["samples"] == 233
    labels = project / "runs/enet-camvid/labels/test"
    pairs = {
        path: labels / f"{path.name}.png" for path in sorted((root / "testannot").glob("*.png"))
    }
    assert len(pairs) == 233
    miou, labelled = independent_miou(pairs, 11, 11)
    (run,) = document["runs"]
    assert run["pooled"]["miou"] == pytest.approx(miou, abs=1e-9)
    assert np.sum(run["confusion"]) == labelled
    assert miou >= 0.513
