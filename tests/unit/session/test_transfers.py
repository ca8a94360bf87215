"""Exports and imports as jobs; what an export knows of origins and ground truth."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.exporters.base import EXPORTERS
from segstudio.session.beginnings import GROUND_TRUTH
from segstudio.session.session import Session
from segstudio.session.settings import Settings
from segstudio.session.transfers import TransferDone


class News:
    """What a session told."""

    def __init__(self, session: Session) -> None:
        self.over = threading.Event()
        self.done: list[TransferDone] = []
        self.states: list[Any] = []
        self.failed: list[Any] = []
        session.transfers.finished.connect(self.done.append)
        session.sample_failed.connect(self.failed.append)
        session.job_changed.connect(self._on_job)

    def _on_job(self, state: Any) -> None:
        self.states.append(state)
        if state.is_over:
            self.over.set()

    def wait(self) -> Any:
        assert self.over.wait(60)
        self.over.clear()
        return self.states[-1]


@pytest.fixture
def session(tmp_path: Path, dataset_folder: Path) -> Iterator[Session]:
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


def bring(session: Session, news: News, folder: Path, **options: Any) -> str:
    session.transfers.start_import(folder, **options)
    assert news.wait().state == "done"
    return news.done[-1].run


def test_an_import_is_a_job_with_its_notes(
    session: Session, dataset_folder: Path, tmp_path: Path
) -> None:
    news = News(session)
    shutil.copytree(dataset_folder / "masks", tmp_path / "mine")
    (tmp_path / "mine" / "0.png").write_bytes(b"broken")
    (tmp_path / "mine" / "1.png").unlink()
    ready: list[Any] = []
    session.prediction_ready.connect(ready.append)
    job = session.transfers.start_import(tmp_path / "mine", name="theirs")
    state = news.wait()
    assert (state.state, state.done, state.failed) == ("done", 4, 1)
    assert state.message == "4 images in the run theirs"
    assert [(e.sample_id, e.job_id) for e in news.failed] == [("images/0.png", job)]
    assert all(e.miou == 1.0 and e.generation == session.generation for e in ready)
    assert any("without a prediction" in note for note in news.done[0].notes)
    assert job in [state.job_id for state in session.jobs()]
    assert session.read_layer("theirs", "entropy", "images/2.png") is None
    assert session.evaluate(["theirs"]).runs[0].uncertainty is None


def test_an_export_says_what_is_there_and_goes_on(session: Session, tmp_path: Path) -> None:
    news, out = News(session), tmp_path / "out"
    transfers = session.transfers
    before = transfers.find_existing("index-png", out, "ground-truth")
    assert (before.there, before.first) == (0, "")
    transfers.start_export("index-png", out, what="ground-truth")
    assert news.wait().state == "done"
    assert "files in" in news.done[0].sentence
    after = transfers.find_existing("index-png", out, "ground-truth")
    assert after.there == after.total == before.total > 6 and after.first
    path = out / "images" / "0.png"
    path.write_bytes(b"mine")
    transfers.start_export("index-png", out, what="ground-truth")
    assert news.wait().state == "failed" and path.read_bytes() == b"mine"
    transfers.start_export("index-png", out, what="ground-truth", existing="keep")
    assert news.wait().state == "done" and path.read_bytes() == b"mine"
    transfers.start_export("index-png", out, what="ground-truth", existing="replace")
    assert news.wait().state == "done" and path.read_bytes() != b"mine"


def test_a_stopped_export_keeps_what_is_done(session: Session, tmp_path: Path) -> None:
    news, out = News(session), tmp_path / "out"

    def stop(state: Any) -> None:
        if state.done and state.state == "running":
            session.cancel(state.job_id)

    session.job_changed.connect(stop)
    session.transfers.start_export("index-png", out, what="ground-truth")
    assert news.wait().state == "cancelled" and not news.done
    kept = {path: path.read_bytes() for path in out.rglob("*.png")}
    session.job_changed.disconnect(stop)
    assert 0 < len(kept) < 6
    session.transfers.start_export("index-png", out, what="ground-truth", existing="keep")
    assert news.wait().state == "done" and len(list(out.rglob("*.png"))) == 6


def test_remarks_and_refusals_come_before_anything_is_written(session: Session) -> None:
    transfers = session.transfers
    assert transfers.remarks("index-png", "ground-truth") == []
    assert transfers.remarks("corrected", "corrections") == []  # there are none
    with pytest.raises(UsageError, match="not 'nonsense'"):
        transfers.remarks("index-png", "nonsense")
    with pytest.raises(UsageError, match="no corrections"):
        transfers.start_export("index-png", Path("/nowhere"), what="corrections")


def test_scores_are_written_against_the_ground_truth(
    session: Session, dataset_folder: Path, tmp_path: Path
) -> None:
    news = News(session)
    shutil.copytree(dataset_folder / "masks", tmp_path / "mine")
    run = bring(session, news, tmp_path / "mine")
    items, space = session.export_items(f"prediction:{run}")
    EXPORTERS.get("scores-csv")().write(items, tmp_path / "out", label_space=space)
    rows = list(csv.DictReader((tmp_path / "out" / "samples.csv").read_text().splitlines()))
    assert len(rows) == 6 and all(float(row["miou"]) == 1.0 for row in rows)
    pooled = json.loads((tmp_path / "out" / "scores.json").read_text())["pooled"]
    assert pooled["miou"] == 1.0


def paint(session: Session, sample_id: str, source: str | None) -> None:
    """Save a correction that differs from its source in one block."""
    correction = session.open_correction(sample_id, source=source)
    before = np.asarray(correction.document.label_map)[10:14, 10:14]
    after = np.where(before == 3, 4, 3).astype(np.uint8)
    correction.document.apply(MaskPatch(BBox(10, 10, 14, 14), before, after))
    session.save_correction(sample_id)


def test_corrections_know_where_their_pixels_come_from(
    session: Session, dataset_folder: Path, tmp_path: Path
) -> None:
    news = News(session)
    shutil.copytree(dataset_folder / "masks", tmp_path / "mine")
    run = bring(session, news, tmp_path / "mine")
    for number, source in enumerate((run, GROUND_TRUTH, None)):
        paint(session, f"images/{number}.png", source)
    paint(session, "images/0.png", None)  # painted once more: what it began with stays
    items, space = session.export_items("corrections")
    EXPORTERS.get("corrected")().write(items, tmp_path / "out", label_space=space)
    values = json.loads((tmp_path / "out" / "provenance.json").read_text())
    for number, origin in enumerate(("model", "imported", "unlabelled")):
        path = next((tmp_path / "out" / "provenance").rglob(f"{number}.png"))
        found = np.asarray(Image.open(path))
        assert (found[10:14, 10:14] == values["human"]).all() or number == 0
        assert found[30, 30] == values[origin]
