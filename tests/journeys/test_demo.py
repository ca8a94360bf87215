"""The demo without a window, as a machine without a display runs it."""

from __future__ import annotations

import functools
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.cli.app import main
from segstudio.scenes import demo
from segstudio.scenes.out_of_distribution import OUT_OF_DISTRIBUTION


@pytest.fixture(autouse=True)
def _two_scenes(monkeypatch):
    monkeypatch.setattr(demo, "write_demo", functools.partial(demo.write_demo, scenes=2))
    monkeypatch.setattr(demo, "OUT_OF_DISTRIBUTION", OUT_OF_DISTRIBUTION[:2])


def finished(output: Path) -> dict[str, float]:
    database = output / ".segstudio" / "project.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT sample_id, finished FROM results").fetchall())


def test_headless_demo_writes_figures_and_scores_and_says_where(tmp_path, capsys):
    output = tmp_path / "demo"
    assert main(["demo", "--headless", "-o", str(output)]) == 0
    said = capsys.readouterr()
    names = ["scene_000", "scene_001", *(f"unseen_{name}" for name in OUT_OF_DISTRIBUTION[:2])]
    figures = {path.name for path in (output / "figures").iterdir()}
    assert figures == {f"{name}-enet-camvid.png" for name in names}
    for name in figures:
        with Image.open(output / "figures" / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 300
        assert len(np.unique(pixels[::4, ::4].reshape(-1, 3), axis=0)) > 500
    scores = output / "scores"
    assert {path.name for path in scores.iterdir()} == {
        "report.json",
        "classes.csv",
        "samples.csv",
        "confusion.csv",
    }
    report = json.loads((scores / "report.json").read_text())
    assert (report["samples"], report["failed"]) == (2, [])
    assert f"4 figures: {output / 'figures'}" in said.out
    assert f"scores: {scores}" in said.out
    assert f"mIoU {100 * report['runs'][0]['pooled']['miou']:.2f} %" in said.out
    before = finished(output)
    assert len(before) == 4

    # Again: the figures are there again, nothing is predicted again.
    for path in (output / "figures").iterdir():
        path.unlink()
    assert main(["demo", "--headless", "-o", str(output)]) == 0
    assert finished(output) == before
    assert {path.name for path in (output / "figures").iterdir()} == figures


def test_demo_without_a_display_says_so_and_works_headless(tmp_path, capsys, monkeypatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere there is always a display")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)

    def open_window(*arguments: object) -> int:
        raise AssertionError("no window may be opened")

    assert main(["demo", "-o", str(tmp_path / "demo")], open_window=open_window) == 0
    assert "no display" in capsys.readouterr().err
    assert len(list((tmp_path / "demo" / "figures").iterdir())) == 4


def test_demo_with_a_display_opens_the_window_on_its_images(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    opened = []

    def open_window(path, screenshot, run):
        opened.append((path, screenshot, tuple(run)))
        return 0

    output = tmp_path / "demo"
    assert main(["demo", "-o", str(output)], open_window=open_window) == 0
    assert opened == [(output, None, ("enet-camvid",))]
    assert len(list((output / "images").iterdir())) == 4
    assert not (output / "figures").exists()
