"""The journal: whatever happens to the file or the process, finished strokes come back."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import CorruptProjectError, SizeMismatchError, WriteError
from segstudio.core.types import BBox
from segstudio.editing import journal as journal_module
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.history import EditHistory
from segstudio.editing.journal import Journal, JournalHeader, recover
from segstudio.editing.journal_format import encode_header, encode_record
from segstudio.editing.recovery import fits, open_recovered, replay
from segstudio.editing.stroke import Piece, Stroke
from segstudio.editing.tools.brush import Brush


def header_of(label_map: np.ndarray, sample_id: str = "a/b/0001.jpg") -> JournalHeader:
    height, width = label_map.shape
    return JournalHeader(sample_id, fingerprint(label_map), height, width, label_map.dtype.name)


def painted(kit: Any, path: Path, label_map: np.ndarray, *, strokes: int = 6) -> list[np.ndarray]:
    """Paint into a journal; return the label map before the first stroke and after each record."""
    journal = Journal(path, header_of(label_map))
    document = kit.make_document(label_map, journal=journal)
    states, rng = [label_map.copy()], np.random.default_rng(0)
    while len(states) <= strokes:
        if len(states) == 4:
            document.undo()
        elif len(states) == 5:
            document.redo()
        elif kit.random_stroke(document, rng) is None:
            continue
        states.append(document.label_map.copy())
    journal.close()
    return states


def recovered_map(kit: Any, path: Path, label_map: np.ndarray) -> tuple[int, np.ndarray]:
    """Return how many strokes a journal holds and what they make of the map."""
    recovered = recover(path)
    document = kit.make_document(label_map)
    if recovered is None:
        return 0, document.label_map
    assert recovered.sample_id == "a/b/0001.jpg" and fits(recovered, document)
    replay(recovered, document)
    return len(recovered.strokes), document.label_map


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_journal_brings_everything_back_and_it_can_be_undone(
    kit: Any, tmp_path: Path, dtype: str
) -> None:
    path, label_map = tmp_path / "deep" / "x.journal", kit.make_map(2, dtype=dtype)
    states = painted(kit, path, label_map)
    recovered = recover(path)
    assert recovered is not None and len(recovered.strokes) == 6
    document = kit.make_document(label_map)
    assert replay(recovered, document) == 6
    assert document.is_dirty
    for state in reversed(states):
        np.testing.assert_array_equal(document.label_map, state)
        document.undo()


def test_cut_at_every_byte_it_holds_exactly_the_whole_records(kit: Any, tmp_path: Path) -> None:
    label_map = kit.make_map(0, 24, 30)
    states = painted(kit, tmp_path / "x.journal", label_map)
    content = (tmp_path / "x.journal").read_bytes()
    header = encode_header(header_of(label_map))
    recovered = recover(tmp_path / "x.journal")
    assert recovered is not None and recovered.end == len(content)
    ends = [len(header)]
    for stroke in recovered.strokes:
        ends.append(ends[-1] + len(encode_record(stroke)))
    assert ends[-1] == len(content)
    cut = tmp_path / "cut.journal"
    for length in range(len(content) + 1):
        cut.write_bytes(content[:length])
        whole = sum(end <= length for end in ends[1:])
        found = recover(cut)
        assert (0 if found is None else len(found.strokes)) == whole
        if found is not None:
            assert found.end == ends[whole]
    for whole, end in enumerate(ends):
        cut.write_bytes(content[: end + 7])
        count, result = recovered_map(kit, cut, label_map)
        assert count == whole
        np.testing.assert_array_equal(result, states[whole])


def test_any_damaged_byte_loses_nothing_before_it(kit: Any, tmp_path: Path) -> None:
    label_map = kit.make_map(0, 24, 30)
    painted(kit, tmp_path / "x.journal", label_map)
    content = (tmp_path / "x.journal").read_bytes()
    start = len(encode_header(header_of(label_map)))
    recovered = recover(tmp_path / "x.journal")
    assert recovered is not None
    ends = [start]
    for stroke in recovered.strokes:
        ends.append(ends[-1] + len(encode_record(stroke)))
    rng = np.random.default_rng(0)
    broken = tmp_path / "broken.journal"
    for position in range(start, len(content)):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        broken.write_bytes(damaged)
        found = recover(broken)
        assert found is not None
        assert len(found.strokes) == sum(end <= position for end in ends[1:])
    for position in range(start):
        damaged = bytearray(content)
        damaged[position] ^= 0x40
        broken.write_bytes(damaged)
        try:
            assert recover(broken) is None
        except CorruptProjectError as error:
            assert str(broken) in str(error)


def test_it_goes_on_after_a_cut(kit: Any, tmp_path: Path) -> None:
    path, label_map = tmp_path / "x.journal", kit.make_map()
    states = painted(kit, path, label_map)
    path.write_bytes(path.read_bytes()[:-5])
    recovered = recover(path)
    assert recovered is not None
    document = kit.make_document(label_map)
    replay(recovered, document)
    document.journal = Journal(path, header_of(label_map), resumed=recovered)
    np.testing.assert_array_equal(document.label_map, states[5])
    kit.drag(StrokeDriver(document, Brush(), active_class=3), [(10.0, 10.0), (80.0, 100.0)])
    document.undo()
    document.undo()  # of a recovered stroke
    document.journal.close()
    count, result = recovered_map(kit, path, label_map)
    assert count == 5 + 3
    np.testing.assert_array_equal(result, document.label_map)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.journal"]


def test_on_another_map_the_strokes_paint_their_pixels(kit: Any, tmp_path: Path) -> None:
    path, label_map = tmp_path / "x.journal", kit.make_map()
    states = painted(kit, path, label_map)
    recovered = recover(path)
    assert recovered is not None
    other = kit.make_map(77)
    document = kit.make_document(other)
    assert not fits(recovered, document)
    replay(recovered, document)
    touched = np.any([one != two for one, two in itertools.pairwise(states)], axis=0)
    np.testing.assert_array_equal(document.label_map, np.where(touched, states[-1], other))
    # Saved, but killed before the journal was truncated: nothing is left to bring back.
    saved = kit.make_document(states[-1])
    replay(recovered, saved)
    np.testing.assert_array_equal(saved.label_map, states[-1])


def test_maps_of_another_size_or_type_are_refused(kit: Any, tmp_path: Path) -> None:
    painted(kit, tmp_path / "x.journal", kit.make_map())
    recovered = recover(tmp_path / "x.journal")
    assert recovered is not None
    for other in (kit.make_map(0, 30, 30), kit.make_map(0, dtype="uint16")):
        with pytest.raises(SizeMismatchError, match=r"a/b/0001\.jpg"):
            replay(recovered, kit.make_document(other))


def test_a_journal_nobody_has_asked_about_is_set_aside(kit: Any, tmp_path: Path) -> None:
    path, label_map = tmp_path / "x.journal", kit.make_map()
    painted(kit, path, label_map)
    first = path.read_bytes()
    painted(kit, path, label_map, strokes=2)
    painted(kit, path, label_map, strokes=1)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["x.journal", "x.journal.1", "x.journal.2"]
    assert (tmp_path / "x.journal.1").read_bytes() == first


def test_without_a_stroke_there_is_no_file(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    journal = Journal(path, header_of(kit.make_map()))
    journal.sync()
    journal.truncate("f")
    journal.close()
    assert not path.exists() and recover(path) is None


def test_after_a_save_it_begins_anew(kit: Any, tmp_path: Path) -> None:
    path, label_map = tmp_path / "x.journal", kit.make_map()
    journal = Journal(path, header_of(label_map))
    document = kit.make_document(label_map, journal=journal)
    rng = np.random.default_rng(0)
    for _ in range(4):
        kit.random_stroke(document, rng)
    saved = document.label_map.copy()
    journal.truncate(document.fingerprint())
    assert not path.exists()
    document.undo()
    document.undo()
    journal.close()
    count, result = recovered_map(kit, path, saved)
    assert count == 2
    np.testing.assert_array_equal(result, document.label_map)


class FullDisk(io.FileIO):
    """A file on a disk that has room for some bytes only."""

    room = 1 << 40

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        if FullDisk.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(data[: FullDisk.room])
        FullDisk.room -= taken
        return taken


def test_a_full_disk_loses_nothing_and_is_tried_again(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module.io, "FileIO", FullDisk)
    path, label_map = tmp_path / "x.journal", kit.make_map()
    for room in (0, 5, 60, 150, 400):
        path.unlink(missing_ok=True)
        journal = Journal(path, header_of(label_map))
        document = kit.make_document(label_map, journal=journal)
        FullDisk.room = room
        states, refused = [label_map], 0
        rng = np.random.default_rng(1)
        while len(states) < 6:
            before = document.revision
            try:
                kit.random_stroke(document, rng)
            except WriteError as error:
                refused += 1
                assert "disk is full" in str(error) and str(path) in str(error)
            if document.revision > before and not np.array_equal(document.label_map, states[-1]):
                states.append(document.label_map.copy())
        assert refused and journal.pending == refused
        assert not document.in_stroke
        if path.exists():
            count, result = recovered_map(kit, path, label_map)
            assert count == 5 - refused
            np.testing.assert_array_equal(result, states[count])
        FullDisk.room = 1 << 40
        document.undo()
        journal.close()
        assert journal.pending == 0
        count, result = recovered_map(kit, path, label_map)
        assert count == 6
        np.testing.assert_array_equal(result, states[-2])


def test_a_folder_that_cannot_be_made_is_one_sentence(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    document = kit.make_document(kit.make_map())
    document.journal = Journal(tmp_path / "file" / "x.journal", header_of(document.label_map))
    with pytest.raises(WriteError):
        kit.drag(StrokeDriver(document, Brush(), active_class=3), [(10.0, 10.0), (80.0, 100.0)])
    assert document.history.can_undo


def test_a_flush_that_fails_is_told(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    label_map = kit.make_map()
    journal = Journal(tmp_path / "x.journal", header_of(label_map))
    monkeypatch.setattr(journal_module.os, "fsync", fail)
    with pytest.raises(WriteError):
        # The thread may be quick enough for the stroke itself to tell.
        journal.append(Stroke("x", np.dtype(np.uint8), ()))
        journal.sync()
    monkeypatch.undo()
    journal.close()


def test_files_that_are_no_journal(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    assert recover(path) is None
    path.write_bytes(b"")
    assert recover(path) is None
    path.write_bytes(b"\x89PNG and so on and on")
    with pytest.raises(CorruptProjectError, match="no journal"):
        recover(path)
    newer = bytearray(encode_header(header_of(kit.make_map())))
    newer[8] = 99
    path.write_bytes(newer)
    with pytest.raises(CorruptProjectError, match="newer"):
        recover(path)


def record_with(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", zlib.crc32(payload, zlib.crc32(length))) + payload


def test_a_forged_journal_takes_no_more_memory_than_its_boxes(kit: Any, tmp_path: Path) -> None:
    label_map = kit.make_map()
    head = encode_header(header_of(label_map))
    bomb = zlib.compress(bytes(200 << 20), 9)
    box = BBox(0, 0, 90, 120)
    fine = Piece(box, 1, zlib.compress(bytes(90 * 120)))

    def forged(*pieces: Piece) -> bytes:
        return encode_record(Stroke("x", np.dtype(np.uint8), pieces))

    path = tmp_path / "x.journal"
    path.write_bytes(head + forged(fine))
    found = recover(path)
    assert found is not None and len(found.strokes) == 1
    import tracemalloc

    for record in (
        forged(Piece(box, 1, bomb)),
        forged(Piece(BBox(0, 0, 4_000_000, 4_000_000), 1, bomb)),
        forged(Piece(BBox(5, 5, 5, 9), 1, b"")),
        forged(Piece(box, 1, fine.data[:-3])),
        forged(Piece(box, 1, fine.data + b"more")),
        forged(Piece(box, 1, b"no zlib")),
        forged(Piece(box, None, fine.data)),
        forged(Piece(box, 70000, fine.data)),
        forged(fine)[:-1],
        record_with(struct.pack("<HI", 0, 0xFFFFFFFF)),
        record_with(b"\xff"),
        struct.pack("<QI", 1 << 62, 0) + b"x",
    ):
        path.write_bytes(head + record)
        tracemalloc.start()
        found = recover(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found is not None and not found.strokes and found.end == len(head)
        assert peak < 8 << 20


def test_a_damaged_stroke_in_memory_is_an_error_not_a_bomb() -> None:
    piece = Piece(BBox(0, 0, 4, 4), 1, zlib.compress(bytes(1 << 20)))
    stroke = Stroke("x", np.dtype(np.uint8), (piece,))
    with pytest.raises(CorruptProjectError):
        list(stroke.toggled(np.zeros((9, 9), np.uint8)))


PAINTER = """
import sys
from pathlib import Path

import numpy as np

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.journal import Journal, JournalHeader
from segstudio.editing.tools.brush import Brush

base = np.zeros((300, 400), np.uint8)
header = JournalHeader("a/b/0001.jpg", fingerprint(base), 300, 400, "uint8")
document = MaskDocument(base, ignore_index=255, classes=11)
document.journal = Journal(Path(sys.argv[1]), header)
rng = np.random.default_rng(0)
while True:
    driver = StrokeDriver(document, Brush(), active_class=int(rng.integers(11)))
    driver.press(PointerEvent(PointerKind.PRESS, *rng.uniform(0, 300, 2)))
    last = PointerEvent(PointerKind.RELEASE, *rng.uniform(0, 300, 2))
    if driver.release(last) is not None:
        sys.stdout.write(document.fingerprint() + "\\n")
        sys.stdout.flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX matter")
def test_kill_9_while_painting_loses_no_finished_stroke(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    path = tmp_path / "x.journal"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", PAINTER, str(path)], stdout=subprocess.PIPE, env=environment
    ) as painter:
        assert painter.stdout is not None
        told = [painter.stdout.readline().decode().strip() for _ in range(60)]
        painter.send_signal(signal.SIGKILL)
        told += painter.stdout.read().decode().split("\n")[:-1]
    recovered = recover(path)
    assert recovered is not None
    # The stroke that was under way may be there too, never one fewer than was told.
    assert len(recovered.strokes) >= len(told) >= 60
    document = MaskDocument(np.zeros((300, 400), np.uint8), ignore_index=255, classes=11)
    for stroke, expected in zip(recovered.strokes, told, strict=False):
        for patch in stroke.toggled(document.label_map):
            document.apply(patch)
        assert document.fingerprint() == expected


def test_an_image_switch_goes_on_with_the_history_and_a_crash_with_the_journal(
    kit: Any, tmp_path: Path
) -> None:
    path, base, history = tmp_path / "x.journal", kit.make_map(), EditHistory()
    document = kit.make_document(base, history=history)
    kit.drag(StrokeDriver(document, Brush(), active_class=1), [(5.0, 5.0), (80.0, 20.0)])
    saved = document.label_map.copy()
    document.journal = Journal(path, header_of(saved))
    for row in (20.0, 40.0, 60.0):
        kit.drag(StrokeDriver(document, Brush(), active_class=2), [(row, 5.0), (row, 110.0)])
    document.undo()
    document.close()
    document.journal.close()
    found = recover(path)
    assert found is not None and len(found.strokes) == 4

    again, count = open_recovered(found, saved, classes=11, ignore_index=255, history=history)
    assert count == 0 and again.is_dirty
    np.testing.assert_array_equal(again.label_map, document.label_map)
    assert [entry.undone for entry in history.entries()] == [False, False, False, True]
    while again.undo() is not None:
        pass
    np.testing.assert_array_equal(again.label_map, base)

    crashed, count = open_recovered(
        found, saved, classes=11, ignore_index=255, history=EditHistory()
    )
    assert count == 4 and crashed.is_dirty
    np.testing.assert_array_equal(crashed.label_map, document.label_map)
    while crashed.undo() is not None:
        pass
    np.testing.assert_array_equal(crashed.label_map, saved)
