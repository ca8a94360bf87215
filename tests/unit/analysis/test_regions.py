"""Error regions against growing them pixel by pixel; ranking, filters, the stored form."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from segstudio.analysis.pair import build_pair
from segstudio.analysis.region_codec import pack_regions, unpack_regions
from segstudio.analysis.regions import RegionFilter, RegionTable, find_regions
from segstudio.analysis.taxonomy import ErrorKind, classify_errors
from segstudio.core.errors import CorruptProjectError, UsageError
from segstudio.core.types import BBox
from segstudio.metrics.boundary import boundary_distance
from segstudio.metrics.confusion import confusion_matrix

SEEDS = range(4)


def errors_of(target, prediction, classes=5, *, ignore=255, width=2):
    return classify_errors(
        build_pair(target, prediction, classes, ignore_index=ignore), width=width
    )


def layers_of(target, seed, classes=5):
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 256, (2, *target.shape)).astype(np.uint8)
    return {
        "entropy": levels[0],
        "confidence": levels[1],
        "runner_up": generator.integers(0, classes, target.shape).astype(target.dtype),
    }


def table_of(maps, seed, name="a"):
    target, prediction = maps(seed)
    return find_regions(errors_of(target, prediction), name, **layers_of(target, seed))


def test_three_by_three_by_hand():
    target = np.array([[0, 0, 1], [0, 0, 1], [1, 255, 1]], np.uint8)
    prediction = np.array([[1, 0, 0], [0, 1, 0], [255, 2, 1]], np.uint8)
    levels = np.arange(9, dtype=np.uint8).reshape(3, 3) * 10
    runner_up = np.zeros((3, 3), np.uint8)
    regions = find_regions(
        errors_of(target, prediction, 3, width=1),
        "scene",
        entropy=levels,
        confidence=255 - levels,
        runner_up=runner_up,
    ).regions()
    one, two, three = regions
    # 1 for 0 at two corners that touch; 0 for 1 down the right side; no class at the bottom left.
    assert (one.target, one.prediction, one.area, one.box) == (0, 1, 2, BBox(0, 0, 2, 2))
    assert (two.target, two.prediction, two.area, two.box) == (1, 0, 2, BBox(0, 2, 2, 3))
    assert (three.target, three.prediction, three.area) == (1, None, 1)
    assert [region.anchor for region in regions] == [(0, 0), (0, 2), (2, 0)]
    assert one.mean_entropy == pytest.approx(20 / 255) and one.min_entropy == 0
    assert two.mean_entropy == pytest.approx(35 / 255)
    assert two.min_entropy == pytest.approx(20 / 255)
    assert one.mean_confidence == pytest.approx(1 - 20 / 255)
    assert one.score == pytest.approx(2 - 40 / 255)
    assert [region.runner_up_share for region in regions] == [1.0, 0.0, 0.0]
    # (1, 1) has class 1 beside it, (0, 0) is two pixels from any; both pixels at the right touch 0.
    assert one.boundary_share == 0.5 and one.kind is ErrorKind.BOUNDARY
    assert two.boundary_share == 1.0 and two.kind is ErrorKind.BOUNDARY
    assert three.kind is ErrorKind.MISSED and three.boundary_share == 0.0
    assert two.mean_distance == two.max_distance == 0.0
    assert {region.sample_id for region in regions} == {"scene"}


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_growing_pixel_by_pixel(maps, slow, seed):
    target, prediction = maps(seed)
    layers = layers_of(target, seed)
    found = find_regions(errors_of(target, prediction), "a", **layers).regions()
    wrong = (target != prediction) & (target != 255)
    codes = np.where(wrong, target.astype(np.int64) * 1000 + prediction, -1)
    ids, kinds = slow[0](codes), slow[1](target, prediction, 255, 2)
    distance = boundary_distance(target, 5)
    assert len(found) == ids.max() > 30
    for number, region in enumerate(found, 1):
        mask = ids == number
        rows, columns = np.nonzero(mask)
        assert region.area == len(rows)
        assert region.target == target[mask][0]
        predicted = prediction[mask][0]
        assert region.prediction == (None if predicted == 255 else predicted)
        assert region.anchor == (rows[0], columns[0])
        assert region.box == BBox(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        entropy, confidence = layers["entropy"][mask] / 255, layers["confidence"][mask] / 255
        assert region.mean_entropy == pytest.approx(entropy.mean(), abs=1e-12)
        assert region.min_entropy == pytest.approx(entropy.min(), abs=1e-12)
        assert region.mean_confidence == pytest.approx(confidence.mean(), abs=1e-12)
        second = (layers["runner_up"][mask] == target[mask]).mean()
        assert region.runner_up_share == pytest.approx(second, abs=1e-12)
        assert region.mean_distance == pytest.approx(distance[mask].mean(), rel=1e-5)
        assert region.max_distance == pytest.approx(distance[mask].max(), rel=1e-6)
        here = kinds[mask]
        assert region.boundary_share == pytest.approx((here == 0).mean(), abs=1e-12)
        expected = 0 if 2 * (here == 0).sum() >= len(here) else here[here != 0][0]
        assert region.kind == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_areas_add_up_to_the_confusion_off_its_diagonal(maps, seed):
    target, prediction = maps(seed)
    whole = confusion_matrix(target, prediction, 5)
    np.fill_diagonal(whole, 0)
    assert (find_regions(errors_of(target, prediction)).confusion(5) == whole).all()


def test_many_classes_in_sixteen_bits(maps):
    target, prediction = maps(3, classes=300, ignore=65535, dtype=np.uint16)
    table = find_regions(errors_of(target, prediction, 300, ignore=65535))
    whole = confusion_matrix(target, prediction, 300, ignore_index=65535)
    np.fill_diagonal(whole, 0)
    assert (table.confusion(300) == whole).all()
    assert max(region.target for region in table.regions()) > 255


def test_what_was_not_kept_is_none(maps):
    target, prediction = maps(0)
    region = find_regions(errors_of(target, prediction)).region(0)
    assert region.mean_entropy is region.min_entropy is region.mean_confidence is None
    assert region.runner_up_share is None and region.score == region.area
    # Without a second class there is no boundary to be far from.
    target, prediction = np.zeros((2, 8, 8), np.uint8)
    prediction[2:4, 2:4] = 1
    region = find_regions(errors_of(target, prediction, 2)).region(0)
    assert region.mean_distance is region.max_distance is None


@pytest.mark.parametrize("shape", [(0, 0), (5, 5)])
def test_nothing_wrong_is_an_empty_table(shape):
    target = np.full(shape, 255, np.uint8)
    table = find_regions(errors_of(target, np.zeros(shape, np.uint8)), "a")
    assert len(table) == 0 and table.samples == ("a",) and table.regions() == []
    assert len(unpack_regions(pack_regions(table), "a")) == 0


# -- many samples ---------------------------------------------------------------------------


def test_joined_tables_keep_their_samples(maps):
    tables = [table_of(maps, seed, f"s{seed}") for seed in SEEDS]
    nothing = RegionTable(("empty",), tables[0].rows[:0])
    joined = RegionTable.joined([tables[0], nothing, *tables[1:]])
    assert joined.samples == ("s0", "empty", "s1", "s2", "s3")
    assert joined.regions() == [region for table in tables for region in table.regions()]
    again = RegionTable.joined([joined, RegionTable.joined([]), table_of(maps, 0, "z")])
    assert again.region(len(again) - 1).sample_id == "z"
    assert tables[1].region(0).sample_id == "s1"


def test_ranking_is_area_times_confidence(maps):
    joined = RegionTable.joined([table_of(maps, seed, f"s{seed}") for seed in SEEDS])
    ranked = joined.ranked()
    expected = sorted(joined.regions(), key=lambda region: -round(region.score * 255))
    assert ranked.regions() == expected
    assert joined.ranked(5).regions() == expected[:5]
    without = find_regions(errors_of(*maps(0))).ranked()
    areas = [region.area for region in without.regions()]
    assert areas == sorted(areas, reverse=True) and areas[0] > 1


@pytest.mark.parametrize(
    ("wanted", "keep"),
    [
        ({"target": 1}, lambda r: r.target == 1),
        ({"prediction": 2}, lambda r: r.prediction == 2),
        ({"target": 0, "prediction": 3}, lambda r: (r.target, r.prediction) == (0, 3)),
        ({"kind": ErrorKind.MISSED}, lambda r: r.kind is ErrorKind.MISSED),
        ({"kind": ErrorKind.BOUNDARY}, lambda r: r.kind is ErrorKind.BOUNDARY),
        ({"minimal_area": 4}, lambda r: r.area >= 4),
        ({"entropy": (0.3, 0.5)}, lambda r: 0.3 <= r.mean_entropy <= 0.5),
        ({"sample_id": "s2"}, lambda r: r.sample_id == "s2"),
        ({"sample_id": "absent"}, lambda r: False),
        ({"prediction": 65535}, lambda r: r.prediction is None),
        ({}, lambda r: True),
    ],
)
def test_filters(maps, wanted, keep):
    joined = RegionTable.joined([table_of(maps, seed, f"s{seed}") for seed in SEEDS])
    expected = [region for region in joined.regions() if keep(region)]
    assert joined.selected(RegionFilter(**wanted)).regions() == expected
    assert len(expected) < len(joined) or not wanted
    assert expected or wanted == {"sample_id": "absent"}


def test_an_entropy_range_leaves_out_what_has_none(maps):
    table = find_regions(errors_of(*maps(0)))
    assert len(table.selected(RegionFilter(entropy=(-1.0, 1.0)))) == 0


# -- the stored form ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stored_form_comes_back(maps, seed):
    table = table_of(maps, seed)
    data = pack_regions(table)
    again = unpack_regions(data, "b")
    assert again.samples == ("b",)
    assert (again.rows == table.rows).all()
    assert pack_regions(again) == data
    assert len(data) < 30 * len(table)


def test_the_stored_form_holds_what_is_unknown_and_what_is_large(maps):
    target, prediction = maps(0)
    table = find_regions(errors_of(target, prediction))
    assert (unpack_regions(pack_regions(table), "a").rows == table.rows).all()
    rows = table.rows.copy()
    rows["area"][0], rows["confidence_sum"][0] = 2**32 - 1, 255 * 2**32
    large = RegionTable(("a",), rows)
    assert (unpack_regions(pack_regions(large), "a").rows == rows).all()


@pytest.mark.parametrize("spread", [255, 256, 65535, 65536])
def test_numbers_at_the_edge_of_a_width_come_back(maps, spread):
    rows = find_regions(errors_of(*maps(0))).rows.copy()
    rows["area"] = 5
    rows["area"][0] += spread
    again = unpack_regions(pack_regions(RegionTable(("a",), rows)), "a")
    assert (again.rows == rows).all()


def test_regions_are_stored_by_sample(maps):
    joined = RegionTable.joined([table_of(maps, 0, "a"), table_of(maps, 1, "b")])
    with pytest.raises(UsageError, match="these are of 2"):
        pack_regions(joined)


def test_damage_is_noticed(maps):
    data = pack_regions(table_of(maps, 0))
    flipped = bytearray(data)
    flipped[-5] ^= 1
    for bad in (b"", b"nonsense" * 4, data[:-3], data + b"x", bytes(flipped)):
        with pytest.raises(CorruptProjectError, match="of a/b are damaged"):
            unpack_regions(bad, "a/b")


def test_impossible_contents_with_a_good_check_value_are_noticed(maps):
    head, body = struct.Struct("<4sHII"), zlib.compress(b"\x03" + bytes(40))
    for version, count, content in ((1, 1, body), (1, 0, body), (0, 0, body), (1, 2**31, body)):
        data = head.pack(b"SSrg", version, count, zlib.crc32(content)) + content
        with pytest.raises(CorruptProjectError, match="damaged"):
            unpack_regions(data, "a")
    rows = table_of(maps, 0).rows.copy()
    for field, value in (("area", 0), ("kind", 4), ("target", 65535)):
        broken = rows.copy()
        broken[field][1] = value
        with pytest.raises(CorruptProjectError, match="damaged"):
            unpack_regions(pack_regions(RegionTable(("a",), broken)), "a")
    newer = head.pack(b"SSrg", 2, 0, 0)
    with pytest.raises(CorruptProjectError, match="newer SegStudio"):
        unpack_regions(newer, "a")
