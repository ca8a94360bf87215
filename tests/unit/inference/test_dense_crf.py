"""The dense CRF: mean field against brute force, the lattice against the exact Gaussian filter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.errors import SegStudioError, SizeMismatchError, UsageError
from segstudio.core.options import build_options
from segstudio.inference.refiners.base import REFINERS
from segstudio.inference.refiners.dense_crf import DenseCRF, PermutohedralFilter

Floats = NDArray[np.float32]
HEIGHT, WIDTH = 12, 16


def gaussian_kernel(features: NDArray[Any]) -> NDArray[np.float64]:
    """Return the exact (N, N) kernel, normalised on both sides, in double precision."""
    points = features.astype(np.float64)
    kernel = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2) / 2)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return scale[:, None] * kernel * scale


class ExactFilter:
    def __init__(self, features: Floats) -> None:
        self.kernel = gaussian_kernel(features)

    def add_filtered(self, values: Floats, out: Floats, factor: float) -> None:
        out += (factor * (self.kernel @ values)).astype(np.float32)


def brute_force(image: NDArray[np.uint8], p: Floats, options: DenseCRF.Options) -> Floats:
    """Return mean field by its formulas: pairs of pixels, pairs of labels, double precision."""
    classes, height, width = p.shape
    rows, cols = np.divmod(np.arange(height * width), width)
    position = np.stack([rows, cols], axis=1)
    colour = image.reshape(-1, 3) / options.colour_std
    appearance = gaussian_kernel(np.concatenate([position / options.position_std, colour], 1))
    smoothness = gaussian_kernel(position / options.smoothness_std)
    kernel = options.appearance_weight * appearance + options.smoothness_weight * smoothness
    potts = 1 - np.eye(classes)
    unary = -np.log(p.reshape(classes, -1).astype(np.float64))
    q = np.exp(-unary)
    for _ in range(options.iterations):
        energy = unary + potts @ (q @ kernel)
        q = np.exp(-(energy - energy.min(axis=0)))
        q /= q.sum(axis=0)
    return q.reshape(p.shape).astype(np.float32)


def noisy_image(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def random_probabilities(
    classes: int, *, seed: int = 1, size: tuple[int, int] | None = None
) -> Floats:
    height, width = size or (HEIGHT, WIDTH)
    drawn = np.random.default_rng(seed).dirichlet(np.full(classes, 0.7), height * width)
    p = np.maximum(drawn.T.reshape(classes, height, width), 1e-5).astype(np.float32)
    return p / p.sum(axis=0)


def scene(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], Floats]:
    """Return image, truth and noisy probabilities: two slanted edges, 30 % of the pixels wrong."""
    random = np.random.default_rng(5)
    rows, cols = np.indices((height, width))
    truth = (cols > 0.3 * width + 0.2 * rows).astype(int) + (cols + rows > 0.9 * width)
    colours = np.array([[60, 90, 150], [180, 160, 90], [80, 140, 70]])
    image = np.clip(colours[truth] + random.normal(0, 3, (height, width, 3)), 0, 255)
    wrong = random.random(truth.shape) < 0.3
    seen = np.where(wrong, random.integers(0, 3, truth.shape), truth)
    p = np.full((3, height, width), 0.2, np.float32)
    np.put_along_axis(p, seen[None], 0.6, axis=0)
    return image.astype(np.uint8), truth, p


def image_features(image: NDArray[np.uint8], position_std: float, colour_std: float) -> Floats:
    positions = np.moveaxis(np.indices(image.shape[:2]), 0, 2) / position_std
    joined = np.concatenate([positions, image / colour_std], axis=2)
    return joined.reshape(-1, 5).astype(np.float32)


def kernel_of(filter_: Any, points: int) -> Floats:
    """Return the (N, N) matrix of a filter; N is a multiple of 8."""
    out = np.zeros((points, points), np.float32)
    filter_.add_filtered(np.eye(points, dtype=np.float32), out, 1.0)
    return out


@pytest.mark.parametrize("classes", [2, 5, 11])
@pytest.mark.parametrize(
    "values",
    [{}, {"position_std": 6.0, "colour_std": 60.0, "iterations": 4}],
    ids=["defaults", "wide"],
)
def test_mean_field_with_exact_filters_equals_brute_force(
    classes: int, values: dict[str, Any]
) -> None:
    options = build_options(DenseCRF.Options, values)
    image, p = noisy_image(), random_probabilities(classes)
    refined = DenseCRF(options, make_filter=ExactFilter).refine(image, p)
    expected = brute_force(image, p, options)
    np.testing.assert_allclose(refined, expected, atol=1e-4)  # measured: 2e-5
    assert np.abs(expected - p).max() > 0.1  # the CRF does something


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_the_closed_lattice_is_symmetric_and_near_the_gaussian(dimensions: int) -> None:
    points = np.random.default_rng(2).normal(0, 1.0, (64, dimensions)).astype(np.float32)
    kernel = kernel_of(PermutohedralFilter(points, closed=True), 64)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-6)
    exact = gaussian_kernel(points)
    # Measured: at most 0.146 of the largest entry (the lattice's tent instead of a bell); root mean
    # square 0.043, 0.080, 0.117 and 0.145 of the kernel's.
    difference = kernel - exact
    assert np.abs(difference).max() < 0.18 * exact.max()
    assert np.sqrt((difference**2).mean() / (exact**2).mean()) < 0.17


def test_closing_the_lattice_brings_it_nearer_to_the_gaussian() -> None:
    points = np.random.default_rng(2).normal(0, 1.0, (64, 5)).astype(np.float32)
    exact = gaussian_kernel(points)
    errors = [
        np.abs(kernel_of(PermutohedralFilter(points, closed=closed), 64) - exact).max()
        for closed in (True, False)
    ]
    assert errors[0] < 0.5 * errors[1]  # measured: 0.12 and 0.48 of the largest entry


def test_the_smoothness_filter_is_near_the_gaussian() -> None:
    rows, cols = np.divmod(np.arange(32 * 32), 32)
    features = (np.stack([rows, cols], axis=1) / 3).astype(np.float32)
    kernel = kernel_of(PermutohedralFilter(features), 32 * 32)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-6)
    exact = gaussian_kernel(features)
    assert np.abs(kernel.sum(axis=1) - exact.sum(axis=1)).max() < 0.03  # measured: 0.018
    step = (cols >= 16).astype(np.float32)
    assert np.abs(kernel @ step - exact @ step).max() < 0.035  # measured: 0.022


@pytest.mark.parametrize(("position_std", "colour_std"), [(49.0, 5.0), (8.0, 20.0)])
def test_the_appearance_filter_is_near_the_gaussian(position_std: float, colour_std: float) -> None:
    image, truth, _ = scene(HEIGHT, WIDTH)
    features = image_features(image, position_std, colour_std)
    kernel = kernel_of(PermutohedralFilter(features), len(features))
    exact = gaussian_kernel(features)
    inside = (truth.ravel()[:, None] == np.arange(3)).astype(np.float32)
    difference = kernel @ inside - exact @ inside
    assert np.abs(difference).max() < 0.12  # measured: 0.080 and 0.076, of a whole of 1
    assert np.sqrt((difference**2).mean()) < 0.025  # measured: 0.014 and 0.012
    apart = truth.ravel()[:, None] != truth.ravel()
    assert kernel[apart].max() < 1e-3  # nothing passes an edge


def test_the_lattice_gives_the_labels_of_brute_force() -> None:
    image, _, p = scene(24, 32)
    options = DenseCRF.Options()
    refined = DenseCRF(options).refine(image, p)
    expected = brute_force(image, p, options)
    assert (refined.argmax(0) == expected.argmax(0)).mean() >= 0.99
    assert np.abs(refined - expected).mean() < 0.002  # measured: 0.0003


def test_channels_done_in_turn_give_the_same() -> None:
    features = image_features(noisy_image(), 6.0, 40.0)
    values = np.random.default_rng(3).random((len(features), 24), np.float32)
    together, in_turn = np.zeros_like(values), np.zeros_like(values)
    PermutohedralFilter(features).add_filtered(values, together, 2.0)
    PermutohedralFilter(features, memory=1).add_filtered(values, in_turn, 2.0)
    assert together.any()
    np.testing.assert_array_equal(together, in_turn)


def test_labels_follow_the_edges_of_the_image() -> None:
    image, truth, p = scene(60, 80)
    before = (p.argmax(0) == truth).mean()
    refined = DenseCRF().refine(image, p)
    assert before < 0.85
    assert (refined.argmax(0) == truth).mean() > 0.99


def test_the_appearance_kernel_is_what_keeps_the_edges() -> None:
    image, truth, p = scene(60, 80)
    options = DenseCRF.Options(appearance_weight=0.0, smoothness_weight=7.0)
    smooth = DenseCRF(options).refine(image, p).argmax(0)
    refined = DenseCRF().refine(image, p).argmax(0)
    assert (refined != truth).sum() * 3 < (smooth != truth).sum()


def test_probabilities_sum_to_one_and_the_arguments_stay() -> None:
    image, p = noisy_image(), random_probabilities(9)
    kept_image, kept_p = image.copy(), p.copy()
    refined = DenseCRF().refine(image, p)
    assert refined.dtype == np.float32 and refined.shape == p.shape
    assert refined.min() >= 0 and refined.max() <= 1 + 1e-6
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(image, kept_image)
    np.testing.assert_array_equal(p, kept_p)


def test_equal_probabilities_stay_equal() -> None:
    p = np.full((4, HEIGHT, WIDTH), 0.25, np.float32)
    np.testing.assert_allclose(DenseCRF().refine(noisy_image(), p), 0.25, atol=1e-5)


def test_constant_probabilities_keep_their_order_everywhere() -> None:
    p = np.empty((3, HEIGHT, WIDTH), np.float32)
    p[:] = np.array([0.3, 0.2, 0.5], np.float32)[:, None, None]
    refined = DenseCRF().refine(noisy_image(), p)
    assert (refined.argsort(axis=0) == np.array([1, 0, 2])[:, None, None]).all()


def test_without_weights_nothing_changes() -> None:
    p = random_probabilities(6)
    options = DenseCRF.Options(appearance_weight=0.0, smoothness_weight=0.0)
    np.testing.assert_allclose(DenseCRF(options).refine(noisy_image(), p), p, atol=1e-6)


def test_it_is_deterministic() -> None:
    image, p = noisy_image(), random_probabilities(7)
    np.testing.assert_array_equal(DenseCRF().refine(image, p), DenseCRF().refine(image, p))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1)])
@pytest.mark.parametrize("classes", [1, 3])
def test_the_smallest_images(size: tuple[int, int], classes: int) -> None:
    image = np.full((*size, 3), 100, np.uint8)
    refined = DenseCRF().refine(image, random_probabilities(classes, size=size))
    assert refined.shape == (classes, *size)
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-6)


def test_one_pixel_hears_itself() -> None:
    # Its normalised kernels are 1, so mean field is q = softmax(log p + 7 q).
    p = np.array([0.55, 0.45], np.float32)
    q = p.astype(np.float64)
    for _ in range(10):
        q = p * np.exp(7 * q)
        q /= q.sum()
    refined = DenseCRF().refine(np.zeros((1, 1, 3), np.uint8), p[:, None, None])
    np.testing.assert_allclose(refined.ravel(), q, rtol=1e-4)


def test_classes_that_are_improbable_everywhere_take_no_part() -> None:
    image, _, p = scene(24, 32)
    rare = np.random.default_rng(8).random((40, 24, 32)).astype(np.float32) * np.float32(2e-5)
    many = np.concatenate([p * (1 - rare.sum(axis=0)), rare])
    options = DenseCRF.Options()
    refined = DenseCRF(options, make_filter=ExactFilter).refine(image, many)
    expected = brute_force(image, many, options)
    np.testing.assert_allclose(refined, expected, atol=1.5e-3)  # measured: 5e-4
    np.testing.assert_allclose(refined[3:], rare, rtol=1e-4)
    np.testing.assert_array_equal(refined.argmax(0), expected.argmax(0))
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-5)


def test_a_class_that_is_probable_at_one_pixel_takes_part() -> None:
    p = random_probabilities(3)
    p[2] = 1e-6
    p[:, 4, 4] = (0.0, 0.1, 0.9)
    p /= p.sum(axis=0)
    refined = DenseCRF(make_filter=ExactFilter).refine(noisy_image(), p)
    expected = brute_force(noisy_image(), np.maximum(p, 1e-10), DenseCRF.Options())
    np.testing.assert_allclose(refined, expected, atol=2e-4)
    assert refined[2, 4, 4] > 0.9


def test_zero_probabilities_are_no_trouble() -> None:
    image, truth, _ = scene(24, 32)
    certain = (truth == np.arange(3)[:, None, None]).astype(np.float32)
    refined = DenseCRF().refine(image, certain)
    np.testing.assert_allclose(refined, certain, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 0.9])
def test_what_is_no_probability_is_refused(value: float) -> None:
    p = random_probabilities(3)
    p[1, 3, 3] = value
    p[2, 3, 3] = 0.3
    p[0, 3, 3] = 0.3 if value > 0 else 0.8
    with pytest.raises(SegStudioError, match="cannot be refined by dense-crf"):
        DenseCRF().refine(noisy_image(), p)


def test_infinities_of_both_signs_are_refused_without_a_warning() -> None:
    p = random_probabilities(3)
    p[:2, 3, 3] = (np.inf, -np.inf)
    with pytest.raises(SegStudioError, match="no probabilities"):
        DenseCRF().refine(noisy_image(), p)


def test_arrays_that_do_not_fit_are_refused() -> None:
    image, p = noisy_image(), random_probabilities(3)
    with pytest.raises(SizeMismatchError, match="12 x 16 pixels"):
        DenseCRF().refine(image, p[:, 1:])
    with pytest.raises(UsageError, match="RGB image"):
        DenseCRF().refine(image[..., :1], p)
    with pytest.raises(UsageError, match="RGB image"):
        DenseCRF().refine(image.astype(np.float32), p)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"shape \(C, H, W\)"):
        DenseCRF().refine(image, p[0])
    with pytest.raises(UsageError, match="at least one class"):
        DenseCRF().refine(image, p[:0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("iterations", "many"),
        ("position_std", 0),
        ("colour_std", -1),
        ("appearance_weight", -0.5),
        ("smoothness_std", "nan"),
        ("smoothness_weight", 1e9),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        build_options(DenseCRF.Options, {name: value})


def test_the_registry_finds_it_without_numba_and_torch() -> None:
    code = (
        "import sys\n"
        "from segstudio.inference.refiners.base import REFINERS\n"
        "print(*REFINERS.names(), *({'numba', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["dense-crf"]
    refiner = REFINERS.get("dense-crf")
    assert refiner is DenseCRF and refiner.name == "dense-crf" and refiner.description
