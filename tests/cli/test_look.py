"""``segstudio look``: pictures, numbers, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from segstudio.architectures._base import ARCHITECTURES
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import load_label_space
from segstudio.core.options import options_to_json
from segstudio.core.preprocessing import Preprocessing

HEIGHT, WIDTH = 60, 90


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Segmenter with random weights."""
    page = ARCHITECTURES.get("segmenter")
    torch.manual_seed(1)
    network = page(11, page.Options(**page.smallest))
    path = tmp_path_factory.mktemp("vit") / "seg.safetensors"
    options = options_to_json(network.options)
    space = load_label_space("camvid")
    weights = state_dict_of(network)
    save_native(path, NativeCheckpoint("segmenter", options, space, Preprocessing(), weights))
    return path


def test_a_table_without_output(
    segstudio: Callable[..., Any], image: Path, segmenter: Path
) -> None:
    before = set(image.parent.iterdir())
    done = segstudio("look", image, "-m", segmenter)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == (
        "mean attention distance in pixels of the network's input (60 x 90 in one pass)"
    )
    assert lines[1].split("  ")[0] == "layer"
    assert lines[1].split()[-5:] == ["nearest", "head", "mean", "farthest", "head"]
    assert [line.split()[1] for line in lines[3:6]] == [
        "encoder.blocks.0", "encoder.blocks.1", "head.blocks.0"
    ]  # fmt: skip
    assert all(0 < float(value) < 108 for line in lines[3:6] for value in line.split()[3:])
    assert "patch at row 30, column 45" in done.out
    assert "mask transformer" in done.out
    assert set(image.parent.iterdir()) == before


def test_pictures_and_numbers(
    segstudio: Callable[..., Any], image: Path, segmenter: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "out"
    pixel = ("--row", 0, "--column", 89)
    flags = ("--layer", 0, "--head", 2, "-o", folder, "--json")
    done = segstudio("look", image, "-m", segmenter, *pixel, *flags)
    assert done.status == 0
    found = done.document()
    assert json.loads((folder / "look.json").read_text()) == found
    assert sorted(found["files"]) == sorted(path.name for path in folder.iterdir())
    attention = found["attention"]
    assert (attention["layer"], attention["name"], attention["head"]) == (0, "encoder.blocks.0", 2)
    assert (attention["pixel"], attention["cell"], attention["grid"]) == ([0, 89], [0, 5], [4, 6])
    assert (attention["patch"], attention["seen"]) == ([0, 80, 16, 90], [0, 0, HEIGHT, WIDTH])
    assert 0 < attention["elsewhere"] < 1
    assert [len(entry["heads"]) for entry in found["distances"]["layers"]] == [3, 3, 3]
    assert len(found["probabilities"]) == 11
    assert sum(entry["mean"] for entry in found["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert [entry["name"] for entry in found["embeddings"]["points"]][:2] == ["Sky", "Building"]
    assert sum(name.startswith("probability-") for name in found["files"]) == 11
    for name in found["files"]:
        if name.endswith(".png"):
            assert cv2.imread(str(folder / name)).shape == (HEIGHT, WIDTH, 3), name
    marked = cv2.imread(str(folder / "attention.png"))
    assert tuple(marked[0, 89]) == tuple(marked[0, 80]) == (255, 255, 0)  # cyan in BGR
    assert tuple(marked[0, 79]) != (255, 255, 0)
    # The mean of the heads, asked for by its name or not at all.
    last = segstudio("look", image, "-m", segmenter, "--head", "mean", "--json").document()
    assert last == segstudio("look", image, "-m", segmenter, "--json").document()
    assert (last["attention"]["head"], last["attention"]["layer"]) == ("mean", 2)
    assert last["files"] == []


def test_a_network_without_attention(
    segstudio: Callable[..., Any], image: Path, tiny_model: Path, tmp_path: Path
) -> None:
    done = segstudio("look", image, "-m", tiny_model, "-o", tmp_path / "out")
    assert done.status == 0
    assert "no attention layers" in done.out
    assert done.err.count("\n") == 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"features-0-initial.png", "features-5-stage3.png", "look.json"} <= names
    assert not any(name.startswith("attention") for name in names)
    numbers = json.loads((tmp_path / "out" / "look.json").read_text())
    assert numbers["attention"] is numbers["distances"] is numbers["embeddings"] is None
    assert [stage["stride"] for stage in numbers["features"]] == [2, 4, 4, 8, 8, 8]
    line = segstudio("look", image, "-m", tiny_model, "--layer", 0).complaint()
    assert "has no attention layers that can be read; look at its class probabilities" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--row", 3), "needs both --row and --column"),
        (("--row", 60, "--column", 0), "outside the image of 60 x 90 pixels"),
        (("--layer", 3), "no attention layer 3; the model has 3"),
        (("--head", 3), "no head 3"),
        (("--head", "all"), "a number from 0, or mean, not 'all'"),
        (("--head", "-1"), "a number from 0, or mean"),
        (("--window", "5"), "window"),
    ],
)
def test_what_it_refuses(
    segstudio: Callable[..., Any],
    image: Path,
    segmenter: Path,
    flags: tuple[object, ...],
    message: str,
) -> None:
    assert message in segstudio("look", image, "-m", segmenter, *flags).complaint()


def test_missing_files(
    segstudio: Callable[..., Any], image: Path, segmenter: Path, tmp_path: Path
) -> None:
    absent = tmp_path / "absent.jpg"
    assert str(absent) in segstudio("look", absent, "-m", segmenter).complaint()
    assert "absent" in segstudio("look", image, "-m", tmp_path / "absent.pth").complaint()
    assert "--model" in segstudio("look", image).complaint()
    blocked = segstudio("look", image, "-m", segmenter, "-o", image / "out")
    assert blocked.status == 2
    assert blocked.err.count("\n") == 1
    assert "Cannot write" in blocked.err
