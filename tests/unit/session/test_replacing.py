"""A class replaced in many images: counted, whole or untouched, undoable."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import UsageError, WriteError
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.datasets.encoding import write_label_map
from segstudio.datasets.images import read_source_map
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tools.brush import Brush
from segstudio.session.corrections import GROUND_TRUTH, Corrections
from segstudio.session.events import JobState
from segstudio.session.replacing import (
    UNLABELLED,
    ReplaceRequest,
    count_class,
    replace_class,
    start_replacing,
)
from segstudio.session.session import Session
from segstudio.session.settings import Settings

ROAD, TREE = 3, 5
REQUEST = ReplaceRequest("Road", "Tree")


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path):
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


@pytest.fixture
def corrected(session: Session) -> list[str]:
    """The first four images corrected and saved, with some pixels that are no ground truth."""
    ids = [sample.sample_id for sample in session.dataset.samples[:4]]
    for sample_id in ids:
        correction = session.open_correction(sample_id, source=GROUND_TRUTH)
        paint(correction.document, 9)
        paint(correction.document, ROAD, row=38)
        session.save_correction(sample_id)
        session.corrections.release(sample_id)
    return ids


def paint(document: MaskDocument, label: int, row: float = 20) -> None:
    driver = StrokeDriver(document, Brush(), active_class=label)
    driver.handle(PointerEvent(PointerKind.PRESS, row, 20))
    driver.handle(PointerEvent(PointerKind.RELEASE, row + 3, 25))


def stored(session: Session, sample_id: str) -> np.ndarray:
    return read_source_map(session.layout.correction(sample_id))


def replaced(label_map: np.ndarray) -> np.ndarray:
    return np.where(label_map == ROAD, TREE, label_map)


def run_job(session: Session, request: ReplaceRequest, ids: list[str]) -> JobState:
    over = threading.Event()
    states: list[JobState] = []

    def follow(state: JobState) -> None:
        states.append(state)
        if state.is_over:
            over.set()

    session.job_changed.connect(follow)
    start_replacing(session, request, ids)
    assert over.wait(30)
    session.job_changed.disconnect(follow)
    return states[-1]


def test_counting_says_what_would_change_and_changes_nothing(
    session: Session, corrected: list[str]
) -> None:
    names = [entry.name for entry in session.label_space.classes]
    assert (names[ROAD], names[TREE]) == ("Road", "Tree")
    before = [stored(session, sample_id) for sample_id in corrected]
    everything = [sample.sample_id for sample in session.dataset.samples]
    counts = list(count_class(session, REQUEST, everything))
    assert [count.sample_id for count in counts] == everything
    for count, label_map in zip(counts, before, strict=False):
        assert (count.pixels, count.of) == (int((label_map == ROAD).sum()), "correction")
        assert not count.unsaved and count.problem is None
    assert [(count.pixels, count.of) for count in counts[4:]] == [(0, ""), (0, "")]
    for sample_id, label_map in zip(corrected, before, strict=True):
        np.testing.assert_array_equal(stored(session, sample_id), label_map)
    with pytest.raises(UsageError, match="two different classes"):
        list(count_class(session, ReplaceRequest("Road", "Road"), everything))
    unknown = next(count_class(session, ReplaceRequest("Road", "Unicorn"), everything))
    assert unknown.problem is not None and "no class 'Unicorn'" in unknown.problem


def test_every_image_is_replaced_saved_backed_up_and_can_be_undone(
    session: Session, corrected: list[str]
) -> None:
    before = {sample_id: stored(session, sample_id) for sample_id in corrected}
    assert all((label_map == ROAD).any() for label_map in before.values())
    state = run_job(session, REQUEST, corrected)
    assert (state.state, state.done, state.failed) == ("done", 4, 0)
    for sample_id, label_map in before.items():
        np.testing.assert_array_equal(stored(session, sample_id), replaced(label_map))
        backup = read_source_map(session.layout.correction_backup(sample_id))
        np.testing.assert_array_equal(backup, label_map)
        correction = session.open_correction(sample_id, source=GROUND_TRUTH)
        document = correction.document
        assert not document.is_dirty
        assert document.history.entries()[-1].name == "Replace Road by Tree"
        document.undo()
        np.testing.assert_array_equal(document.label_map, label_map)
    assert all(count.pixels == 0 for count in count_class(session, REQUEST, corrected[4:]))


def test_unlabelled_pixels_can_get_a_class(session: Session, corrected: list[str]) -> None:
    before = stored(session, corrected[0])
    run_job(session, ReplaceRequest(UNLABELLED, "Sky"), corrected[:1])
    after = stored(session, corrected[0])
    assert (before == 255).any() and (after[before == 255] == 0).all()
    np.testing.assert_array_equal(after[before != 255], before[before != 255])


def test_predictions_become_corrections_only_when_a_run_is_named(
    session: Session, corrected: list[str]
) -> None:
    sample = session.dataset.samples[5]
    space = session.label_space
    run = session.store.begin_run("r", "r", "identity", space, {})
    prediction = session.read_target(sample.sample_id)
    write_label_map(session.layout.layer(run, "labels", sample.sample_id), prediction)
    request = ReplaceRequest("Road", "Tree", run)
    (without,) = count_class(session, REQUEST, [sample.sample_id])
    (count,) = count_class(session, request, [sample.sample_id])
    assert without.pixels == 0 and count.of == "prediction"
    assert count.pixels == int((prediction == ROAD).sum()) > 0
    run_job(session, request, [sample.sample_id])
    np.testing.assert_array_equal(stored(session, sample.sample_id), replaced(prediction))


def test_unsaved_strokes_are_told_and_kept(session: Session, corrected: list[str]) -> None:
    sample_id = corrected[0]
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction.document, 7, row=35)
    expected = np.array(correction.document.label_map)
    assert next(count_class(session, REQUEST, [sample_id])).unsaved
    state = run_job(session, REQUEST, [sample_id])
    assert state.failed == 1, "it is open in the window"
    session.corrections.release(sample_id)
    assert next(count_class(session, REQUEST, [sample_id])).unsaved
    run_job(session, REQUEST, [sample_id])
    np.testing.assert_array_equal(stored(session, sample_id), replaced(expected))
    assert sample_id not in session.unsaved_samples()


def test_a_failure_leaves_that_image_and_goes_on(
    session: Session, corrected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(session, corrected[1])
    from segstudio.session import saving

    write = saving.Saving.write

    def full(self: saving.Saving) -> bool:
        if self.correction.sample_id == corrected[1]:
            raise WriteError("The disk is full.")
        return write(self)

    told: list[str] = []
    session.sample_failed.connect(lambda failed: told.append(f"{failed.sample_id}: {failed}"))
    monkeypatch.setattr(saving.Saving, "write", full)
    state = run_job(session, REQUEST, corrected)
    assert (state.state, state.failed) == ("done", 1)
    assert len(told) == 1 and "disk is full" in told[0] and corrected[1] in told[0]
    np.testing.assert_array_equal(stored(session, corrected[1]), before)
    assert not (stored(session, corrected[2]) == ROAD).any()
    # Nothing is lost either: the stroke waits in the journal.
    assert corrected[1] in session.unsaved_samples()


def test_a_cancelled_job_leaves_whole_images(
    session: Session, corrected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {sample_id: stored(session, sample_id) for sample_id in corrected}
    started, go = threading.Event(), threading.Event()
    borrowed = Corrections.borrowed

    def slow(self: Corrections, sample_id: str, **more: object) -> object:
        if sample_id == corrected[1]:
            started.set()
            assert go.wait(20)
        return borrowed(self, sample_id, **more)

    monkeypatch.setattr(Corrections, "borrowed", slow)
    over = threading.Event()
    session.job_changed.connect(lambda state: over.set() if state.is_over else None)
    job_id = start_replacing(session, REQUEST, corrected)
    assert started.wait(20)
    session.cancel(job_id)
    go.set()
    assert over.wait(20)
    whole = [
        np.array_equal(stored(session, sample_id), replaced(label_map))
        for sample_id, label_map in before.items()
    ]
    assert whole == [True, True, False, False]
    for sample_id in corrected[2:]:
        np.testing.assert_array_equal(stored(session, sample_id), before[sample_id])


def test_opening_an_image_waits_until_it_is_replaced(
    session: Session, corrected: list[str]
) -> None:
    before = stored(session, corrected[0])
    inside, go, opened = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        with session.corrections.borrowed(corrected[0], source=None) as correction:
            inside.set()
            assert go.wait(20)
            replace_class(correction.document, ROAD, TREE, name="Replace")

    def window() -> None:
        correction = session.open_correction(corrected[0], source=GROUND_TRUTH)
        np.testing.assert_array_equal(correction.document.label_map, replaced(before))
        opened.set()

    threads = [threading.Thread(target=job), threading.Thread(target=window)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    assert not opened.wait(0.1)
    go.set()
    for thread in threads:
        thread.join(20)
    assert opened.is_set()
