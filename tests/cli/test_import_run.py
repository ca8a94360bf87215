"""``segstudio import-run`` and what other commands make of its runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def test_predictions_are_scored_listed_compared_and_exported(
    segstudio: Any, dataset_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset_folder / "masks", tmp_path / "perfect")
    shutil.copytree(dataset_folder / "masks", tmp_path / "zeros")
    for path in (tmp_path / "zeros").iterdir():
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(path)
    for name in ("perfect", "zeros"):
        outcome = segstudio("import-run", dataset_folder, tmp_path / name)
        assert outcome.status == 0 and f"6 predictions in the run {name}" in outcome.out
        assert "no entropy or confidence" in outcome.err
    listed = json.loads(segstudio("list", "runs", dataset_folder, "--json").out)
    assert [entry["name"] for entry in listed] == ["perfect", "zeros"]
    document = segstudio("evaluate", dataset_folder, "--json").document()
    first, second = document["runs"]
    assert first["pooled"]["miou"] == 1.0 and "uncertainty" not in first
    assert second["pooled"]["miou"] < 0.3
    table = segstudio("evaluate", dataset_folder, "--report", tmp_path / "report")
    assert table.status == 0 and "entropy finds errors" not in table.out
    compared = segstudio("compare", dataset_folder / ".segstudio", "perfect", "zeros", "--json")
    assert compared.status == 0, compared.err
    out = tmp_path / "out"
    assert not segstudio(
        "export", dataset_folder, "--format", "index-png", "-o", out, "--what", "prediction:perfect"
    ).status
    assert len(list(out.rglob("*.png"))) == 6


def test_what_cannot_be_used_is_one_sentence(
    segstudio: Any, dataset_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert "no folder or file" in segstudio("import-run", dataset_folder, "nowhere").complaint()
    assert "named like" in segstudio("import-run", dataset_folder, tmp_path / "empty").complaint()
    shutil.copytree(dataset_folder / "masks", tmp_path / "some")
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(tmp_path / "some" / "00.png")
    outcome = segstudio("import-run", dataset_folder, tmp_path / "some", "--name", "mine")
    assert outcome.status == 1 and "images/00.png failed: " in outcome.err
    assert "5 predictions in the run mine" in outcome.out


def test_a_parquet_folder_and_a_video_are_exported_and_imported(
    segstudio: Any, tmp_path: Path
) -> None:
    """Samples inside files go through the commands like any others."""
    import cv2

    film = tmp_path / "film"
    film.mkdir()
    writer = cv2.VideoWriter(str(film / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for value in range(6):
        writer.write(np.full((48, 64, 3), 40 * value, np.uint8))
    writer.release()
    maps = tmp_path / "maps" / "clip.avi"
    maps.mkdir(parents=True)
    for number in range(0, 6, 2):
        Image.fromarray(np.full((48, 64), number, np.uint8)).save(maps / f"{number:06}.png")
    options = ("--format", "video:every=2", "--predictions-label-space", "camvid")
    outcome = segstudio("import-run", film, tmp_path / "maps", *options)
    assert outcome.status == 0 and "3 predictions" in outcome.out, outcome.err
    again = segstudio("export", film, "--format", "overlay-png", "-o", tmp_path / "out",
                      "--what", "prediction:maps")  # fmt: skip
    assert again.status == 0, again.err
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3
