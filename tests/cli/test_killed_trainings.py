"""Trainings that are killed and started again come to the very weights of an unbroken one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
UNET = ("-a", "unet", "--set", "width=4", "--set", "depth=2")
MODES: dict[str, tuple[str, ...]] = {
    "supervised": UNET,
    "ema": (*UNET, "--ema", "0.9", "--optimizer", "adamw", "--schedule", "cosine"),
    "also": (*UNET, "--also", "{also}:weight=0.5", "--copy-paste", "0.5", "--hue", "0.1"),
    "bf16": (*UNET, "--precision", "bf16"),
    "fp16": (*UNET, "--precision", "fp16"),
    "mean-teacher": (*UNET, "--mode", "mean-teacher", "--masks", "2"),
    "gan": (*UNET, "--mode", "gan", "--masks", "2"),
    "decoupled": (
        *("-a", "decouplednet", "--set", "width=2", "--set", "fc_width=4"),
        *("--mode", "decoupled", "--masks", "2"),
    ),
}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset in CamVid's layout: 8 images to learn from, 2 that judge."""
    root = tmp_path_factory.mktemp("streets")
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 2)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for index in range(count):
            blocks = generator.integers(0, 11, (6, 8)).astype(np.uint8)
            label_map = np.kron(blocks, np.ones((8, 8), np.uint8))
            pixels = generator.integers(0, 255, (48, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / split / f"{index}.png")
            Image.fromarray(label_map).save(root / f"{split}annot" / f"{index}.png")
    return root


def start(streets: Path, folder: Path, flags: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a training of some seconds in a process of its own."""
    command = [
        *(sys.executable, "-m", "segstudio", "train", str(streets), "-o", str(folder)),
        *("--epochs", "12", "--batch", "2", "--crop-height", "32", "--crop-width", "32"),
        *("--device", "cpu", "--checkpoint-every", "3", "--validate-every", "4"),
        *(flag.format(also=streets) for flag in flags),
    ]
    if "--precision" not in flags:
        command += ["--precision", "fp32"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def kill_behind_a_checkpoint(process: subprocess.Popen[bytes], state: Path, known: int) -> int:
    """Kill a training as soon as its state is another one; return that state's time."""
    while process.poll() is None:
        changed = state.stat().st_mtime_ns if state.exists() else 0
        if changed > known:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return changed
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
    return -1


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Return nested dictionaries and lists as one dictionary."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{at}/{key}").items()}
    return {at: value}


def assert_same(one: Path, two: Path) -> None:
    """Compare states bit for bit, and the checkpoints as files."""
    states = [flat(torch.load(path / "state.pt", weights_only=True)) for path in (one, two)]
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        other = states[1][key]
        same = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
        assert same, key
    assert any(isinstance(value, torch.Tensor) for value in states[0].values())


@pytest.mark.heavy
@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
@pytest.mark.parametrize("name", MODES)
def test_killed_and_resumed_is_unbroken(streets: Path, tmp_path: Path, name: str) -> None:
    flags = MODES[name]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(streets, whole, flags).wait() == 0
    kills, known = 0, 0
    for _ in range(3):
        known = kill_behind_a_checkpoint(start(streets, broken, flags), broken / "state.pt", known)
        kills += known > 0
    assert kills == 3
    assert torch.load(broken / "state.pt", weights_only=True)["step"] < 12 * 4
    assert start(streets, broken, flags).wait() == 0
    assert_same(whole, broken)


@pytest.mark.heavy
def test_two_trainings_of_one_seed_are_one(streets: Path, tmp_path: Path) -> None:
    """Two minutes each, or what ``SEGSTUDIO_TEST_SECONDS`` says: as many epochs as fit."""
    wanted = float(os.environ.get("SEGSTUDIO_TEST_SECONDS", "120"))
    flags = (*UNET, "--ema", "0.9", "--color-jitter", "0.3")
    started = time.monotonic()
    assert start(streets, tmp_path / "pace", (*flags, "--epochs", "100")).wait() == 0
    # Starting counts into the pace, so that the trainings become rather longer.
    epochs = str(max(100, round(100 * wanted / (time.monotonic() - started))))
    for name in ("one", "two"):
        assert start(streets, tmp_path / name, (*flags, "--epochs", epochs)).wait() == 0
    assert_same(tmp_path / "one", tmp_path / "two")
    other = (*flags, "--epochs", epochs, "--seed", "7")
    process = start(streets, tmp_path / "other", other)
    kill_behind_a_checkpoint(process, tmp_path / "other" / "state.pt", 0)
    early = torch.load(tmp_path / "other" / "state.pt", weights_only=True)
    assert early["identity"] != torch.load(tmp_path / "one" / "state.pt")["identity"]
