"""Frames between two corrected ones: found, written, told where they come from, taken back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.editing.interpolation import interpolate_maps
from segstudio.session.interpolating import (
    STROKE_NAME,
    find_gap,
    preview_gap,
    start_interpolating,
    take_back,
)
from segstudio.session.session import Session
from segstudio.session.settings import Settings

NAMES = [f"frame{number}.png" for number in (1, 2, 3, 9, 10, 11)]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Frames of a film in a plain folder, and another folder beside it."""
    root = tmp_path / "film"
    (root / "other").mkdir(parents=True)
    for name in [*NAMES, "other/frame5.png"]:
        cv2.imwrite(str(root / name), np.full((40, 60, 3), 90, np.uint8))
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(root, label_space="camvid")
    yield session
    session.close()


def correct(session: Session, sample_id: str, left: int) -> np.ndarray:
    document = session.open_correction(sample_id, source=None).document
    label_map = np.full(document.shape, 0, np.uint8)
    label_map[:, left:] = 3
    before = document.label_map.copy()
    document.apply(MaskPatch(BBox(0, 0, 40, 60), before, label_map))
    session.save_correction(sample_id)
    session.corrections.release(sample_id)
    return label_map


def run(session: Session, gap) -> list[str]:
    told: list[str] = []
    over = threading.Event()
    session.job_changed.connect(lambda state: over.set() if state.is_over else None)
    start_interpolating(session, gap, told.append)
    assert over.wait(20)
    return told


def test_the_frames_between_are_written_and_taken_back(session: Session) -> None:
    first, last = correct(session, NAMES[0], 10), correct(session, NAMES[4], 50)
    gap = find_gap(session, NAMES[2])
    assert (gap.first, gap.last, gap.between) == (NAMES[0], NAMES[4], tuple(NAMES[1:4]))
    assert gap.fractions == (0.25, 0.5, 0.75)
    assert run(session, gap) == list(gap.between)
    expected = list(interpolate_maps(first, last, gap.fractions))
    for name, label_map in zip(gap.between, expected, strict=True):
        saved = session.corrections.read_saved(name)
        assert saved is not None
        np.testing.assert_array_equal(saved, label_map)
        assert (
            abs(int((saved[20] == 0).sum()) - (10 + 40 * gap.fractions[gap.between.index(name)]))
            <= 1
        )
        assert session.status(name) == "in progress"
        (source,) = session.store.correction_sources(name)
        assert source == f"interpolated between {NAMES[0]} and {NAMES[4]}"
    document = session.open_correction(NAMES[1], source=None).document
    assert [entry.name for entry in document.history.entries()] == [STROKE_NAME]
    document.undo()
    assert (document.label_map == 255).all()
    session.save_correction(NAMES[1])
    session.corrections.release(NAMES[1])
    assert take_back(session, gap) == list(gap.between[1:]), "the painted one stays"
    for name in gap.between[1:]:
        assert session.corrections.read_saved(name) is None
        assert session.status(name) == "new"
        assert session.layout.correction_backup(name).exists()
        assert not session.open_correction(name, source=None).document.history.can_undo
    assert session.corrections.read_saved(NAMES[1]) is not None


def test_from_a_corrected_frame_the_gap_after_it_is_meant(session: Session) -> None:
    for name in (NAMES[0], NAMES[2], NAMES[5]):
        correct(session, name, 20)
    assert find_gap(session, NAMES[0]).between == (NAMES[1],)
    assert find_gap(session, NAMES[2]).between == (NAMES[3], NAMES[4])
    assert find_gap(session, NAMES[4]).first == NAMES[2]
    with pytest.raises(UsageError, match="before and one after"):
        find_gap(session, NAMES[5])
    with pytest.raises(UsageError, match="before and one after"):
        find_gap(session, "other/frame5.png")
    correct(session, NAMES[1], 20)
    with pytest.raises(UsageError, match="no frame between"):
        find_gap(session, NAMES[0])


def test_an_image_that_is_open_or_of_another_size_fails_alone(session: Session) -> None:
    correct(session, NAMES[0], 10)
    correct(session, NAMES[4], 50)
    assert session.dataset is not None
    cv2.imwrite(str(session.dataset.sample(NAMES[2]).image_path), np.zeros((20, 60, 3), np.uint8))
    failed: list[str] = []
    session.sample_failed.connect(lambda event: failed.append(event.sample_id))
    session.open_correction(NAMES[1], source=None)
    gap = find_gap(session, NAMES[0])
    assert run(session, gap) == [NAMES[3]]
    assert failed == NAMES[1:3]
    assert session.corrections.read_saved(NAMES[1]) is None


def test_the_preview_is_the_frame_made_smaller(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = correct(session, NAMES[0], 10), correct(session, NAMES[4], 50)
    gap = find_gap(session, NAMES[0])
    found, step = preview_gap(session, gap, 1)
    assert step == 1
    np.testing.assert_array_equal(found, next(interpolate_maps(first, last, [0.5])))
    monkeypatch.setattr("segstudio.session.interpolating._PREVIEW_PIXELS", 600)
    found, step = preview_gap(session, gap, 1)
    assert step == 2 and found.shape == (20, 30)
