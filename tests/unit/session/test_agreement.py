"""Counting agreement: what is missing, what is kept, and the job that does it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import CancelledError, UnknownNameError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.session.agreement import RunAgreements
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.session.settings import Settings

SPACE = load_label_space("camvid")
RUNS = ("one", "two", "three")


def _predict(session: Session, run: str, sample_id: str, labels: np.ndarray) -> None:
    layout = session.layout
    write_label_map(layout.layer(run, "labels", sample_id), labels)
    for layer in ("entropy", "confidence"):
        write_gray(layout.layer(run, layer, sample_id), np.full(labels.shape, 10, np.uint8))
    session.store.finish_sample(run, sample_id, seconds=0.1)


def _labels(session: Session, sample_id: str, wrong: int) -> np.ndarray:
    labels = np.asarray(session.read_target(sample_id)).copy()
    labels[labels == 255] = 0
    labels[10 : 10 + wrong] = (labels[10 : 10 + wrong] + 1) % 11
    return labels


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path) -> Iterator[Session]:
    """Three runs, wrong in 0, 4 and 8 of 48 rows; "three" has only the first four images."""
    opened = Session(Settings(tmp_path / "settings.json"))
    dataset = opened.open_dataset(dataset_folder)
    for number, run in enumerate(RUNS):
        opened.store.begin_run(run, run, run, SPACE, {})
        for sample in dataset.samples[: 4 if run == "three" else 6]:
            _predict(opened, run, sample.sample_id, _labels(opened, sample.sample_id, 4 * number))
    yield opened
    opened.close()


@pytest.fixture
def agreements(session: Session) -> RunAgreements:
    assert session.dataset is not None
    return RunAgreements(session.dataset, session.store, session.layout)


def _count(agreements: RunAgreements, runs: tuple[str, ...] = RUNS) -> list[str]:
    return list(agreements.count(agreements.missing(runs)))


def test_every_pair_is_counted_over_what_both_have(agreements: RunAgreements) -> None:
    assert _count(agreements) == [""] * 6
    found = agreements.consensus(RUNS)
    np.testing.assert_allclose(
        found.share, [[1, 44 / 48, 40 / 48], [44 / 48, 1, 44 / 48], [40 / 48, 44 / 48, 1]]
    )
    assert found.samples == 6
    assert found.pairs["one", "three"].samples == 4
    pair = found.pairs["one", "two"]
    assert pair.labelled == 6 * 44 * 64 and pair.only_b_right == 0
    assert pair.only_a_right == 6 * 4 * 64
    assert pair.both_wrong_same == pair.both_wrong_different == 0
    both = found.pairs["two", "three"]
    assert both.both_wrong_and_sure() == both.both_wrong_same == 4 * 4 * 64
    worst = dict(found.disagreement)
    assert worst["images/0.png"] == pytest.approx((4 + 8 + 4) / 48 / 3)
    assert worst["images/5.png"] == pytest.approx(4 / 48)


def test_only_what_is_new_is_counted(session: Session, agreements: RunAgreements) -> None:
    _count(agreements)
    assert agreements.missing(RUNS) == {}
    _predict(session, "three", "images/4.png", _labels(session, "images/4.png", 8))
    assert agreements.missing(RUNS) == {"images/4.png": [("one", "three"), ("two", "three")]}
    _count(agreements)
    assert agreements.consensus(RUNS).pairs["one", "three"].samples == 5


def test_a_result_that_is_made_again_is_counted_again(
    session: Session, agreements: RunAgreements
) -> None:
    _count(agreements)
    _predict(session, "two", "images/0.png", _labels(session, "images/0.png", 0))
    _count(agreements)
    found = agreements.consensus(("one", "two"))
    assert found.pairs["one", "two"].samples == 6
    assert found.share[0, 1] == pytest.approx(1 - 5 / 6 * 4 / 48)
    assert dict(found.disagreement)["images/0.png"] == 0.0


def test_ground_truth_that_changes_is_counted_again(
    session: Session, agreements: RunAgreements, dataset_folder: Path
) -> None:
    _count(agreements)
    mask = dataset_folder / "masks" / "0.png"
    labels = np.full((48, 64), 255, np.uint8)
    labels[0, 0] = _labels(session, "images/0.png", 0)[0, 0]
    write_gray(mask, labels)
    assert set(agreements.missing(("one", "two"))) == {f"images/{n}.png" for n in range(6)}
    _count(agreements)
    assert agreements.consensus(("one", "two")).pairs["one", "two"].labelled == 5 * 44 * 64 + 1


def test_a_damaged_file_is_one_sentence_and_the_rest_is_counted(
    session: Session, agreements: RunAgreements
) -> None:
    path = session.layout.layer("two", "labels", "images/3.png")
    path.write_bytes(b"no picture")
    told = _count(agreements, ("one", "two"))
    assert [bool(text) for text in told] == [False, False, False, True, False, False]
    assert str(path) in told[3]
    assert agreements.consensus(("one", "two")).samples == 5
    assert set(agreements.missing(("one", "two"))) == {"images/3.png"}


def test_runs_of_other_classes_are_left_out(session: Session, agreements: RunAgreements) -> None:
    space = load_label_space("cityscapes")
    session.store.begin_run("city", "city", "city", space, {})
    _predict(session, "city", "images/0.png", np.zeros((48, 64), np.uint8))
    assert agreements.missing(("one", "city")) == {}
    found = agreements.consensus(("one", "city"))
    assert np.isnan(found.kappa[0, 1]) and found.disagreement == ()
    with pytest.raises(UnknownNameError, match="nobody"):
        agreements.missing(("one", "nobody"))


def test_images_without_ground_truth_agree_all_the_same(tmp_path: Path, session: Session) -> None:
    import cv2

    folder = tmp_path / "plain"
    folder.mkdir()
    cv2.imwrite(str(folder / "x.png"), np.zeros((48, 64, 3), np.uint8))
    session.open_dataset(folder)
    for number, run in enumerate(RUNS[:2]):
        session.store.begin_run(run, run, run, SPACE, {})
        _predict(session, run, "x.png", np.full((48, 64), number, np.uint8))
    assert session.dataset is not None
    agreements = RunAgreements(session.dataset, session.store, session.layout)
    assert _count(agreements, RUNS[:2]) == [""]
    found = agreements.consensus(RUNS[:2])
    assert found.share[0, 1] == 0.0 and found.pairs["one", "two"].labelled == 0


def test_cancelling_keeps_what_was_counted(agreements: RunAgreements) -> None:
    work = agreements.missing(("one", "two"))
    done: list[str] = []
    with pytest.raises(CancelledError):
        for problem in agreements.count(work, is_cancelled=lambda: len(done) == 2):
            done.append(problem)
    assert agreements.consensus(("one", "two")).samples == 2
    assert len(agreements.missing(("one", "two"))) == 4


# -- the job -----------------------------------------------------------------------------------


class News:
    """Collects a session's news and waits for ends."""

    def __init__(self, session: Session) -> None:
        self.states: list[JobState] = []
        self.problems: list[str] = []
        self._changed = threading.Condition()
        session.job_changed.connect(self._add)
        session.problem.connect(self.problems.append)

    def _add(self, state: JobState) -> None:
        with self._changed:
            self.states.append(state)
            self._changed.notify_all()

    def end(self, job_id: str) -> JobState:
        def ended() -> list[JobState]:
            return [state for state in self.states if state.job_id == job_id and state.is_over]

        with self._changed:
            assert self._changed.wait_for(lambda: bool(ended()), timeout=120)
        return ended()[0]


def test_the_job_tells_how_far_it_is(session: Session) -> None:
    news = News(session)
    job_id = session.comparisons.start(RUNS)
    assert job_id is not None
    end = news.end(job_id)
    assert (end.state, end.done, end.total, end.failed) == ("done", 6, 6, 0)
    mine = [state for state in news.states if state.job_id == job_id]
    assert {state.unit for state in mine} == {"compared"}
    assert mine[0].state == "starting" and "3 runs" in mine[0].title
    assert end in session.jobs()
    assert session.comparisons.consensus(RUNS).samples == 6
    assert session.comparisons.start(RUNS) is None, "nothing is missing"
    assert news.problems == []


def test_the_job_tells_what_it_could_not_read(session: Session) -> None:
    for number in (1, 2):
        path = session.layout.layer("two", "labels", f"images/{number}.png")
        path.write_bytes(b"no picture")
    news = News(session)
    job_id = session.comparisons.start(("one", "two"))
    assert job_id is not None
    end = news.end(job_id)
    assert (end.state, end.failed) == ("done", 2)
    assert end.done == 4
    assert len(news.problems) == 1
    assert news.problems[0].startswith("2 images could not be compared; the first: ")


def test_a_job_can_be_stopped(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    real = RunAgreements._count_pair

    def slow(self: RunAgreements, *args: object) -> None:
        entered.set()
        assert go_on.wait(60)
        real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RunAgreements, "_count_pair", slow)
    news = News(session)
    job_id = session.comparisons.start(("one", "two"))
    assert job_id is not None and entered.wait(60)
    session.cancel(job_id)
    go_on.set()
    assert news.end(job_id).state == "cancelled"
    assert session.comparisons.consensus(("one", "two")).samples <= 1
    assert not session.comparisons.jobs.cancel("no such job")


def test_an_image_and_what_is_known_of_it(session: Session) -> None:
    compared = session.comparisons.read(RUNS, "images/5.png", ("three", "one"))
    assert [run.run for run in compared.runs] == list(RUNS)
    assert compared.pair == (2, 0)
    assert compared.runs[2].labels is None and compared.runs[2].problem
    assert compared.correction is None and compared.target is not None
    np.testing.assert_array_equal(compared.runs[1].labels, _labels(session, "images/5.png", 4))
    write_label_map(
        session.layout.layer("one", "labels", "images/5.png"), np.zeros((3, 3), np.uint8)
    )
    again = session.comparisons.read(RUNS, "images/5.png")
    assert again.pair is None
    assert again.runs[0].labels is None and "size" in again.runs[0].problem


def test_a_saved_correction_is_read(session: Session) -> None:
    correction = session.open_correction("images/0.png", source="one")
    assert correction.label_space.names == SPACE.names
    session.save_correction("images/0.png")
    found = session.comparisons.read_correction("images/0.png", (48, 64))
    assert found is not None
    np.testing.assert_array_equal(found[0], correction.document.label_map)
    assert session.comparisons.read_correction("images/0.png", (4, 4)) is None
    assert session.comparisons.read_correction("images/1.png", (48, 64)) is None


def test_the_pair_comes_from_stored_counts(session: Session) -> None:
    session.evaluate(["one", "two"])  # counts what no run has counted
    found = session.comparisons.pair("one", "two")
    assert found.runs == ("one", "two") and found.scored == 6
    assert found.pooled[0]["miou"] == 1.0 > found.pooled[1]["miou"]
    assert found.agreement is None, "no pixel was read"
