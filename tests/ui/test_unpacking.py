"""A very large image: what is told while it is unpacked, and how that is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QPushButton

from segstudio.datasets import large, scratch
from segstudio.ui.app import Application

TIMEOUT = 20_000
pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: strips
FIRST, SECOND = "images/0.png", "images/1.png"


class _Gate:
    """Holds each unpacking back at every band of rows, until it is let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gates: list[threading.Semaphore] = []
        self.all_open = False
        fill = large._fill

        def held(folder, dtype, shapes, bands, progress) -> None:
            gate = threading.Semaphore(1000 if self.all_open else 0)
            self.gates.append(gate)

            def slowly():
                for band in bands:
                    for top in range(0, len(band), 8):
                        assert gate.acquire(timeout=60)
                        yield band[top : top + 8]

            fill(folder, dtype, shapes, slowly(), progress)

        monkeypatch.setattr(large, "_fill", held)

    def has(self, number: int) -> Callable[[], bool]:
        return lambda: len(self.gates) > number

    def open(self, number: int, times: int) -> None:
        self.gates[number].release(times)

    def open_all(self) -> None:
        self.all_open = True
        for gate in self.gates:
            gate.release(1000)


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Gate:
    """Every image is very large; none is unpacked before the gate is opened."""
    monkeypatch.setenv("SEGSTUDIO_SCRATCH", str(tmp_path / "scratch"))
    for module in (scratch, large):
        monkeypatch.setattr(module, "LARGE_PIXELS", 1000)
    monkeypatch.setattr("segstudio.ui.controllers.unpacking._BETWEEN_NEWS", 0.0)
    return _Gate(monkeypatch)


def _notice(application: Application, sample_id: str):
    return application.window.notices.notice(f"unpacking {sample_id}")


def _says(application: Application, sample_id: str, words: str) -> Callable[[], bool]:
    def said() -> bool:
        notice = _notice(application, sample_id)
        return notice is not None and words in notice.text

    return said


def _begin(application: Application, gate: _Gate, sample_id: str, number: int, qtbot) -> None:
    """Wait until a sample's photograph is unpacked to a quarter, and the window says so."""
    qtbot.waitUntil(gate.has(number), timeout=TIMEOUT)
    gate.open(number, 2)
    name = sample_id.rsplit("/", 1)[-1]
    qtbot.waitUntil(_says(application, sample_id, f"Unpacking {name}"), timeout=TIMEOUT)


def _press(application: Application, sample_id: str, title: str) -> None:
    buttons = _notice(application, sample_id).findChildren(QPushButton)
    next(button for button in buttons if button.text() == title).click()


def _words(application: Application, sample_id: str) -> str:
    return application.desk._unpacking._bars[sample_id].words.text()


def test_progress_is_told_and_the_image_shown_at_its_end(
    start, dataset_folder: Path, gate: _Gate, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.ui.controllers.unpacking._ESTIMATE_AFTER", 0.0)
    application = start(dataset_folder, shown=False)
    _begin(application, gate, FIRST, 0, qtbot)
    qtbot.waitUntil(lambda: "25 %" in _words(application, FIRST), timeout=TIMEOUT)
    assert "Photograph" in _words(application, FIRST) and "left" in _words(application, FIRST)
    gate.open(0, 6)
    qtbot.waitUntil(gate.has(1), timeout=TIMEOUT)
    gate.open(1, 4)
    qtbot.waitUntil(lambda: "Ground truth" in _words(application, FIRST), timeout=TIMEOUT)
    gate.open_all()
    qtbot.waitUntil(lambda: application.desk.shown is not None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: _notice(application, FIRST) is None, timeout=TIMEOUT)
    shown = application.desk.shown
    assert shown.sample_id == FIRST and application.window.canvas.image_shape == (64, 96)
    counted = [np.count_nonzero(shown.target == index) for index in range(11)]
    assert shown.counts[:11].tolist() == counted


def test_it_can_be_stopped_and_taken_up_again(
    start, dataset_folder: Path, gate: _Gate, qtbot, tmp_path: Path
) -> None:
    application = start(dataset_folder, shown=False)
    _begin(application, gate, FIRST, 0, qtbot)
    _press(application, FIRST, "Stop")
    gate.open(0, 1)
    qtbot.waitUntil(_says(application, FIRST, "was stopped"), timeout=TIMEOUT)
    assert application.desk.shown is None
    assert list((tmp_path / "scratch").iterdir()) == [], "what was unpacked is still there"
    assert application.window.samples.status(FIRST) != "failed"
    gate.open_all()
    _press(application, FIRST, "Unpack it")
    qtbot.waitUntil(lambda: application.desk.shown is not None, timeout=TIMEOUT)
    assert application.desk.shown.sample_id == FIRST


def test_coming_back_does_not_unpack_it_twice(
    start, dataset_folder: Path, gate: _Gate, qtbot
) -> None:
    application = start(dataset_folder, shown=False)
    _begin(application, gate, FIRST, 0, qtbot)
    application.desk.show(SECOND)
    _begin(application, gate, SECOND, 1, qtbot)
    application.desk.show(FIRST)
    assert len(gate.gates) == 2
    gate.open_all()
    qtbot.waitUntil(
        lambda: application.desk.shown is not None and application.desk.shown.sample_id == FIRST,
        timeout=TIMEOUT,
    )
    qtbot.waitUntil(lambda: _notice(application, SECOND) is None, timeout=TIMEOUT)
    # Two photographs, two masks' ids, two masks' classes.
    assert len(gate.gates) == 6


def test_closing_the_window_does_not_wait_for_it(
    start, dataset_folder: Path, gate: _Gate, qtbot, tmp_path: Path
) -> None:
    application = start(dataset_folder, shown=False)
    _begin(application, gate, FIRST, 0, qtbot)
    stop, gates = application.desk.stop_reading, []

    def stopping() -> None:
        stop()
        gates.append(gate.open(0, 1))  # one band more, not all that are left

    application.desk.stop_reading = stopping
    application.window.close()
    assert gates and list((tmp_path / "scratch").iterdir()) == []
