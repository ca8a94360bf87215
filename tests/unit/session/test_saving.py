"""Saving beside the painting: what it keeps, what it refuses, what a full disk does to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import UsageError, WriteError
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.datasets.encoding import encode_png
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.journal import recover
from segstudio.editing.tools.brush import Brush
from segstudio.session.corrections import GROUND_TRUTH, Correction
from segstudio.session.session import Session
from segstudio.session.settings import Settings


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path) -> Iterator[Session]:
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


@pytest.fixture
def sample_id(session: Session) -> str:
    assert session.dataset is not None
    return session.dataset.samples[0].sample_id


def paint(correction: Correction, row: float, col: float, *, label: int = 9) -> None:
    driver = StrokeDriver(correction.document, Brush(), active_class=label)
    driver.press(PointerEvent(PointerKind.PRESS, row, col))
    driver.release(PointerEvent(PointerKind.RELEASE, row + 3, col + 5))


def content(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return found


def reopened(session: Session, folder: Path, sample_id: str) -> Correction:
    session.open_dataset(folder)
    return session.open_correction(sample_id, source=GROUND_TRUTH)


def test_strokes_painted_during_a_save_stay_in_the_journal(
    session: Session, dataset_folder: Path, sample_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 10, 10)
    saving = session.corrections.begin_save(sample_id)
    first = correction.document.label_map.copy()

    def enter(*_arguments: object, **_options: object) -> int:
        paint(correction, 30, 30, label=4)  # the map is read already, its file not yet there
        return 1

    monkeypatch.setattr(session.store, "add_correction", enter)
    assert saving.write()
    saving.finish()
    np.testing.assert_array_equal(content(session.layout.correction(sample_id)), first)
    assert correction.document.is_dirty, "the second stroke is not saved"
    found = recover(session.layout.journal(sample_id))
    assert found is not None and len(found.strokes) == 1
    correction.document.undo()
    assert not correction.document.is_dirty
    correction.document.redo()
    wanted = correction.document.label_map.copy()
    again = reopened(session, dataset_folder, sample_id)
    np.testing.assert_array_equal(again.document.label_map, wanted)


def test_a_map_painted_on_before_it_was_read_is_not_written(
    session: Session, sample_id: str
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 10, 10)
    saving = session.corrections.begin_save(sample_id)
    paint(correction, 30, 30)
    assert not saving.write()
    saving.finish()
    assert correction.document.is_dirty
    assert not session.layout.correction(sample_id).exists()
    found = recover(session.layout.journal(sample_id))
    assert found is not None and len(found.strokes) == 2


def test_a_map_painted_on_while_it_is_read_is_not_written(
    session: Session, sample_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 10, 10)
    saving = session.corrections.begin_save(sample_id)

    def encode(label_map: np.ndarray) -> bytes:
        data = encode_png(label_map)
        paint(correction, 30, 30)
        return data

    monkeypatch.setattr("segstudio.session.saving.encode_png", encode)
    assert not saving.write()
    assert not session.layout.correction(sample_id).exists()


def test_no_save_begins_inside_a_stroke(session: Session, sample_id: str) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    correction.document.begin_stroke("Brush")
    with pytest.raises(UsageError, match="not finished"):
        session.corrections.begin_save(sample_id)
    correction.document.abort_stroke()


def test_what_another_program_wrote_is_kept_and_said(session: Session, sample_id: str) -> None:
    said: list[str] = []
    session.problem.connect(said.append)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    path = session.layout.correction(sample_id)
    for number, value in ((1, 3), (2, 4)):
        paint(correction, 10 * number, 10)
        session.save_correction(sample_id)
        theirs = np.full(correction.document.shape, value, np.uint8)
        cv2.imwrite(str(path), theirs)
        paint(correction, 10 * number, 30)
        session.save_correction(sample_id)
        np.testing.assert_array_equal(content(path), correction.document.label_map)
        kept = session.layout.correction_conflict(sample_id)
        kept = kept if number == 1 else kept.with_name(f"{kept.stem}-2.png")
        np.testing.assert_array_equal(content(kept), theirs)
        assert len(said) == number and str(kept) in said[-1] and "\n" not in said[-1]


def test_a_file_that_was_only_touched_or_removed_is_no_conflict(
    session: Session, sample_id: str
) -> None:
    said: list[str] = []
    session.problem.connect(said.append)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    path = session.layout.correction(sample_id)
    paint(correction, 10, 10)
    session.save_correction(sample_id)
    os.utime(path, (1, 1))
    paint(correction, 20, 10)
    session.save_correction(sample_id)
    path.unlink()
    paint(correction, 30, 10)
    session.save_correction(sample_id)
    np.testing.assert_array_equal(content(path), correction.document.label_map)
    assert said == []


def test_the_backup_is_the_revision_before_not_the_last_autosave(
    session: Session, sample_id: str
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    layout = session.layout
    maps = []
    for col in (10, 20, 30, 40):
        paint(correction, 20, col)
        maps.append(correction.document.label_map.copy())
        if col in (20, 30):  # nobody asked for these two
            saving = session.corrections.begin_save(sample_id, automatic=True)
            assert saving.write()
            saving.finish()
        else:
            session.save_correction(sample_id)
        if col == 10:
            assert session.corrections.previous(sample_id) is None
    np.testing.assert_array_equal(content(layout.correction(sample_id)), maps[3])
    previous = session.corrections.previous(sample_id)
    assert previous is not None
    np.testing.assert_array_equal(previous, maps[0])
    rows = session.store._query(
        "SELECT revision FROM corrections WHERE sample_id = ?", (sample_id,)
    )
    assert sorted(rows) == [(1,), (2,)]


def test_leaving_saves_beside_and_coming_back_waits_for_it(
    session: Session, sample_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    wanted = correction.document.label_map.copy()
    future = session.corrections.leave(sample_id)
    again = session.open_correction(sample_id, source=GROUND_TRUTH)
    assert future.done() and future.result() is True
    assert again is not correction and not again.document.is_dirty
    np.testing.assert_array_equal(again.document.label_map, wanted)
    assert again.document.history.can_undo, "the history survives"
    assert session.corrections.leave(sample_id).result() is False, "nothing to save"
    assert session.corrections.leave(sample_id).result() is False, "nothing is open"


def test_a_failure_while_leaving_is_said_and_keeps_the_strokes(
    session: Session, dataset_folder: Path, sample_id: str
) -> None:
    said: list[str] = []
    session.problem.connect(said.append)
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    wanted = correction.document.label_map.copy()
    blocked = session.layout.root / "corrections"
    blocked.write_text("a file where a folder goes")
    assert session.corrections.leave(sample_id).result() is False
    assert len(said) == 1 and said[0].endswith("The strokes are kept in the journal.")
    blocked.unlink()
    again = reopened(session, dataset_folder, sample_id)
    np.testing.assert_array_equal(again.document.label_map, wanted)


def test_a_second_window_is_told_and_harms_nothing(
    session: Session, dataset_folder: Path, tmp_path: Path, sample_id: str
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    other = Session(Settings(tmp_path / "other.json"))
    other.open_dataset(dataset_folder)
    with pytest.raises(WriteError, match="in another window"):
        other.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 30, 30)
    session.save_correction(sample_id)
    session.corrections.release(sample_id)
    taken = other.open_correction(sample_id, source=GROUND_TRUTH)
    np.testing.assert_array_equal(taken.document.label_map, correction.document.label_map)
    other.close()


def test_strokes_that_do_not_fit_are_said_and_kept(
    session: Session, dataset_folder: Path, sample_id: str
) -> None:
    correction = session.open_correction(sample_id, source=GROUND_TRUTH)
    paint(correction, 20, 20)
    journal = session.layout.journal(sample_id)
    strokes = journal.read_bytes()
    assert session.dataset is not None
    sample = session.dataset.sample(sample_id)
    for path in (sample.image_path, sample.target_path):
        assert path is not None
        cv2.imwrite(str(path), content(path)[:40])
    again = reopened(session, dataset_folder, sample_id)
    assert again.recovered_strokes == 0 and not again.document.history.can_undo
    assert "48 x 64" in again.note and "kept beside" in again.note
    paint(again, 20, 20)
    assert journal.with_name(f"{journal.name}.1").read_bytes() == strokes


_TMPFS = """
import sys
from pathlib import Path

import numpy as np

from segstudio.core.errors import WriteError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.editing.document import MaskDocument
from segstudio.editing.journal import Journal, JournalHeader, recover
from segstudio.project.mask_file import MaskFile
from segstudio.datasets.encoding import encode_png

folder = Path(sys.argv[1])
generator = np.random.default_rng(0)
base = np.zeros((512, 512), np.uint8)
document = MaskDocument(base, ignore_index=255, classes=200)
path = folder / "x.journal"
document.journal = Journal(
    path, JournalHeader("x", document.fingerprint(), 512, 512, "uint8")
)
mask = folder / "mask.png"


def write(data):
    file = MaskFile(mask, backup=folder / "b.png", conflict=folder / "c.png")
    file.replace(data, keep_backup=True, before_it_counts=lambda: None)


def paint():
    before = document.label_map.copy()
    after = generator.integers(0, 200, before.shape).astype(np.uint8)
    document.apply(MaskPatch(BBox(0, 0, 512, 512), before, after))


write(encode_png(document.label_map))
old = mask.read_bytes()
ballast = folder / "ballast"
ballast.write_bytes(bytes(2 << 20))
sentences = []
while len(sentences) < 3:
    try:
        paint()
    except WriteError as error:
        sentences.append(str(error))
assert all("the disk is full" in text and "\\n" not in text for text in sentences), sentences
assert document.journal.pending == 3
found = recover(path)
assert found is not None and len(found.strokes) + 3 == len(document.history.entries())
try:
    write(encode_png(document.label_map))
except WriteError as error:
    assert "the disk is full" in str(error)
else:
    raise AssertionError("the mask fitted")
assert mask.read_bytes() == old, "the old file is whole"
assert not list(folder.glob(".mask*")), "nothing is left lying about"
ballast.unlink()
document.journal.sync()
assert document.journal.pending == 0
found = recover(path)
assert found is not None and len(found.strokes) == len(document.history.entries())
paint()
found = recover(path)
assert found is not None and len(found.strokes) == len(document.history.entries())
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """On four megabytes of memory that are mounted as a disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        root = Path(__file__).resolve().parents[3]
        done = subprocess.run(
            [sys.executable, "-c", _TMPFS, disk],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run(["umount", disk], check=True)
