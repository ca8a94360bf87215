"""The review queue: which regions want a person, what accepts or fixes them, what samples hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.metrics.confusion import confusion_matrix
from segstudio.project.reviews import Review
from segstudio.session.events import JobState
from segstudio.session.review_maps import RegionKind
from segstudio.session.runner import count_prediction
from segstudio.session.session import Session
from segstudio.session.settings import Settings
from segstudio.session.targets import build_target_reader

ERROR, UNCERTAIN = RegionKind.ERROR, RegionKind.UNCERTAIN


@pytest.fixture
def session(dataset_folder: Path, tmp_path: Path) -> Iterator[Session]:
    session = Session(Settings(tmp_path / "settings.json"))
    session.open_dataset(dataset_folder)
    yield session
    session.close()


@pytest.fixture
def run(session: Session) -> str:
    """A run that is wrong and unsure in two blocks, in the first larger than in the second."""
    dataset, layout, store = session.dataset, session.layout, session.store
    assert dataset is not None and dataset.label_space is not None
    space = dataset.label_space
    name = store.begin_run("stored", "stored", "identity", space, {})
    reader = build_target_reader(dataset, space)
    assert reader is not None
    for number, sample in enumerate(dataset.samples[:4]):
        target = dataset.read_target(sample, space)
        prediction = np.full(target.shape, 1, np.uint8)
        prediction[:] = target
        prediction[target == 255] = 0
        runner_up = np.full(target.shape, 2, np.uint8)
        entropy = np.full(target.shape, 10, np.uint8)
        confidence = np.full(target.shape, 240, np.uint8)
        for block in (np.s_[8:16, 8:16], np.s_[24:28, 40:48]):
            prediction[block] = (target[block][0, 0] + 1) % 11
            runner_up[block] = target[block][0, 0]
            entropy[block] = 200 if number else 150
        for layer, values in (("labels", prediction), ("runner_up", runner_up)):
            write_label_map(layout.layer(name, layer, sample.sample_id), values)
        for layer, values in (("entropy", entropy), ("confidence", confidence)):
            write_gray(layout.layer(name, layer, sample.sample_id), values)
        key, miou, counts = count_prediction(reader, sample, prediction, entropy, confidence)
        store.finish_sample(
            name, sample.sample_id, seconds=0.1, counts=(key, miou, counts.to_bytes())
        )
    return name


def ids(session: Session) -> list[str]:
    assert session.dataset is not None
    return [sample.sample_id for sample in session.dataset.samples]


def put_right(session: Session, sample_id: str, box: BBox, run: str) -> None:
    """Paint the ground truth into a box and save."""
    target = session.read_target(sample_id)
    assert target is not None
    document = session.open_correction(sample_id, source=run).document
    before = document.label_map[box.slices].copy()
    document.apply(MaskPatch(box, before, target[box.slices].copy()))
    session.save_correction(sample_id)
    session.corrections.release(sample_id)


@pytest.mark.parametrize("kind", [ERROR, UNCERTAIN])
def test_regions_of_a_sample_go_when_accepted_or_fixed(
    session: Session, run: str, kind: RegionKind
) -> None:
    sample_id = ids(session)[1]
    target = session.read_target(sample_id)
    assert target is not None
    found = session.reviews.in_sample(run, kind, sample_id)
    assert found.total == len(found.open) == 2
    large, small = found.open
    assert large.box == BBox(8, 8, 16, 16) and small.box == BBox(24, 40, 28, 48)
    assert large.weight > small.weight and (large.area, small.area) == (64, 32)
    assert large.proposed == target[8, 8] and large.prediction == (target[8, 8] + 1) % 11
    assert large.mean_entropy == pytest.approx(200 / 255)
    batch = session.reviews.accept(run, [large])
    assert session.reviews.in_sample(run, kind, sample_id).open == (small,)
    put_right(session, sample_id, small.box, run)
    assert session.reviews.in_sample(run, kind, sample_id).open == ()
    assert session.reviews.take_back(batch) == 1
    found = session.reviews.in_sample(run, kind, sample_id)
    assert found.open == (large,) and found.total == 2


@pytest.mark.parametrize(("kind", "enough"), [(ERROR, 63), (UNCERTAIN, 32)])
def test_how_much_of_a_region_has_to_be_painted(
    session: Session, run: str, kind: RegionKind, enough: int
) -> None:
    sample_id = ids(session)[1]
    found = session.reviews.in_sample(run, kind, sample_id)
    region, maps = found.open[0], found.maps
    correction = maps.labels.copy()
    inside = correction[region.box.slices].reshape(-1).copy()
    for count in (enough - 1, enough):
        inside[:count] = region.proposed
        correction[region.box.slices] = inside.reshape(8, 8)
        assert maps.is_fixed(region, correction) == (count == enough)
        again = session.reviews.in_sample(run, kind, sample_id, correction)
        assert (region in again.open) == (count != enough)


def test_the_next_sample_is_the_first_with_an_open_region(session: Session, run: str) -> None:
    reviews, names = session.reviews, ids(session)
    found = reviews.next_sample(run, ERROR, names)
    assert found is not None and found.open[0].sample_id == names[0]
    reviews.accept(run, found.open)
    found = reviews.next_sample(run, ERROR, names)
    assert found is not None and found.open[0].sample_id == names[1]
    assert reviews.next_sample(run, ERROR, names[4:]) is None, "nothing was predicted"
    assert reviews.next_sample(run, ERROR, names, cancelled=lambda: True) is None


def test_the_search_stores_what_is_ranked_over_all_samples(session: Session, run: str) -> None:
    reviews, names = session.reviews, ids(session)
    assert reviews.missing(run) == names[:4] and reviews.ranked(run, UNCERTAIN) == []
    over = threading.Event()
    states: list[JobState] = []

    def hear(state: JobState) -> None:
        states.append(state)
        if state.is_over:
            over.set()

    session.job_changed.connect(hear)
    assert reviews.start_search(run) is not None
    assert over.wait(20)
    assert states[-1].state == "done" and states[-1].done == 4
    assert reviews.missing(run) == [] and reviews.start_search(run) is None
    ranked = reviews.ranked(run, UNCERTAIN)
    weights = [region.weight for region in ranked]
    assert len(ranked) == 8 and weights == sorted(weights, reverse=True)
    assert [region.sample_id for region in ranked[:3]] == names[1:4]
    assert {region.sample_id for region in ranked} == set(names[:4])
    own = reviews.in_sample(run, UNCERTAIN, names[1]).open
    assert [region for region in ranked if region.sample_id == names[1]] == list(own)
    reviews.accept(run, ranked[:2])
    assert reviews.ranked(run, UNCERTAIN) == ranked[2:]
    reviews.level = 180
    assert reviews.missing(run) == names[:4], "at another level there are others"


def test_what_samples_are_filtered_by(session: Session, run: str) -> None:
    names = ids(session)
    facts = session.reviews.facts(run)
    assert set(facts) == set(names[:4])
    assert facts[names[0]].mean_entropy is None and facts[names[0]].classes == frozenset()
    over = threading.Event()
    session.job_changed.connect(lambda state: over.set() if state.is_over else None)
    session.reviews.start_search(run)
    assert over.wait(20)
    facts = session.reviews.facts(run)
    for name in names[:4]:
        labels = session.read_layer(run, "labels", name)
        entropy = session.read_layer(run, "entropy", name)
        target = session.read_target(name)
        assert labels is not None and entropy is not None and target is not None
        confusion = confusion_matrix(target, labels, 11, ignore_index=255)
        wrong = confusion.sum() - np.trace(confusion[:, :11])
        assert facts[name].confident_errors == pytest.approx(wrong / confusion.sum())
        assert facts[name].mean_entropy == pytest.approx(entropy.mean() / 255)
        assert facts[name].classes == frozenset(np.unique(labels).tolist())


def test_a_prediction_that_is_redone_is_searched_again(session: Session, run: str) -> None:
    over = threading.Event()
    session.job_changed.connect(lambda state: over.set() if state.is_over else None)
    session.reviews.start_search(run)
    assert over.wait(20)
    name = ids(session)[2]
    session.store.finish_sample(run, name, seconds=1.0)
    assert session.reviews.missing(run) == [name]
    assert session.reviews.facts(run)[name].mean_entropy is None


def test_states_and_comments(session: Session) -> None:
    reviews, name = session.reviews, ids(session)[0]
    assert reviews.review(name) == Review()
    reviews.set_state(name, "flagged", "blurred")
    reviews.set_state(name, "checked")
    assert reviews.review(name) == Review("checked", "blurred", 0.0)
    assert session.status(name) == "checked"
    reviews.set_state(name, "")
    assert session.status(name) == "new"
    with pytest.raises(UsageError, match="flagged"):
        reviews.set_state(name, "good")


def test_regions_of_two_kinds_are_not_accepted_together(session: Session, run: str) -> None:
    name = ids(session)[1]
    both = [session.reviews.in_sample(run, kind, name).open[0] for kind in (ERROR, UNCERTAIN)]
    with pytest.raises(UsageError, match="one kind"):
        session.reviews.accept(run, both)


def test_errors_need_ground_truth_and_uncertainty_a_prediction(session: Session, run: str) -> None:
    last = ids(session)[5]
    for kind in (ERROR, UNCERTAIN):
        with pytest.raises(UsageError):
            session.reviews.in_sample(run, kind, last)
