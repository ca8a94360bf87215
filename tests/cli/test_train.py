"""``segstudio train`` and ``finetune``: what they refuse, and a training of seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.checkpoints.native import load_native

Command = Callable[..., Any]
FAST = (
    *("--epochs", "1", "--batch", "2", "--crop-height", "32", "--crop-width", "32"),
    *("--device", "cpu", "--precision", "fp32", "-a", "unet", "--set", "width=4"),
)


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Return a dataset of six images in CamVid's layout, and one folder of unlabelled ones."""
    root = tmp_path / "streets"
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for index in range(count):
            label_map = np.kron(
                generator.integers(0, 11, (4, 5)).astype(np.uint8), np.ones((8, 8), np.uint8)
            )
            pixels = generator.integers(0, 255, (32, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / split / f"{index}.png")
            Image.fromarray(label_map).save(root / f"{split}annot" / f"{index}.png")
    return root


def test_a_training_says_what_it_did(segstudio: Command, streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outcome = segstudio("train", streets, "-o", folder, *FAST)
    assert outcome.status == 0 and outcome.out.strip() == str(folder / "best.safetensors")
    checkpoint = load_native(folder / "best.safetensors")
    assert checkpoint is not None
    recipe = checkpoint.card["recipe"]
    assert (recipe["optimizer"], recipe["schedule"], recipe["power"]) == ("sgd", "poly", 0.9)
    assert (recipe["scale_minimum"], recipe["scale_maximum"]) == (0.5, 2.0)
    names = {path.name for path in folder.iterdir()}
    assert {"log.jsonl", "state.pt", "progress.png"} <= names
    other = segstudio("train", streets, "-o", folder, *FAST, "--hue", "0.1").complaint()
    assert "hue was the default, is 0.1" in other


def test_a_recipe_gives_way_to_flags(segstudio: Command, streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ("--recipe", "adamw", "--warmup", "1")
    assert segstudio("train", streets, "-o", folder, *FAST, *flags).status == 0
    checkpoint = load_native(folder / "best.safetensors")
    assert checkpoint is not None
    recipe = checkpoint.card["recipe"]
    assert (recipe["optimizer"], recipe["schedule"], recipe["warmup"]) == ("adamw", "cosine", 1)


def test_masks_are_kept_back_for_a_semi_supervised_mode(
    segstudio: Command, streets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    flags = ("--mode", "mean-teacher", "--masks", "2", "--also", f"{streets}:split=val,weight=0.5")
    assert segstudio("train", streets, "-o", folder, *FAST, *flags).status == 0
    checkpoint = load_native(folder / "best.safetensors")
    assert checkpoint is not None
    assert checkpoint.card["mode"] == "mean-teacher" and checkpoint.card["samples"] == [2, 2]


def test_a_network_learns_from_a_teacher(segstudio: Command, streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    flags = ("--teacher", "enet-camvid", "--distillation", "0.7")
    assert segstudio("train", streets, "-o", folder, *FAST, *flags).status == 0
    checkpoint = load_native(folder / "best.safetensors")
    assert checkpoint is not None
    assert (checkpoint.card["mode"], checkpoint.card["teacher"]) == ("distillation", "enet-camvid")
    assert checkpoint.card["recipe"]["distillation"] == 0.7


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--recipe", "best"), "There is no recipe 'best'"),
        (("--mode", "magic"), "A mode of training is supervised"),
        (("--mode", "gan"), "needs unlabelled images"),
        (("--unlabelled", "."), "--unlabelled needs --mode"),
        (("--mode", "distillation"), "needs a --teacher"),
        (
            ("--mode", "gan", "--masks", "2", "--teacher", "x"),
            "--teacher goes with --mode distillation",
        ),
        (("--teacher", "nothing"), "nothing"),
        (("--also", "nowhere"), "nowhere"),
        (("--also", "{streets}:weight=many"), "A weight is a number"),
        (("--also", "{streets}:mapping=coco-to-camvid"), "leads from coco"),
        (("--init", "a", "--encoder-weights", "b"), "name one"),
        (("--mean", "1,2"), "--mean takes three numbers of 0 to 255"),
        (("--std", "1,2,nan"), "--std takes three numbers of 0 to 255"),
        (("--std", "1,0,2"), "above 0"),
    ],
)
def test_senseless_arguments_are_one_sentence(
    segstudio: Command, streets: Path, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    given = [flag.format(streets=streets) for flag in flags]
    line = segstudio("train", streets, "-o", tmp_path / "run", *FAST, *given).complaint()
    assert words in line


def test_the_normalisation_is_the_weights_own_or_what_is_named(
    segstudio: Command, streets: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    flags = ("--mean", "127.5", "--std", "120,125,130")
    assert segstudio("train", streets, "-o", first, *FAST, *flags).status == 0

    def kept(folder: Path) -> Any:
        checkpoint = load_native(folder / "best.safetensors")
        assert checkpoint is not None
        return checkpoint.preprocessing

    assert kept(first).mean == (127.5,) * 3 and kept(first).std == (120.0, 125.0, 130.0)
    other = segstudio("train", streets, "-o", first, *FAST, "--mean", "127.5").complaint()
    assert "std was [120.0, 125.0, 130.0], is the default" in other
    begun = ("--init", first / "best.safetensors", "--std", "99")
    assert segstudio("train", streets, "-o", second, *FAST, *begun).status == 0
    assert kept(second).mean == (127.5,) * 3 and kept(second).std == (99.0,) * 3


def test_finetune_needs_corrections(segstudio: Command, streets: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.safetensors"
    line = segstudio("finetune", streets, "-m", "enet-camvid", "-o", output).complaint()
    assert "There is no project" in line
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store

    (streets / ".segstudio").mkdir()
    Store(ProjectLayout(streets / ".segstudio").database).close()
    line = segstudio("finetune", streets, "-m", "enet-camvid", "-o", output).complaint()
    assert "There are 0 corrected or checked images" in line
    line = segstudio("finetune", streets, "-m", "no-such", "-o", output).complaint()
    assert "no-such" in line
    assert not output.exists()
