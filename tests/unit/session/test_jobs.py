"""Runs in the worker process: results arrive, cancel stops, a death is a sentence."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from segstudio.core.errors import UsageError
from segstudio.session.events import JobState, PredictionReady
from segstudio.session.session import Session
from segstudio.session.settings import Settings


class Listener:
    """Collects a session's news and lets a test wait for some."""

    def __init__(self, session: Session) -> None:
        self.states: list[JobState] = []
        self.ready: list[PredictionReady] = []
        self.problems: list[str] = []
        self._changed = threading.Condition()
        session.job_changed.connect(lambda state: self._add(self.states, state))
        session.prediction_ready.connect(lambda event: self._add(self.ready, event))
        session.problem.connect(lambda text: self._add(self.problems, text))

    def _add(self, where: list, what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def wait_for(self, condition) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=120)

    def wait_for_end(self, job_id: str) -> JobState:
        def ended() -> bool:
            return any(state.job_id == job_id and state.is_over for state in self.states)

        self.wait_for(ended)
        return next(state for state in self.states if state.job_id == job_id and state.is_over)


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path):
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


def test_run_in_the_worker(session: Session, tiny_model: Path) -> None:
    listener = Listener(session)
    job_id = session.start_run([str(tiny_model)])
    end = listener.wait_for_end(job_id)
    assert (end.state, end.done, end.total, end.failed) == ("done", 6, 6, 0)
    assert {event.generation for event in listener.ready} == {session.generation}
    (run,) = session.runs()
    sample_id = listener.ready[0].sample_id
    assert session.sample_scores(run.run)[sample_id] == listener.ready[0].miou
    for layer in ("labels", "entropy", "confidence", "runner_up"):
        stored = session.read_layer(run.run, layer, sample_id)
        assert stored is not None and stored.shape == (48, 64)
    report = session.evaluate()
    assert report.samples == 6 and not report.failed

    # The same run again has nothing to do, and is the same run.
    second = listener.wait_for_end(session.start_run([str(tiny_model)]))
    assert second.done == 6 and len(session.runs()) == 1
    assert len(listener.ready) == 6

    # A model that is none is a sentence, and the worker lives on.
    broken = session.dataset.root / "label_space.json"  # type: ignore[union-attr]
    failed = listener.wait_for_end(session.start_run([str(broken)]))
    assert failed.state == "failed" and str(broken) in failed.message
    assert listener.problems == [failed.message]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no kill -9")
def test_killed_worker_is_reported_and_replaced(session: Session, tiny_model: Path) -> None:
    listener = Listener(session)
    job_id = session.start_run([str(tiny_model)])
    worker = session._jobs._client.process_id
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    end = listener.wait_for_end(job_id)
    assert end.state == "failed" and "finished images are kept" in end.message
    assert end.is_run
    again = listener.wait_for_end(session.run_again(job_id))
    assert (again.state, again.done) == ("done", 6)
    with pytest.raises(UsageError, match="no run"):
        session.run_again("nothing")
    assert session.dataset is not None
    session.open_dataset(session.dataset.root)
    with pytest.raises(UsageError, match="ran on another dataset"):
        session.run_again(job_id)


def test_cancel_of_waiting_and_running_jobs(session: Session, tiny_model: Path) -> None:
    listener = Listener(session)
    first = session.start_run([str(tiny_model)])
    second = session.start_run([str(tiny_model)], precision="bf16")
    session.cancel(second)
    session.cancel(first)
    assert listener.wait_for_end(second).state == "cancelled"
    assert listener.wait_for_end(first).state == "cancelled"
    assert len(listener.ready) < 6
