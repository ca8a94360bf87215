"""Corrections: what they start from, what reaches the disk, what survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UsageError, WriteError
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tools.brush import Brush
from segstudio.metrics.confusion import confusion_matrix
from segstudio.session.corrections import GROUND_TRUTH, Correction
from segstudio.session.session import Session
from segstudio.session.settings import Settings


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path):
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


def paint(correction: Correction, row: float, col: float, *, label: int = 9) -> None:
    driver = StrokeDriver(correction.document, Brush(), active_class=label)
    driver.handle(PointerEvent(PointerKind.PRESS, row, col))
    driver.handle(PointerEvent(PointerKind.MOVE, row + 3, col + 5))
    driver.handle(PointerEvent(PointerKind.RELEASE, row + 3, col + 5))


def first_sample(session: Session) -> str:
    assert session.dataset is not None
    return session.dataset.samples[0].sample_id


def test_starts_from_ground_truth(session: Session) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert np.array_equal(correction.document.label_map, session.read_target(sample_id))
    assert correction.live is not None
    confusion = correction.live.confusion
    assert confusion.sum() == np.trace(confusion[:, :-1]) > 0


def test_starts_unlabelled_without_source(session: Session) -> None:
    correction = session.open_correction(first_sample(session), source=None)
    assert (correction.document.label_map == 255).all()


def test_live_scores_follow_strokes_undo_and_redo(session: Session) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    target = session.read_target(sample_id)
    assert correction.live is not None and target is not None
    before = correction.live.confusion
    paint(correction, 20, 20)
    recount = confusion_matrix(target, correction.document.label_map, 11, ignore_index=255)
    assert np.array_equal(correction.live.confusion, recount)
    assert not np.array_equal(before, recount)
    correction.document.undo()
    assert np.array_equal(correction.live.confusion, before)
    correction.document.redo()
    assert np.array_equal(correction.live.confusion, recount)


def test_saved_correction_is_what_painting_goes_on_from(session: Session) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    path = session.save_correction(sample_id)
    written = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, correction.document.label_map)
    assert not correction.document.is_dirty
    assert session.status(sample_id) == "corrected"
    assert session.unsaved_samples() == []
    session.corrections.release(sample_id)
    again = session.open_correction(sample_id, source=None)
    assert np.array_equal(again.document.label_map, correction.document.label_map)
    assert again.recovered_strokes == 0


def test_undo_survives_leaving_the_image(session: Session) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    start = correction.document.label_map.copy()
    paint(correction, 20, 20)
    session.save_correction(sample_id)
    session.corrections.release(sample_id)
    again = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert again.document.undo() is not None
    assert np.array_equal(again.document.label_map, start)


def test_unsaved_strokes_come_back(session: Session, dataset_folder: Path) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    paint(correction, 30, 40, label=3)
    correction.document.undo()
    wanted = correction.document.label_map.copy()
    session.open_dataset(dataset_folder)  # closes the project without saving
    assert session.unsaved_samples() == [sample_id]
    assert session.status(sample_id) == "in progress"
    # Opened from another source than before: the strokes still land on what they were painted on.
    again = session.open_correction(sample_id, source=None)
    assert again.recovered_strokes == 3
    assert np.array_equal(again.document.label_map, wanted)
    assert again.document.is_dirty


def test_full_disk_keeps_the_strokes(
    session: Session, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    wanted = correction.document.label_map.copy()

    def full(*arguments: object, **options: object) -> None:
        raise WriteError("Cannot write x.png: the disk is full; free some space and try again.")

    monkeypatch.setattr("segstudio.project.mask_file.replacing", full)
    with pytest.raises(WriteError, match="disk is full"):
        session.save_correction(sample_id)
    assert correction.document.is_dirty
    monkeypatch.undo()
    session.open_dataset(dataset_folder)
    again = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert np.array_equal(again.document.label_map, wanted)


def test_no_label_space_is_a_sentence(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    session = Session(Settings(tmp_path / "settings" / "s.json"))
    session.open_dataset(tmp_path)
    with pytest.raises(UsageError, match="which classes to paint"):
        session.open_correction("a.png", source=None)
    session.close()


_PAINTER = """
import sys
import threading
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_corrections import paint
from segstudio.session.session import Session
from segstudio.session.settings import Settings
session = Session(Settings(Path(sys.argv[2])))
session.open_dataset(sys.argv[1])
sample_id = session.dataset.samples[0].sample_id
correction = session.open_correction(sample_id, source="ground-truth")
for number in range(10_000):
    paint(correction, number % 40, number % 60, label=number % 11)
    print(number, correction.document.fingerprint(), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_kill_while_painting_loses_no_finished_stroke(dataset_folder: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _PAINTER,
            dataset_folder,
            tmp_path / "s.json",
            Path(__file__).parent,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    reported: dict[str, str] = {}
    for line in process.stdout:
        number, fingerprint = line.split()
        reported[number] = fingerprint
        if int(number) == 25:
            os.kill(process.pid, signal.SIGKILL)
            break
    for line in process.stdout:  # what it managed to say before the kill arrived
        if len(line.split()) == 2:
            number, fingerprint = line.split()
            reported[number] = fingerprint
    process.wait()
    process.stdout.close()
    session = Session(Settings(tmp_path / "s.json"))
    session.open_dataset(dataset_folder)
    correction = session.open_correction(first_sample(session), source=GROUND_TRUTH)
    # Every stroke that was reported finished is there; at most one more had reached the journal.
    fingerprints = [correction.document.fingerprint()]
    while correction.document.undo() is not None:
        fingerprints.append(correction.document.fingerprint())
    last = max(reported, key=int)
    assert reported[last] in fingerprints[:2]
    session.close()


def test_strokes_on_a_base_that_is_gone_are_painted_on_the_new_one(
    session: Session, dataset_folder: Path
) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    painted = correction.document.label_map == 9
    session.corrections.release(sample_id)
    sample = session.dataset.samples[0]  # type: ignore[union-attr]
    cv2.imwrite(str(sample.target_path), np.full((48, 64), 3, np.uint8))
    for _ in range(2):  # the second time from the new journal
        session.open_dataset(dataset_folder)
        again = session.open_correction(sample_id, source=GROUND_TRUTH)
        assert again.recovered_strokes == 1
        changed = again.document.label_map == 9
        assert changed.any() and not (changed & ~painted).any()


def test_leaving_unsaved_and_coming_back_keeps_the_whole_history(session: Session) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    start = correction.document.label_map.copy()
    paint(correction, 10, 10)
    session.save_correction(sample_id)
    paint(correction, 20, 20)
    session.corrections.release(sample_id)
    again = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert again.recovered_strokes == 0 and again.document.is_dirty
    while again.document.undo() is not None:
        pass
    assert np.array_equal(again.document.label_map, start)


def test_threads_that_open_one_sample_get_one_correction(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_id = first_sample(session)
    barrier = threading.Barrier(4)
    found: list[Correction] = []

    def open_it() -> None:
        barrier.wait()
        found.append(session.open_correction(sample_id, source=GROUND_TRUTH))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(correction) for correction in found}) == 1
    paint(found[0], 20, 20)
    session.save_correction(sample_id)
    assert not found[0].document.is_dirty


def test_strokes_that_were_all_undone_do_not_come_back(
    session: Session, dataset_folder: Path, tmp_path: Path
) -> None:
    sample_id = first_sample(session)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    correction.document.undo()
    session.corrections.release(sample_id)
    assert session.unsaved_samples() == []
    again = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert again.recovered_strokes == 0 and again.document.history.can_redo
    again.document.redo()
    assert again.document.is_dirty
    session.corrections.release(sample_id)
    assert session.unsaved_samples() == [sample_id]
