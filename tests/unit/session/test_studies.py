"""A session's studies: mappings that score runs, stored category counts, reports as jobs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.analysis.ood import score_categories
from segstudio.core.errors import CancelledError, CorruptProjectError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session import ood_counts
from segstudio.session.mappings import MappingDocument
from segstudio.session.ood import analyse_ood
from segstudio.session.ood_counts import OodAnalysis
from segstudio.session.session import Session

ANIMALS = LabelSpace.from_json({"name": "zoo", "classes": ["cat", "dog", "ufo"]})
STREET = LabelSpace.from_json({"name": "street", "classes": ["animal", "road", "sky"]})
MAPPING = LabelMapping(
    "zoo-to-street", "zoo", "street", (("cat", ("animal",)), ("dog", ("animal",)))
)
SHAPE = (40, 48)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Five images of a zoo with a finished run in street's classes."""
    generator = np.random.default_rng(3)
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    layout = ProjectLayout(root / ".segstudio")
    layout.root.mkdir()
    (root / "label_space.json").write_text(json.dumps(ANIMALS.to_json()))
    for number in range(5):
        target = np.kron(generator.integers(0, 3, (4, 4)), np.ones((10, 12), int)).astype(np.uint8)
        cv2.imwrite(str(root / "masks" / f"{number}.png"), target)
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.zeros((*SHAPE, 3), np.uint8))
    store = Store(layout.database)
    run = store.begin_run("net", "net", "{}", STREET, {})
    for sample in open_dataset(root).samples:
        prediction = generator.integers(0, 3, SHAPE).astype(np.uint8)
        entropy = generator.integers(0, 256, SHAPE).astype(np.uint8)
        write_label_map(layout.layer(run, "labels", sample.sample_id), prediction)
        for layer in ("entropy", "confidence"):
            write_gray(layout.layer(run, layer, sample.sample_id), entropy)
        store.finish_sample(run, sample.sample_id, seconds=0.1)
    store.close()
    return root


@pytest.fixture
def session(project: Path) -> Iterator[Session]:
    session = Session()
    session.open_dataset(project)
    yield session
    session.close()


def wait(session: Session, job_id: str):
    (thread,) = [entry for entry in threading.enumerate() if entry.name == f"job-{job_id}"] or [
        None
    ]
    if thread is not None:
        thread.join(60)
    (state,) = [state for state in session.jobs() if state.job_id == job_id]
    return state


def refuse_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments, **named):
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(ood_counts, "read_source_map", refuse)
    monkeypatch.setattr("segstudio.datasets.base.Dataset.read_target", refuse)


def test_counts_are_kept_and_reopening_reads_no_pixel(
    session: Session, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = session.studies
    with pytest.raises(UsageError, match="No label mapping from zoo to street"):
        studies.start_ood("net")
    studies.choose_mapping(MappingDocument(MAPPING))
    empty, missing = studies.ood_result("net")
    assert (empty.samples, missing) == (0, 10), "five to count, five to match components of"
    state = wait(session, studies.start_ood("net"))
    assert (state.state, state.done, state.failed) == ("done", 10, 0)
    before, missing = studies.ood_result("net")
    assert (before.samples, missing) == (5, 0) and studies.start_ood("net") is None
    session.close()

    refuse_pixels(monkeypatch)
    again = Session()
    try:
        again.open_dataset(project)
        after, missing = again.studies.ood_result("net")
        assert missing == 0
        for name in ("joint", "entropy", "confidence", "images"):
            assert np.array_equal(getattr(after.counts, name), getattr(before.counts, name))
        assert after.components == before.components and after.components is not None
        strict = score_categories(after.categories, after.counts, confident=0.9)
        loose = score_categories(after.categories, after.counts, confident=0.1)
        assert all(
            one.confident_error_share > other.confident_error_share
            for one, other in zip(strict, loose, strict=True)
        )
    finally:
        again.close()


def test_what_changed_is_counted_again(session: Session, project: Path) -> None:
    studies = session.studies
    studies.choose_mapping(MappingDocument(MAPPING))
    wait(session, studies.start_ood("net"))
    first = studies.ood_result("net")[0]
    path = project / "masks" / "0.png"
    cv2.imwrite(str(path), np.full(SHAPE, 1, np.uint8))
    assert studies.ood_result("net")[0].samples == 4
    wait(session, studies.start_ood("net"))
    second, missing = studies.ood_result("net")
    assert (second.samples, missing) == (5, 0)
    assert second.counts.joint[1].sum() > first.counts.joint[1].sum()
    other = LabelMapping("zoo-to-street", "zoo", "street", (("cat", ("animal",)),))
    studies.choose_mapping(MappingDocument(other))
    assert studies.ood_result("net")[0].samples == 0, "another mapping, other counts"


def test_a_stopped_count_keeps_what_it_has(session: Session) -> None:
    session.studies.choose_mapping(MappingDocument(MAPPING))
    analysis = session.studies.ood
    seen: list[str] = []
    with pytest.raises(CancelledError):
        analysis.analyse(
            "net",
            MAPPING,
            step=lambda problem, sample_id: seen.append(sample_id),
            cancelled=lambda: len(seen) == 2,
        )
    assert len(seen) == 2 and analysis.result("net", MAPPING).samples == 2
    assert analysis.missing("net", MAPPING) == 3 + 5
    assert analysis.analyse("net", MAPPING) == [] and analysis.missing("net", MAPPING) == 0
    assert analysis.missing("net", MAPPING, smallest=(1, 1)) == 5, "components of another size"


def test_the_command_and_the_window_share_the_counts(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, failed = analyse_ood(session.dataset, session.store, session.layout, "net", MAPPING)
    assert not failed
    session.studies.choose_mapping(MappingDocument(MAPPING))
    refuse_pixels(monkeypatch)
    assert session.studies.start_ood("net") is None
    stored, missing = session.studies.ood_result("net")
    assert missing == 0 and stored.components == result.components
    assert np.array_equal(stored.counts.joint, result.counts.joint)


def test_damaged_counts_are_one_sentence(session: Session) -> None:
    analysis = OodAnalysis(session.dataset, session.store, session.layout)
    analysis.analyse("net", MAPPING)
    with session.store._transaction() as connection:
        connection.execute("UPDATE ood SET counts = x'00'")
    with pytest.raises(CorruptProjectError, match="damaged"):
        analysis.result("net", MAPPING)


def test_scores_come_through_the_chosen_mapping(session: Session) -> None:
    with pytest.raises(UsageError, match="choose one in the window under Analyse"):
        session.evaluate(["net"])
    studies = session.studies
    assert [space.name for space in studies.spaces("net")] == ["zoo", "street"]
    nothing = LabelMapping("void", "zoo", "street", (("cat", ()),))
    with pytest.raises(UsageError, match="every class of zoo to ignore"):
        studies.choose_mapping(MappingDocument(nothing))
    studies.mappings.choose(MappingDocument(nothing))
    with pytest.raises(UsageError, match="leads every class to ignore, so nothing could be scored"):
        session.evaluate(["net"])
    studies.choose_mapping(MappingDocument(MAPPING))
    report = session.evaluate(["net"])
    table = report.runs[0].confusion
    assert report.label_space.names == STREET.names
    targets = [session.read_target(f"images/{n}.png") for n in range(5)]
    assert table[0].sum() == sum(int((target < 2).sum()) for target in targets)
    assert table[1:].sum() == 0, "the ufo is ignored"
    assert session.analysis().table("net").confusion().tolist() == table.tolist()
    assert session.errors.missing("net") == [f"images/{n}.png" for n in range(5)]


def test_against_the_same_model_on_its_own_data(session: Session, tmp_path: Path) -> None:
    studies = session.studies
    studies.choose_mapping(MappingDocument(MAPPING))
    wait(session, studies.start_ood("net"))
    with pytest.raises(UsageError, match="There is no project in"):
        studies.ood_result("net", tmp_path)
    with pytest.raises(UsageError, match="no scored run of the model net"):
        studies.ood_result("net", session.dataset.root)
    session.evaluate(["net"])  # enters counts
    result, _ = studies.ood_result("net", session.dataset.root)
    shift = result.shift
    assert shift is not None and shift.drop == pytest.approx(0, abs=1e-12)
    assert 0.4 < shift.auroc < 0.6


def test_a_report_is_written_as_a_job_with_its_regions(session: Session, tmp_path: Path) -> None:
    studies = session.studies
    with pytest.raises(UsageError, match="run a model first"):
        studies.start_report([], tmp_path)
    studies.choose_mapping(MappingDocument(MAPPING))
    wait(session, studies.start_ood("net"))
    folder = tmp_path / "report"
    state = wait(session, studies.start_report(["net"], folder))
    assert (state.state, state.done, state.total) == ("done", 6, 6), state.message
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "mIoU % if fixed" in page and "zoo-to-street" in page and "ufo" in page
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.json", "classes.csv", "samples.csv", "confusion.csv"}
    assert session.errors.missing("net") == []


def test_a_report_that_is_stopped_writes_nothing(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = session.studies
    studies.choose_mapping(MappingDocument(MAPPING))
    evaluate = session.evaluate

    def stop(runs):
        for state in studies.jobs.states():
            studies.jobs.cancel(state.job_id)
        return evaluate(runs)

    monkeypatch.setattr(session, "evaluate", stop)
    state = wait(session, studies.start_report(["net"], tmp_path / "report"))
    assert state.state == "cancelled" and not (tmp_path / "report").exists()
    assert session.errors.missing("net") == [], "regions that were found are kept"
