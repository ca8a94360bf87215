"""Paint in a child process, kill it anywhere, and see what is left: run by `test_kill_points`.

``python kill_points.py DATASET KILLS SEED`` prints a JSON object.  Children are forked, so a kill
costs milliseconds, not the start of an interpreter; nothing here may start a thread before a fork.

A child announces each content before it becomes a finished stroke (B) and after (E).  Whatever was
announced as finished has to be there after the kill; at most the one that was under way may be
there too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import cv2
import numpy as np

from segstudio.core.errors import SegStudioError
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import fingerprint
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.journal import recover
from segstudio.editing.tools.brush import Brush
from segstudio.session.corrections import Correction
from segstudio.session.session import Session
from segstudio.session.settings import Settings

LONGEST = 0.06
"""Seconds that a child lives at most when it is killed whatever it does."""


def open_session(folder: Path) -> Session:
    session = Session(Settings(folder / "settings.json"))
    session.open_dataset(folder)
    return session


def paint(folder: Path, seed: int, pipe: int) -> None:
    """Paint, undo, redo, save and switch images until killed."""
    generator = np.random.default_rng(seed)
    session = open_session(folder)
    assert session.dataset is not None
    names = [sample.sample_id for sample in session.dataset.samples[:3]]
    known: list[str] = []
    name, correction = "", None

    def say(word: str, content: str) -> None:
        os.write(pipe, f"{word} {name} {content}\n".encode())

    while True:
        what = generator.uniform()
        if correction is None or what < 0.03:
            if correction is not None:
                session.corrections.leave(name)
            name = names[generator.integers(len(names))]
            correction = session.open_correction(name, source="ground-truth")
            known = [correction.document.fingerprint()]
            undone: list[str] = []
        elif what < 0.08:
            session.save_correction(name)
        elif what < 0.15 and len(known) > 1:
            say("B", known[-2])
            correction.document.undo()
            undone.append(known.pop())
            say("E", known[-1])
        elif what < 0.20 and undone:
            say("B", undone[-1])
            correction.document.redo()
            known.append(undone.pop())
            say("E", known[-1])
        elif stroke(correction, generator, say):
            known.append(correction.document.fingerprint())
            undone = []
            say("E", known[-1])


def stroke(correction: Correction, generator: np.random.Generator, say) -> bool:
    """Paint one stroke; False when it changes nothing."""
    document = correction.document
    before = document.fingerprint()
    driver = StrokeDriver(document, Brush(), active_class=int(generator.integers(11)))
    points = generator.uniform((0, 0), document.shape, (int(generator.integers(2, 6)), 2))
    driver.press(PointerEvent(PointerKind.PRESS, *points[0]))
    for point in points[1:]:
        driver.move(PointerEvent(PointerKind.MOVE, *point))
    after = document.fingerprint()
    if after != before:
        say("B", after)
    driver.release(PointerEvent(PointerKind.RELEASE, *points[-1]))
    assert document.fingerprint() == after
    return after != before


def broken_files(project: Path) -> list[str]:
    """Return the files that hold half of something."""
    broken = []
    for path in project.rglob("*"):
        if path.suffix == ".png" and not path.name.startswith("."):
            data = path.read_bytes()
            # The last bytes of a PNG are its end chunk; a decoder forgives a missing half.
            if not data.endswith(b"IEND\xaeB`\x82") or cv2.imread(str(path), -1) is None:
                broken.append(str(path))
        elif path.suffix == ".journal":
            try:
                recover(path)
            except SegStudioError as error:
                broken.append(f"{path}: {error}")
    return broken


def cut_is_whole(journal: Path, generator: np.random.Generator) -> bool:
    """Cut a copy of a journal anywhere; return whether just its whole records are left."""
    whole, data = recover(journal), journal.read_bytes()
    copy = journal.with_suffix(".cut")
    copy.write_bytes(data[: generator.integers(len(data) + 1)])
    cut = recover(copy)
    size = copy.stat().st_size
    copy.unlink()
    if whole is None or cut is None:
        return cut is None and (whole is None or not whole.strokes or size < whole.end)
    same = all(
        one.name == other.name and one.pieces == other.pieces
        for one, other in zip(cut.strokes, whole.strokes, strict=False)
    )
    # The next record, whole, would not have fitted.
    return same and cut.end <= size and (len(cut.strokes) == len(whole.strokes) or size < whole.end)


def main(folder: Path, kills: int, seed: int) -> dict[str, object]:
    generator = np.random.default_rng(seed)
    session = open_session(folder)
    assert session.dataset is not None
    expected = {
        sample.sample_id: fingerprint(session.read_target(sample.sample_id))
        for sample in session.dataset.samples[:3]
    }
    session.close()
    finished = lost = cuts = bad_cuts = under_way = 0
    broken: list[str] = []
    for number in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                paint(folder, seed * 100_003 + number, writer)
            finally:  # only an error comes here
                traceback.print_exc()
                os._exit(3)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            said = b""
            if generator.uniform() < 0.1:
                time.sleep(generator.uniform(0, LONGEST))  # while it still opens the project
            else:
                # After some of its words, so that a busy machine kills at the same places.
                for _ in range(generator.integers(1, 16)):
                    said += stream.readline()
                time.sleep(generator.exponential(0.002))
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), "the child died of an error"
            lines = (said + stream.read()).decode().splitlines()
        begun: dict[str, str] = {}
        for line in lines:
            word, name, content = line.split()
            if word == "B":
                begun[name] = content
            else:
                begun.pop(name)
                expected[name] = content
                finished += 1
        broken += broken_files(folder / ".segstudio")
        for journal in (folder / ".segstudio" / "journal").rglob("*.journal"):
            cuts += 1
            bad_cuts += not cut_is_whole(journal, generator)
        session = open_session(folder)
        for name, content in expected.items():
            found = session.open_correction(name, source="ground-truth").document.fingerprint()
            if found not in (content, begun.get(name)):
                lost += 1
            under_way += found != content
            expected[name] = found
        session.close()
    return {
        "kills": kills,
        "finished_strokes": finished,
        "lost": lost,
        "under_way_but_kept": under_way,
        "broken_files": broken,
        "cuts": cuts,
        "bad_cuts": bad_cuts,
    }


if __name__ == "__main__":
    cv2.setNumThreads(0)
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
