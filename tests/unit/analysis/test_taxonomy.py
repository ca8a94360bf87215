"""Kinds of error: cases by hand, the definition pixel by pixel, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.analysis.pair import build_pair
from segstudio.analysis.taxonomy import (
    ErrorKind,
    TaxonomyCounts,
    classify_errors,
    count_kinds,
    iou_if_fixed,
    kind_shares,
    miou_if_fixed,
)
from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import mean_iou

SEEDS = range(6)


def classified(target, prediction, classes=5, *, ignore=255, width=2):
    pair = build_pair(target, prediction, classes, ignore_index=ignore)
    return classify_errors(pair, width=width)


def kinds_of(target, prediction, classes=5, **options):
    return classified(np.array(target), np.array(prediction), classes, **options).kind_map()


def only_kind(target, prediction, **options):
    kinds = np.unique(kinds_of(target, prediction, **options))
    return [ErrorKind(kind).name for kind in kinds if kind != 255]


def scene(*boxes):
    """Return a 24 x 24 map of class 0 with boxes (value, top, left, bottom, right)."""
    scene = np.zeros((24, 24), np.uint8)
    for value, top, left, bottom, right in boxes:
        scene[top:bottom, left:right] = value
    return scene


def test_a_moved_border_is_boundary():
    assert only_kind(scene((1, 0, 0, 24, 10)), scene((1, 0, 0, 24, 12))) == ["BOUNDARY"]


def test_beyond_the_band_it_is_confused():
    kinds = kinds_of(scene((1, 0, 0, 24, 10)), scene((1, 0, 0, 24, 14)))
    assert (kinds[:, 10:12] == ErrorKind.BOUNDARY).all()
    assert (kinds[:, 12:14] == ErrorKind.CONFUSED).all()
    assert (np.delete(kinds, np.s_[10:14], axis=1) == 255).all()


def test_an_object_under_another_name_is_confused():
    target, prediction = scene((1, 4, 4, 12, 16)), scene((2, 4, 4, 12, 16))
    assert only_kind(target, prediction) == ["CONFUSED"]


def test_an_object_taken_for_its_surroundings_is_missed_however_thin():
    assert only_kind(scene((1, 2, 8, 22, 9)), scene()) == ["MISSED"]


def test_an_object_out_of_nothing_is_invented():
    assert only_kind(scene(), scene((1, 8, 8, 14, 14))) == ["INVENTED"]


def test_an_object_that_was_found_elsewhere_is_missed_and_invented():
    kinds = kinds_of(scene((1, 2, 2, 6, 6)), scene((1, 12, 12, 16, 16)))
    assert (kinds[2:6, 2:6] == ErrorKind.MISSED).all()
    assert (kinds[12:16, 12:16] == ErrorKind.INVENTED).all()


def test_half_of_the_predicted_region_is_no_majority():
    target = scene((1, 4, 4, 8, 8), (2, 4, 8, 8, 12))
    assert only_kind(target, scene((3, 4, 4, 8, 12))) == ["MISSED"]
    wider = scene((1, 4, 4, 8, 9), (2, 4, 9, 8, 12))
    kinds = kinds_of(wider, scene((3, 4, 4, 8, 12)))
    assert (kinds[4:8, 4:9] == ErrorKind.CONFUSED).all()
    assert (kinds[4:8, 9:12] == ErrorKind.MISSED).all()


def test_objects_that_touch_at_a_corner_are_one():
    target = scene((1, 4, 4, 8, 8), (1, 8, 8, 12, 12))
    prediction = scene((1, 4, 4, 8, 8))
    kinds = kinds_of(target, prediction, width=1)
    assert set(kinds[8:12, 8:12].reshape(-1).tolist()) == {ErrorKind.BOUNDARY, ErrorKind.CONFUSED}
    apart = scene((1, 4, 4, 8, 8), (1, 9, 8, 13, 12))
    assert (kinds_of(apart, prediction)[9:13, 8:12] == ErrorKind.MISSED).all()


def test_a_prediction_of_the_ignore_index_is_missed():
    target, prediction = scene((1, 4, 4, 12, 12)), scene((1, 4, 4, 12, 12))
    prediction[4:6] = 255
    kinds = kinds_of(target, prediction)
    assert (kinds[4:6] == ErrorKind.MISSED).all() and (kinds[6:] == 255).all()


def test_a_boundary_is_seen_through_an_ignore_region():
    target, prediction = scene((1, 0, 0, 24, 10)), scene((1, 0, 0, 24, 12))
    target[:, 9:11] = 255
    kinds = kinds_of(target, prediction, width=3)
    assert (kinds[:, 11] == ErrorKind.BOUNDARY).all() and (kinds[:, :11] == 255).all()
    # Out of reach it hangs on nothing: what was predicted in the ignore region does not count.
    assert (kinds_of(target, prediction, width=2)[:, 11] == ErrorKind.INVENTED).all()


def test_scraps_beside_an_object_of_their_class_are_boundary():
    target = scene((1, 4, 4, 12, 12))
    assert only_kind(target, scene((1, 4, 4, 12, 12), (1, 5, 13, 8, 14))) == ["BOUNDARY"]
    assert only_kind(target, scene((1, 4, 4, 12, 12), (1, 5, 14, 8, 16))) == ["INVENTED"]


def test_three_by_three_by_hand():
    target = [[0, 0, 1], [0, 0, 1], [2, 255, 1]]
    prediction = [[0, 1, 1], [0, 0, 1], [0, 2, 255]]
    kinds = kinds_of(np.array(target, np.uint8), np.array(prediction, np.uint8), 3, width=1)
    # (0, 1): class 1 is beside it.  (2, 0): class 2 is nowhere found.  (2, 2): no class.
    assert kinds.tolist() == [[255, 0, 255], [255, 255, 255], [2, 255, 2]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [1, 3])
def test_equals_the_definition_pixel_by_pixel(maps, slow, seed, width):
    target, prediction = maps(seed)
    kinds = kinds_of(target, prediction, width=width)
    assert (kinds == slow[1](target, prediction, 255, width)).all()


def test_all_kinds_occur_in_what_is_compared(maps):
    seen = set()
    for seed in SEEDS:
        seen |= set(kinds_of(*maps(seed)).reshape(-1).tolist())
    assert seen == {0, 1, 2, 3, 255}


def test_many_classes_in_sixteen_bits(maps, slow):
    target, prediction = maps(1, classes=300, ignore=65535, dtype=np.uint16)
    kinds = kinds_of(target, prediction, 300, ignore=65535, width=2)
    assert (kinds == slow[1](target, prediction, 65535, 2)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_kinds_add_up_to_the_confusion(maps, seed):
    target, prediction = maps(seed)
    counts = count_kinds(classified(target, prediction))
    whole = confusion_matrix(target, prediction, 5)
    assert (counts.confusion == whole).all()
    assert (counts.hits == np.diagonal(whole)).all()
    assert counts.pixels.sum() == whole.sum() - np.trace(whole)
    assert kind_shares(counts).sum() == pytest.approx(1, abs=1e-12)
    for kind in ErrorKind:
        inside = kinds_of(target, prediction) == kind
        masked = np.where(inside, target, 255).astype(np.uint8)
        assert (counts.kinds[kind] == confusion_matrix(masked, prediction, 5)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_fixing_a_kind_is_painting_its_pixels_right(maps, seed):
    target, prediction = maps(seed)
    errors = classified(target, prediction)
    fixed = miou_if_fixed(count_kinds(errors))
    now = mean_iou(confusion_matrix(target, prediction, 5))
    for kind in ErrorKind:
        painted = np.where(errors.kind_map() == kind, target, prediction)
        expected = mean_iou(confusion_matrix(target, painted, 5))
        assert fixed[kind] == pytest.approx(float(expected), abs=1e-12)
        assert fixed[kind] >= now or not count_kinds(errors).pixels[kind]


@pytest.mark.parametrize("seed", SEEDS)
def test_relabelling_both_sides_permutes(maps, seed):
    target, prediction = maps(seed)
    table = np.append([2, 4, 1, 0, 3], np.full(251, 255)).astype(np.uint8)
    assert (kinds_of(table[target], table[prediction]) == kinds_of(target, prediction)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_predicted_where_the_target_is_ignored_never_counts(maps, seed):
    target, prediction = maps(seed)
    other = prediction.copy()
    ignored = target == 255
    other[ignored] = np.random.default_rng(seed).integers(0, 5, int(ignored.sum()))
    assert (kinds_of(target, other) == kinds_of(target, prediction)).all()
    assert (kinds_of(target, other)[ignored] == 255).all()


def test_a_map_against_itself_has_no_errors(maps):
    target = maps(0)[0]
    counts = count_kinds(classified(target, target))
    assert counts.pixels.tolist() == [0, 0, 0, 0]
    assert np.isnan(kind_shares(counts)).all()
    assert (miou_if_fixed(counts) == 1).all()


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (5, 5)])
def test_nothing_labelled_is_no_number(shape):
    target = np.full(shape, 255, np.uint8)
    counts = count_kinds(classified(target, np.zeros(shape, np.uint8)))
    assert counts.confusion.sum() == 0
    assert np.isnan(kind_shares(counts)).all() and np.isnan(miou_if_fixed(counts)).all()


def test_the_width_is_that_of_boundary_iou_when_left_out():
    """2 % of the diagonal of 90 x 120 is 3 px."""
    target, prediction = np.zeros((2, 90, 120), np.uint8)
    target[:, :50], prediction[:, :60] = 1, 1
    kinds = classify_errors(build_pair(target, prediction, 2)).kind_map()
    assert (kinds == ErrorKind.BOUNDARY).sum() == 3 * 90
    assert (kinds == ErrorKind.CONFUSED).sum() == 7 * 90


def test_bad_input_is_one_sentence():
    good = np.zeros((4, 4), np.uint8)
    with pytest.raises(UsageError, match="at least 1 px"):
        classified(good, good, width=0)
    with pytest.raises(SizeMismatchError, match="of x has 4 x 5 pixels"):
        build_pair(good, np.zeros((4, 5), np.uint8), 2, name="x")
    with pytest.raises(LabelValueError, match="prediction of x holds the class index 9"):
        build_pair(good, good + np.uint8(9), 2, name="x")
    with pytest.raises(LabelValueError, match="ground truth holds the class index -1"):
        build_pair(good.astype(np.int64) - 1, good, 2)


def test_the_iou_of_each_class_if_a_kind_were_fixed():
    kinds = np.zeros((4, 2, 3), np.int64)
    kinds[ErrorKind.BOUNDARY, 0, 1] = 10
    kinds[ErrorKind.MISSED, 1, 2] = 5
    counts = TaxonomyCounts(np.array([70, 20]), kinds)
    found = iou_if_fixed(counts)
    np.testing.assert_allclose(found[ErrorKind.BOUNDARY], [1.0, 20 / 25])
    np.testing.assert_allclose(found[ErrorKind.MISSED], [70 / 80, 25 / 35])
    np.testing.assert_allclose(found[ErrorKind.INVENTED], [70 / 80, 20 / 35])
    np.testing.assert_allclose(found.mean(1), miou_if_fixed(counts))
