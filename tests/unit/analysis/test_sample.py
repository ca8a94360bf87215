"""The pass over one sample, its counts stored and added, and a run read from its PNG layers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segstudio.analysis.counts import ErrorCounts, sum_error_counts
from segstudio.analysis.objects import count_by_size
from segstudio.analysis.pair import build_pair
from segstudio.analysis.run import StoredSample, analyse_run
from segstudio.analysis.sample import analyse_sample
from segstudio.analysis.taxonomy import classify_errors, count_kinds
from segstudio.core.errors import (
    CancelledError,
    CorruptProjectError,
    LabelValueError,
    SizeMismatchError,
    UsageError,
)
from segstudio.metrics.boundary import count_boundary
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import SampleCounts


def parts_of(counts):
    boundary, taxonomy, sizes = counts.boundary, counts.taxonomy, counts.sizes
    return [
        boundary.intersection,
        boundary.union,
        taxonomy.hits,
        taxonomy.kinds,
        sizes.hits,
        sizes.missed,
        sizes.false,
    ]


def same(one, other):
    pairs = zip(parts_of(one), parts_of(other), strict=True)
    return all(a.shape == b.shape and (a == b).all() for a, b in pairs)


@pytest.mark.parametrize("edges", [(), (32**2, 96**2), (5, 20, 60)])
def test_the_counts_are_those_of_their_modules(maps, edges):
    target, prediction = maps(0)
    counts = analyse_sample(target, prediction, 5, width=2, size_edges=edges).counts
    errors = classify_errors(build_pair(target, prediction, 5), width=2)
    expected = ErrorCounts.from_parts(
        count_boundary(target, prediction, 5, width=2),
        count_kinds(errors),
        count_by_size(errors, edges=edges),
        size_edges=edges,
    )
    assert same(counts, expected)
    assert (counts.taxonomy.confusion == confusion_matrix(target, prediction, 5)).all()
    assert (counts.sizes.hits == count_by_size(errors, edges=edges).hits).all()
    again = ErrorCounts.from_bytes(counts.to_bytes())
    assert same(again, counts) and again.size_edges == edges and again.classes == 5
    assert again.to_bytes() == counts.to_bytes()


def test_the_sum_of_a_slice_is_the_sum_of_its_parts(maps):
    samples = [analyse_sample(*maps(seed), 5).counts for seed in range(4)]
    total = sum_error_counts(samples, classes=5)
    for index, part in enumerate(parts_of(total)):
        assert (part == sum(parts_of(sample)[index] for sample in samples)).all()
    assert same(sum_error_counts([], classes=5), ErrorCounts.empty(5))
    assert not parts_of(ErrorCounts.empty(5))[3].any()


def test_counts_of_other_classes_or_bins_are_not_added(maps):
    sample = analyse_sample(*maps(0), 5).counts
    with pytest.raises(UsageError, match="over 5 classes"):
        sum_error_counts([sample], classes=6)
    with pytest.raises(UsageError, match="analyse the run again"):
        sum_error_counts([sample], classes=5, size_edges=(7,))


def test_damage_and_other_counts_are_noticed(maps):
    target, prediction = maps(0)
    data = analyse_sample(target, prediction, 5).counts.to_bytes()
    confusion = SampleCounts.from_dense(confusion_matrix(target, prediction, 5)).to_bytes()
    for bad in (b"", data[:-2], data[:40] + bytes([data[40] ^ 1]) + data[41:], confusion):
        with pytest.raises(CorruptProjectError, match="damaged"):
            ErrorCounts.from_bytes(bad)


def test_what_is_predicted_where_the_target_is_ignored_never_counts(maps):
    target, prediction = maps(2)
    other = prediction.copy()
    ignored = target == 255
    other[ignored] = np.random.default_rng(0).integers(0, 5, int(ignored.sum()))
    one, two = (analyse_sample(target, side, 5, name="a") for side in (prediction, other))
    assert same(one.counts, two.counts)
    assert (one.regions.rows == two.regions.rows).all()


def test_bad_input_is_one_sentence(maps):
    target, prediction = maps(0)
    small = np.zeros((4, 4), np.uint8)
    with pytest.raises(SizeMismatchError, match=r"prediction of a\.png has 4 x 4 pixels"):
        analyse_sample(target, small, 5, name="a.png")
    with pytest.raises(LabelValueError, match="no label map"):
        analyse_sample(target, np.zeros((*target.shape, 3), np.uint8), 5)
    with pytest.raises(LabelValueError, match="prediction of a holds the class index 4"):
        analyse_sample(np.minimum(target, 3), prediction, 4, ignore_index=255, name="a")
    for layer in ("entropy", "confidence", "runner_up"):
        with pytest.raises(SizeMismatchError, match="of a has 4 x 4 pixels, but its ground truth"):
            analyse_sample(target, prediction, 5, name="a", **{layer: small})
    with pytest.raises(UsageError, match=r"as levels 0\.\.255, not as float64"):
        analyse_sample(target, prediction, 5, entropy=np.zeros(target.shape))


# -- runs -----------------------------------------------------------------------------------


@pytest.fixture
def stored(maps, tmp_path):
    """Three samples with all layers as PNG files."""
    samples, contents = [], []
    for seed in range(3):
        target, prediction = maps(seed)
        generator = np.random.default_rng(seed)
        levels = generator.integers(0, 256, (2, *target.shape)).astype(np.uint8)
        second = generator.integers(0, 5, target.shape).astype(np.uint8)
        paths = {}
        for layer, pixels in (
            ("labels", prediction),
            ("entropy", levels[0]),
            ("confidence", levels[1]),
            ("runner_up", second),
        ):
            paths[layer] = tmp_path / f"{layer}{seed}.png"
            Image.fromarray(pixels).save(paths[layer])
        samples.append(StoredSample(f"s{seed}", lambda target=target: target, **paths))
        contents.append((target, prediction, levels, second))
    return samples, contents


def test_a_run_is_its_samples(stored):
    samples, contents = stored
    steps = []
    results = list(analyse_run(samples, 5, progress=lambda *step: steps.append(step)))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for result, (target, prediction, levels, second) in zip(results, contents, strict=True):
        expected = analyse_sample(
            target,
            prediction,
            5,
            entropy=levels[0],
            confidence=levels[1],
            runner_up=second,
            name=result.sample_id,
        )
        assert result.problem is None
        assert same(result.errors.counts, expected.counts)
        assert result.errors.regions.regions() == expected.regions.regions()


def test_predictions_and_runners_up_go_through_the_mapping(stored):
    samples, contents = stored
    table = np.append([1, 0, 2, 4, 3], np.full(251, 255)).astype(np.uint8)
    sample = samples[0]
    mapped = StoredSample(
        "m",
        sample.read_target,
        sample.labels,
        runner_up=sample.runner_up,
        map_prediction=lambda label_map: table[label_map],
    )
    (result,) = analyse_run([mapped], 5)
    target, prediction, _, second = contents[0]
    expected = analyse_sample(target, table[prediction], 5, runner_up=table[second], name="m")
    assert result.errors.regions.regions() == expected.regions.regions()
    assert result.errors.regions.region(0).mean_entropy is None


def test_a_bad_sample_carries_its_problem_and_the_others_go_on(stored):
    samples, _ = stored
    samples[0].entropy.unlink()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(samples[1].labels)
    results = list(analyse_run(samples, 5))
    assert [result.errors is None for result in results] == [True, True, False]
    assert "entropy0.png does not exist" in results[0].problem
    assert "of s1 has 3 x 3 pixels" in results[1].problem


def test_a_layer_of_sixteen_bits_is_refused(stored):
    samples, contents = stored
    Image.fromarray(np.full(contents[0][0].shape, 999, np.uint16)).save(samples[0].entropy)
    assert "not as uint16" in next(analyse_run(samples, 5)).problem


def test_a_run_can_be_stopped_between_samples(stored):
    samples, _ = stored
    results = []
    with pytest.raises(CancelledError, match="after 2 of 3"):
        for result in analyse_run(samples, 5, is_cancelled=lambda: len(results) == 2):
            results.append(result)
    assert [result.sample_id for result in results] == ["s0", "s1"]


def test_no_samples_are_no_results():
    assert list(analyse_run([], 5)) == []


def test_camvid_frames_and_their_own_shifts(shared):
    """On real maps: the parts add up, and a shift of 3 px is an error of boundaries."""
    folder = shared / "camvid" / "testannot"
    for path in sorted(folder.glob("*.png"))[::80]:
        target = np.asarray(Image.open(path)).copy()
        target[target == 11] = 255
        prediction = np.roll(target, 3, axis=1)
        prediction[:, :3] = target[:, :3]
        errors = analyse_sample(target, prediction, 11)
        whole = confusion_matrix(target, prediction, 11)
        counts = errors.counts.taxonomy
        assert (counts.confusion == whole).all()
        np.fill_diagonal(whole, 0)
        assert (errors.regions.confusion(11) == whole).all()
        boundary = counts.kinds[0, :, :11].sum()
        assert boundary > 0.6 * whole[:, :11].sum()
