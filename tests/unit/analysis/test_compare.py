"""Two runs: hand-worked pixels, scikit-learn's matrices, and the paired interval."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion

from segstudio.analysis.agreement import add_agreements, agreement_json, count_agreement
from segstudio.analysis.compare import compare_tables, comparison_json
from segstudio.analysis.tables import build_run_table
from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.metrics import scores
from segstudio.metrics.counts import count_sample

SPACE = LabelSpace.from_json({"name": "three", "classes": ["sky", "road", "car"]})
TARGET = np.array([[0, 0, 1], [1, 1, 2], [2, 255, 0]], np.uint8)
A = np.array([[0, 1, 1], [1, 0, 2], [1, 0, 0]], np.uint8)
B = np.array([[0, 0, 1], [2, 0, 2], [0, 0, 0]], np.uint8)


def table_of(predictions, targets, ids=None, classes=3):
    ids = ids or [f"{number}.png" for number in range(len(targets))]
    return build_run_table(
        [
            (sample_id, count_sample(target, prediction, classes, entropy=np.zeros_like(target)))
            for sample_id, prediction, target in zip(ids, predictions, targets, strict=True)
        ],
        classes,
    )


def random_pair(seed, count=25):
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 3, (count, 12, 15)).astype(np.uint8)
    runs = []
    for right in (0.55, 0.7):
        kept = generator.random(targets.shape) < right
        runs.append(np.where(kept, targets, generator.integers(0, 3, targets.shape)))
    return targets, runs[0].astype(np.uint8), runs[1].astype(np.uint8)


def test_hand_worked_agreement():
    entropies = (np.full((3, 3), 10, np.uint8), np.full((3, 3), 20, np.uint8))
    entropies[1][2, 0] = 200
    found = count_agreement(A, B, 3, ignore_index=255, target=TARGET, entropies=entropies)
    assert found.matrix.tolist() == [[4, 0, 0, 0], [2, 1, 1, 0], [0, 0, 1, 0]]
    assert (found.pixels, found.agreed) == (9, 6)
    # a alone is right at (1, 0), b alone at (0, 1); both are wrong, alike at (1, 1), not at (2, 0).
    numbers = (found.labelled, found.both_right, found.only_a_right, found.only_b_right)
    assert numbers == (8, 4, 1, 1)
    assert (found.both_wrong_same, found.both_wrong_different) == (1, 1)
    assert [found.both_wrong_and_sure(threshold) for threshold in (0.05, 0.1, 0.9)] == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_agreement_adds_up_and_equals_scikit_learn(seed):
    targets, a, b = random_pair(seed, 6)
    targets[0, :4] = 255
    parts = [
        count_agreement(here, there, 3, ignore_index=255, target=target)
        for here, there, target in zip(a, b, targets, strict=True)
    ]
    total = add_agreements(parts, 3)
    wanted = sklearn_confusion(a.ravel(), b.ravel(), labels=range(3))
    np.testing.assert_array_equal(total.matrix[:, :3], wanted)
    whole = count_agreement(
        np.concatenate(a),
        np.concatenate(b),
        3,
        ignore_index=255,
        target=np.concatenate(targets),
    )
    for name in ("labelled", "both_right", "only_a_right", "only_b_right", "both_wrong_same"):
        assert getattr(total, name) == getattr(whole, name)
    parts_of_all = total.both_right + total.only_a_right + total.only_b_right
    parts_of_all += total.both_wrong_same + total.both_wrong_different
    assert parts_of_all == total.labelled == int((targets < 3).sum())
    assert total.samples == 6


def test_changing_sides_turns_everything_around():
    targets, a, b = random_pair(4)
    ours, theirs = table_of(a, targets), table_of(b, targets)
    forth = compare_tables(SPACE, ours, theirs)
    back = compare_tables(SPACE, theirs, ours)
    assert forth.miou_interval == pytest.approx(tuple(-end for end in back.miou_interval[::-1]))
    for one, other in zip(forth.classes, back.classes, strict=True):
        assert one.delta == -other.delta
    assert [entry.sample_id for entry in forth.wins(1)] == [
        entry.sample_id for entry in back.wins(0)
    ]


def test_scores_are_those_of_the_pooled_counts_and_the_paired_bootstrap():
    targets, a, b = random_pair(5)
    ours, theirs = table_of(a, targets), table_of(b, targets)
    found = compare_tables(SPACE, ours, theirs, runs=("one", "two"))
    for side, prediction in enumerate((a, b)):
        confusion = sklearn_confusion(targets.ravel(), prediction.ravel(), labels=range(3))
        assert found.pooled[side]["miou"] == pytest.approx(float(scores.mean_iou(confusion)))
        for entry, wanted in zip(found.classes, scores.iou(confusion), strict=True):
            assert entry.iou[side] == wanted
    wanted = scores.bootstrap_interval(theirs.totals, other=ours.totals)
    assert found.miou_interval == pytest.approx(wanted, abs=1e-15)
    assert found.miou_interval[0] > 0  # b is the better one by construction
    by_class = scores.bootstrap_interval(theirs.totals, scores.iou, other=ours.totals)
    for entry, low, high in zip(found.classes, *by_class, strict=True):
        assert entry.interval == pytest.approx((low, high), abs=1e-15)
        assert low < entry.delta < high
    one = found.samples[3]
    assert one.miou[1] == pytest.approx(
        float(scores.mean_iou(sklearn_confusion(targets[3].ravel(), b[3].ravel())))
    )
    # The entropy is 0 everywhere, so every error is a sure one.
    assert one.sure_errors[0] == pytest.approx((a[3] != targets[3]).mean())


def test_who_wins_most_and_where_both_fail():
    targets = np.zeros((4, 10, 10), np.uint8)
    targets[:, :5] = 1
    a, b = targets.copy(), targets.copy()
    a[0, :4], b[1, :3], b[2, :4] = 2, 2, 2
    a[3, 0], b[3, :2] = 2, 2
    found = compare_tables(SPACE, table_of(a, targets), table_of(b, targets))
    assert [entry.sample_id for entry in found.wins(1)] == ["0.png"]
    assert [entry.sample_id for entry in found.wins(0)] == ["2.png", "1.png", "3.png"]
    assert [entry.sample_id for entry in found.wins(0, 1)] == ["2.png"]
    assert [entry.sample_id for entry in found.both_fail()] == ["3.png"]


def test_only_common_samples_count():
    targets, a, b = random_pair(6, 4)
    ours = table_of(a, targets, ["w", "x", "y", "z"])
    theirs = table_of(b[[2, 0]], targets[[2, 0]], ["y", "w"])
    found = compare_tables(SPACE, ours, theirs)
    assert [entry.sample_id for entry in found.samples] == ["w", "y"] and found.scored == 2
    alone = compare_tables(
        SPACE, table_of(a[[0, 2]], targets[[0, 2]]), table_of(b[[0, 2]], targets[[0, 2]])
    )
    assert found.pooled == alone.pooled and found.miou_interval == alone.miou_interval
    with pytest.raises(UsageError, match="no scored image in common"):
        compare_tables(SPACE, ours, table_of(b[:1], targets[:1], ["other"]))


def test_other_label_spaces_are_refused():
    targets, a, _ = random_pair(7, 2)
    with pytest.raises(UsageError, match="mapping that joins"):
        compare_tables(SPACE, table_of(a, targets), table_of(a, targets, classes=4))
    with pytest.raises(SizeMismatchError):
        count_agreement(A, B[:2], 3, ignore_index=255)
    with pytest.raises(SizeMismatchError):
        count_agreement(A, B, 3, ignore_index=255, target=TARGET[:2])
    with pytest.raises(LabelValueError, match=r"x\.png"):
        count_agreement(A, B + 5, 3, ignore_index=255, name="x.png")


def test_the_document_knows_no_nan():
    targets, a, b = random_pair(8, 3)
    targets[1] = 255  # nothing to score
    targets[targets == 2] = 0
    a[a == 2], b[b == 2] = 0, 0
    found = compare_tables(SPACE, table_of(a, targets), table_of(b, targets), runs=("x", "y"))
    document = json.loads(json.dumps(comparison_json(found), allow_nan=False))
    assert document["runs"][1]["run"] == "y" and document["agreement"] is None
    car = document["delta"]["classes"][2]
    assert car == {
        "index": 2,
        "name": "car",
        "iou": [None, None],
        "delta": None,
        "interval": [None, None],
    }
    assert document["per_sample"][1]["miou"] == [None, None]
    wanted = document["runs"][1]["pooled"]["miou"] - document["runs"][0]["pooled"]["miou"]
    assert document["delta"]["miou"] == pytest.approx(wanted)
    nothing = compare_tables(SPACE, build_run_table([], 3), build_run_table([], 3))
    document = json.loads(json.dumps(comparison_json(nothing), allow_nan=False))
    assert document["samples"] == 0 and document["delta"]["miou"] is None
    blind = agreement_json(count_agreement(A, B, 3, ignore_index=255))
    assert blind["truth"] is None and blind["disagree"] == 3
    assert agreement_json(add_agreements([], 3)) is None


def test_what_a_mapping_leaves_out():
    here, there = A.copy(), B.copy()
    here[0, 0] = 255
    there[0, 2] = 255
    found = count_agreement(here, there, 3, ignore_index=255, target=TARGET)
    assert found.pixels == 8 and found.matrix[1, 3] == 1
    assert found.both_right == 2 and found.only_a_right == 2 and found.only_b_right == 2
