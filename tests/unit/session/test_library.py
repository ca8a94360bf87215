"""What a session knows of models, and how it looks at a user's files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from segstudio.checkpoints.catalogue import entry_folder, find_entry
from segstudio.inference.catalogue import embedded_models
from segstudio.session.events import ModelReport
from segstudio.session.session import Session
from segstudio.session.settings import Settings

PUBLISHED = "tv_fcn_resnet50"


@pytest.fixture
def session(tmp_path: Path):
    session = Session(Settings(tmp_path / "settings.json"))
    yield session
    session.close()


@pytest.fixture
def mine(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_model, tmp_path / "mine.safetensors"))


def _look(session: Session, path: Path) -> ModelReport:
    found: list[ModelReport] = []
    there = threading.Event()

    def on_report(report: ModelReport) -> None:
        found.append(report)
        there.set()

    session.model_inspected.connect(on_report)
    session.inspect_model(path)
    assert there.wait(120)
    session.model_inspected.disconnect(on_report)
    return found[0]


def _fetched(name: str) -> Path:
    entry = find_entry(name)
    path = entry_folder(entry) / entry.weights[0].name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def test_a_file_is_looked_at_in_another_process_and_remembered(
    session: Session, mine: Path
) -> None:
    report = _look(session, mine)
    assert report.error is None and report.facts is not None and report.facts["fits"]
    (model,) = (entry for entry in session.models() if entry.name == str(mine))
    assert (model.title, model.architecture, model.dataset) == (mine.name, "enet", "CamVid")
    assert model.parameters and model.size == mine.stat().st_size and "filled" in model.card
    assert model in session.library.familiar()

    # A later start shows the same and loads no torch for it.
    code = (
        "import sys; from pathlib import Path; from segstudio.session.session import Session; "
        "from segstudio.session.settings import Settings; "
        f"s = Session(Settings(Path({str(session.settings.path)!r}))); "
        f"print([m.architecture for m in s.catalogue() if m.name == {str(mine)!r}], "
        "'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['enet'] False"

    # What is known of another file under the same name is not told of this one.
    with mine.open("ab") as file:
        file.write(b" ")
    assert session.library.facts(str(mine)) is None
    (model,) = (entry for entry in session.models() if entry.name == str(mine))
    assert model.architecture == "" and model.card == ""
    session.library.remove(str(mine))
    assert str(mine) not in {entry.name for entry in session.catalogue()}
    assert session.settings.get("model_facts") == {}


def test_what_is_no_checkpoint_is_a_sentence_and_not_listed(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "notes.pth"
    path.write_text("no weights\n")
    report = _look(session, path)
    assert report.facts is None
    assert report.error == f"{path} is not a checkpoint: it is a text file."
    assert str(path) not in {entry.name for entry in session.catalogue()}


def test_a_folder_is_named_by_its_path(session: Session, mine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    mine.rename(folder / "weights.safetensors")
    assert _look(session, folder).error is None
    assert session.library.facts(str(folder))["classes"] == 11  # type: ignore[index]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_a_lost_process_is_a_sentence_and_the_next_file_gets_a_new_one(
    session: Session, mine: Path
) -> None:
    found: list[ModelReport] = []
    there = threading.Event()
    session.model_inspected.connect(lambda report: (found.append(report), there.set()))
    session.inspect_model(mine)
    worker = session.library._client.process_id
    assert worker is not None
    os.kill(worker, signal.SIGKILL)  # long before it has loaded torch
    assert there.wait(60)
    assert found[0].path == str(mine) and "could not be looked at" in str(found[0].error)
    assert _look(session, mine).error is None


def test_models_that_fit_partly_cannot_run(session: Session, mine: Path) -> None:
    facts = _look(session, mine).facts
    assert facts is not None
    broken = facts | {"fits": False, "missing": ["a.weight"]}
    session.library._remember(ModelReport(str(mine), broken))
    assert str(mine) in {entry.name for entry in session.catalogue()}
    assert str(mine) not in {entry.name for entry in session.models()}
    assert not session.library.fits(str(mine)) and session.library.fits("enet-camvid")


def test_published_models_are_offered_once_they_were_used(session: Session) -> None:
    path = _fetched(PUBLISHED)
    embedded = {entry.name for entry in embedded_models()}
    assert PUBLISHED in {entry.name for entry in session.models()}
    assert {entry.name for entry in session.library.familiar()} == embedded
    session.library.mark_used([PUBLISHED])
    session.library.mark_used(["enet-camvid"])
    assert {entry.name for entry in session.library.familiar()} == {*embedded, PUBLISHED}
    path.unlink()
    assert {entry.name for entry in session.library.familiar()} == embedded


def test_a_published_file_is_known_by_its_name(session: Session, tmp_path: Path) -> None:
    path = _fetched(PUBLISHED)
    assert session.library.name_of(path) == PUBLISHED
    other = tmp_path / path.name
    other.touch()
    assert session.library.name_of(other) == str(other)


def test_settings_of_another_shape_are_no_obstacle(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    for key, value in (("models", "x"), ("model_facts", [1]), ("used_models", {"a": 1})):
        settings.set(key, value)
    session = Session(settings)
    embedded = {entry.name for entry in embedded_models()}
    assert {entry.name for entry in session.library.familiar()} == embedded
    settings.set("model_facts", {"y": {"path": 5}})
    settings.set("models", [5, str(tmp_path)])
    assert len([entry for entry in session.catalogue() if not entry.source]) == 1
    session.close()
