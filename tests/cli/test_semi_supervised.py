"""The comparison of the semi-supervised modes goes on where it was, and tells what it found."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "semi_supervised.py"
Command = Callable[..., Any]


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Return images of 64 x 80 pixels with masks, in CamVid's layout."""
    root = tmp_path / "streets"
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for index in range(count):
            blocks = generator.integers(0, 11, (4, 5)).astype(np.uint8)
            label_map = np.kron(blocks, np.ones((16, 16), np.uint8))
            pixels = generator.integers(0, 255, (64, 80, 3)).astype(np.uint8)
            cv2.imwrite(str(root / split / f"{index}.jpg"), pixels)
            cv2.imwrite(str(root / f"{split}annot" / f"{index}.png"), label_map)
    return root


@pytest.fixture
def script(segstudio: Command, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script; its trainings run in this process and are noted in ``started``."""
    spec = importlib.util.spec_from_file_location("semi_supervised", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.started = []  # type: ignore[attr-defined]

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        module.started.append(command[command.index("--mode") + 1])  # type: ignore[attr-defined]
        done = segstudio(*command[3:])
        assert done.status == 0, done.err
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=run))
    return module


def test_modes_are_trained_one_by_one_and_compared(
    script: ModuleType, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    common = [str(streets), "-o", str(output), "--epochs", "1", "--masks", "2", "--batch", "3"]
    common += ["--crop", "32", "32"]
    assert script.main([*common, "--only", "mean-teacher"]) == 0
    (only,) = json.loads((output / "results.json").read_text())["results"]
    assert only["mode"] == "mean-teacher" and "difference" not in only
    assert only["processor_seconds"] >= 0 and only["images"] == 2
    small = cv2.imread(str(output / "images" / "train" / "0.png"))
    assert small.shape == (32, 40, 3)
    assert len(list((output / "images" / "valannot").iterdir())) == 2
    capsys.readouterr()
    assert script.main([*common, "--only", "supervised"]) == 0
    first, second = json.loads((output / "results.json").read_text())["results"]
    assert (first["name"], second["name"]) == ("supervised", "mean-teacher")
    gain = second["val_miou"] - first["val_miou"]
    assert second["difference"] == pytest.approx(gain) and second["baseline"] == "supervised"
    low, high = second["interval"]
    assert low <= high
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["mode", "supervised", "mean-teacher"]
    assert f"{100 * gain:+.2f}" in rows[2] and f"{100 * first['val_miou']:.2f}" in rows[1]
    # A training that was killed has no time of its own, and is not counted before it is over.
    (output / "supervised" / "times.json").unlink()
    shutil.rmtree(output / "mean-teacher")
    assert script.main([*common, "--only", "supervised"]) == 0
    (again,) = json.loads((output / "results.json").read_text())["results"]
    assert again["processor_seconds"] is None and again["val_miou"] == first["val_miou"]
    assert script.started == ["mean-teacher", "supervised", "supervised"]
