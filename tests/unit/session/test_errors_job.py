"""Error analysis of a run: what is missing is found in a thread, stored, and asked for again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segstudio.analysis import run as analysis_run
from segstudio.analysis.regions import RegionFilter
from segstudio.analysis.sample import analyse_sample
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.core.errors import CorruptProjectError, UsageError, WriteError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import mean_iou
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.session.settings import Settings

RUN = "stored"
SPACE = load_label_space("camvid")
BLOCK = (slice(20, 40), slice(8, 40))


class Jobs:
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

    def end(self, job_id: str | None) -> JobState:
        def found() -> list[JobState]:
            return [state for state in self.states if state.job_id == job_id and state.is_over]

        with self._changed:
            assert self._changed.wait_for(lambda: bool(found()), timeout=60)
        return found()[0]


def predict(session: Session, sample_id: str, prediction: np.ndarray) -> None:
    layout = session.layout
    write_label_map(layout.layer(RUN, "labels", sample_id), prediction)
    write_label_map(layout.layer(RUN, "runner_up", sample_id), session.read_target(sample_id))
    for layer, level in (("entropy", 51), ("confidence", 204)):
        values = np.full(prediction.shape, level, np.uint8)
        write_gray(layout.layer(RUN, layer, sample_id), values)
    session.store.finish_sample(RUN, sample_id, seconds=0.1)


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path) -> Iterator[Session]:
    """A finished run that is wrong in one block of each image."""
    opened = Session(Settings(tmp_path / "settings.json"))
    dataset = opened.open_dataset(dataset_folder)
    opened.store.begin_run(RUN, RUN, "identity", SPACE, {})
    for number, sample in enumerate(dataset.samples):
        prediction = opened.read_target(sample.sample_id).copy()
        prediction[:4] = 0
        prediction[BLOCK] = number
        predict(opened, sample.sample_id, prediction)
    yield opened
    opened.close()


def expected(session: Session, sample_id: str) -> np.ndarray:
    prediction = session.read_layer(RUN, "labels", sample_id)
    return confusion_matrix(session.read_target(sample_id), prediction, 11, ignore_index=255)


def test_what_is_missing_is_found_and_kept(session: Session) -> None:
    ids = [sample.sample_id for sample in session.dataset.samples]
    assert session.error_summary(RUN).missing == 6
    assert np.isnan(session.error_summary(RUN).miou)
    jobs = Jobs(session)
    end = jobs.end(session.start_error_analysis(RUN))
    assert (end.state, end.done, end.total, end.failed) == ("done", 6, 6, 0)
    assert end.unit == "analysed" and end in session.jobs()
    whole = sum(expected(session, sample_id) for sample_id in ids)
    summary = session.error_summary(RUN)
    assert (summary.analysed, summary.missing) == (6, 0)
    np.testing.assert_array_equal(summary.counts.taxonomy.confusion, whole)
    assert summary.miou == float(mean_iou(whole))
    wrong = int(whole.sum() - np.trace(whole[:, :11]))
    assert summary.pixels.sum() == wrong
    assert summary.shares.sum() == pytest.approx(1)
    assert (summary.if_fixed[summary.pixels > 0] > summary.miou).all()
    assert summary.size_miou.shape == (3,) and summary.boundary_iou.shape == (11,)
    regions = session.error_regions(RUN)
    assert regions.regions == summary.regions == len(regions.table)
    assert regions.pixels == regions.all_pixels == wrong
    assert session.start_error_analysis(RUN) is None, "there is nothing left to do"


def test_regions_are_those_of_the_samples(session: Session) -> None:
    jobs = Jobs(session)
    jobs.end(session.start_error_analysis(RUN))
    sample_id = session.dataset.samples[2].sample_id
    layers = {
        name: session.read_layer(RUN, name, sample_id)
        for name in ("labels", "entropy", "confidence", "runner_up")
    }
    alone = analyse_sample(
        session.read_target(sample_id),
        layers["labels"],
        11,
        entropy=layers["entropy"],
        confidence=layers["confidence"],
        runner_up=layers["runner_up"],
        name=sample_id,
    )
    found = session.error_regions(RUN, RegionFilter(sample_id=sample_id))
    assert found.table.regions() == alone.regions.ranked().regions()
    first = found.table.region(0)
    assert first.mean_entropy == pytest.approx(0.2)
    assert first.mean_confidence == pytest.approx(0.8)
    assert first.runner_up_share == 1.0
    limited = session.error_regions(RUN, RegionFilter(minimal_area=65), limit=3)
    assert len(limited.table) == 3 < limited.regions
    assert limited.pixels < limited.all_pixels
    assert limited.table.rows["area"].min() >= 65
    kind = ErrorKind(int(limited.table.rows["kind"][0]))
    only = session.error_regions(RUN, RegionFilter(kind=kind))
    assert set(only.table.rows["kind"].tolist()) == {int(kind)}


def test_only_what_changed_is_analysed_again(session: Session) -> None:
    jobs = Jobs(session)
    jobs.end(session.start_error_analysis(RUN))
    before = session.error_summary(RUN)
    first, second = (sample.sample_id for sample in session.dataset.samples[:2])
    predict(session, first, session.read_target(first))
    target_path = session.dataset.sample(second).target_path
    changed = session.read_target(second)
    changed[:] = 5
    write_label_map(target_path, changed)
    assert session.errors.missing(RUN) == [first, second]
    between = session.error_summary(RUN)
    assert (between.analysed, between.missing) == (4, 2), "old numbers are not shown for new"
    end = jobs.end(session.start_error_analysis(RUN))
    assert end.total == 2
    after = session.error_summary(RUN)
    assert after.missing == 0 and after.regions != before.regions
    whole = sum(expected(session, sample.sample_id) for sample in session.dataset.samples)
    np.testing.assert_array_equal(after.counts.taxonomy.confusion, whole)
    assert session.error_regions(RUN, RegionFilter(sample_id=first)).regions == 0
    # Redone and analysed again before anybody asked: what is kept is of the old prediction.
    predict(session, second, changed)
    jobs.end(session.start_error_analysis(RUN))
    assert session.error_regions(RUN, RegionFilter(sample_id=second)).regions == 0


def test_a_stopped_job_keeps_what_it_has(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(session)
    job_ids: list[str] = []
    started, stopped = threading.Event(), threading.Event()
    real = analysis_run.analyse_sample
    calls: list[str] = []

    def slow(*args, name: str, **more):
        calls.append(name)
        if len(calls) == 3:
            started.set()
            assert stopped.wait(timeout=60)
        return real(*args, name=name, **more)

    monkeypatch.setattr(analysis_run, "analyse_sample", slow)
    job_ids.append(session.start_error_analysis(RUN))
    assert started.wait(timeout=60)
    assert session.start_error_analysis(RUN) == job_ids[0], "one at a time per run"
    session.cancel(job_ids[0])
    stopped.set()
    assert jobs.end(job_ids[0]).state == "cancelled"
    assert calls == [sample.sample_id for sample in session.dataset.samples[:3]]
    assert session.error_summary(RUN).analysed == 3
    monkeypatch.undo()
    assert jobs.end(session.start_error_analysis(RUN)).total == 3
    assert session.error_summary(RUN).missing == 0
    assert jobs.problems == []


def test_another_dataset_waits_for_the_sample_at_hand(
    session: Session, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()
    real = analysis_run.analyse_sample

    def slow(*args, **more):
        started.set()
        assert go_on.wait(timeout=60)
        return real(*args, **more)

    monkeypatch.setattr(analysis_run, "analyse_sample", slow)
    jobs = Jobs(session)
    job_id = session.start_error_analysis(RUN)
    assert started.wait(timeout=60)
    opening = threading.Thread(target=session.open_dataset, args=(dataset_folder,))
    opening.start()
    assert session._error_jobs.jobs._jobs[job_id].cancel.wait(timeout=60)
    go_on.set()
    opening.join(timeout=60)
    assert jobs.end(job_id).state == "cancelled"
    assert jobs.problems == []
    assert session.error_summary(RUN).analysed == 1


def test_a_damaged_sample_is_a_sentence_and_the_rest_goes_on(session: Session) -> None:
    jobs = Jobs(session)
    broken = session.dataset.samples[1].sample_id
    session.layout.layer(RUN, "labels", broken).write_bytes(b"no picture")
    end = jobs.end(session.start_error_analysis(RUN))
    assert (end.state, end.done, end.failed) == ("done", 5, 1)
    assert len(jobs.problems) == 1 and broken in jobs.problems[0]
    summary = session.error_summary(RUN)
    assert (summary.analysed, summary.missing) == (5, 1)


def test_damaged_blobs_are_a_sentence(session: Session) -> None:
    jobs = Jobs(session)
    jobs.end(session.start_error_analysis(RUN))
    with session.store._transaction() as connection:
        connection.execute("UPDATE errors SET regions = x'00'")
    with pytest.raises(CorruptProjectError, match="analyse the run again"):
        session.errors.__class__(session.dataset, session.store, session.layout).summary(RUN)


def test_without_ground_truth_there_are_no_errors(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    source = session.dataset.samples[0].image_path
    (folder / "0.png").write_bytes(source.read_bytes())
    session.open_dataset(folder)
    session.store.begin_run(RUN, RUN, "identity", SPACE, {})
    with pytest.raises(UsageError, match="no ground truth"):
        session.start_error_analysis(RUN)
    with pytest.raises(UsageError, match="no ground truth"):
        session.error_summary(RUN)


def test_a_failure_is_told_and_one_after_a_stop_is_none(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(session)

    def fail(run, sample_ids, *, is_cancelled):
        raise WriteError("Cannot write the project.")
        yield

    monkeypatch.setattr(session.errors, "analyse", fail)
    end = jobs.end(session.start_error_analysis(RUN))
    assert (end.state, end.message) == ("failed", "Cannot write the project.")
    assert jobs.problems == ["Cannot write the project."]
    started, stopped = threading.Event(), threading.Event()

    def fail_late(run, sample_ids, *, is_cancelled):
        started.set()
        assert stopped.wait(timeout=60)
        yield from fail(run, sample_ids, is_cancelled=is_cancelled)

    monkeypatch.setattr(session.errors, "analyse", fail_late)
    job_id = session.start_error_analysis(RUN)
    assert started.wait(timeout=60)
    session.cancel(job_id)
    stopped.set()
    assert jobs.end(job_id).state == "cancelled"
    assert len(jobs.problems) == 1


def test_a_correction_puts_regions_right(session: Session) -> None:
    jobs = Jobs(session)
    sample_id = session.dataset.samples[3].sample_id
    target = session.read_target(sample_id)
    # One block without its first quarter: the region does not fill its box.
    wrong = np.zeros(target.shape, bool)
    wrong[16:24, 24:32] = True
    wrong[16:20, 24:28] = False
    assert len(np.unique(target[16:24, 24:32])) == 1
    prediction = np.where(wrong, (target + 1) % 11, target).astype(np.uint8)
    predict(session, sample_id, prediction)
    jobs.end(session.start_error_analysis(RUN))
    (region,) = session.error_regions(RUN, RegionFilter(sample_id=sample_id)).table.regions()
    assert region.area == 48 and region.box.height * region.box.width == 64
    assert session.errors.corrected_shares(RUN, [region]) == [None]

    def correct(label_map: np.ndarray) -> list[float | None]:
        write_label_map(session.layout.correction(sample_id), label_map)
        session.store.add_correction(sample_id, SPACE, RUN)
        return session.errors.corrected_shares(RUN, [region])

    assert correct(prediction) == [0.0]
    half = prediction.copy()
    half[20:24, 24:32] = target[20:24, 24:32]
    assert correct(half) == [pytest.approx(32 / 48)]
    assert correct(target) == [1.0]
    # Another mistake there is not right either.
    assert correct(np.where(wrong, (target + 2) % 11, target).astype(np.uint8)) == [0.0]
