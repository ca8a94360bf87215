"""A program that is killed anywhere loses no finished stroke and leaves no half of a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")


def _killed(dataset_folder: Path, kills: int, seed: int) -> dict[str, object]:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("kill_points.py"),
            dataset_folder,
            str(kills),
            str(seed),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    print(found)  # noqa: T201 - the measured figures
    return found


def _check(found: dict[str, object]) -> None:
    assert found["lost"] == 0
    assert found["broken_files"] == []
    assert found["bad_cuts"] == 0
    assert found["cuts"]


def test_twenty_kills(dataset_folder: Path) -> None:
    found = _killed(dataset_folder, 20, seed=5)
    assert found["finished_strokes"] > 20
    _check(found)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(100, 110))
def test_a_thousand_kills(dataset_folder: Path, seed: int) -> None:
    found = _killed(dataset_folder, 100, seed)
    assert found["finished_strokes"] > 100
    _check(found)
