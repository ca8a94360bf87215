"""From image to network input."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.rows import ArrayRows
from segstudio.inference.preprocess import (
    ResizedRows,
    resize_image,
    resized_rows,
    target_size,
    to_input,
)

CPU = torch.device("cpu")


def picture(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height)
    return generator.integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("resize", "size", "before", "after"),
    [
        ("none", None, (37, 53), (37, 53)),
        ("none", (8, 8), (37, 53), (37, 53)),
        ("exact", (32, 48), (37, 53), (32, 48)),
        # MMSegmentation's (2048, 512): long side at most 2048, short side at most 512.
        ("keep-ratio", (2048, 512), (1024, 2048), (512, 1024)),
        ("keep-ratio", (2048, 512), (2048, 1024), (1024, 512)),
        ("keep-ratio", (2048, 512), (100, 1000), (205, 2048)),
        ("keep-ratio", (2048, 512), (512, 683), (512, 683)),
        # NVlabs/SegFormer's: the same, then up to multiples of 32.
        ("keep-ratio-aligned", (2048, 512), (512, 683), (512, 704)),
        ("keep-ratio-aligned", (2048, 512), (100, 1000), (224, 2048)),
        ("keep-ratio-aligned", (2048, 512), (512, 672), (512, 672)),
        ("short-side", (520, 520), (300, 400), (520, 693)),
        ("short-side", (520, 520), (1400, 1041), (699, 520)),
        ("short-side-at-least", (512, 512), (300, 400), (512, 683)),
        ("short-side-at-least", (512, 512), (600, 400), (768, 512)),
        ("short-side-at-least", (512, 512), (600, 800), (600, 800)),
    ],
)
def test_the_resize_rule(
    resize: str, size: tuple[int, int] | None, before: tuple[int, int], after: tuple[int, int]
) -> None:
    image = picture(*before)
    resized = resize_image(image, Preprocessing(resize=resize, size=size))
    assert resized.shape == (*after, 3) and resized.dtype == np.uint8
    if before == after:
        assert resized is image


def test_each_source_has_its_own_interpolation() -> None:
    image = picture(40, 60)
    rule = {"resize": "exact", "size": (16, 24)}
    np.testing.assert_array_equal(
        resize_image(image, Preprocessing(**rule)),
        cv2.resize(image, (24, 16), interpolation=cv2.INTER_LINEAR),
    )
    np.testing.assert_array_equal(
        resize_image(image, Preprocessing(**rule, antialias=True)),
        np.asarray(Image.fromarray(image).resize((24, 16), Image.Resampling.BILINEAR)),
    )


def test_an_aligned_image_is_interpolated_twice_by_rows_too() -> None:
    image = picture(90, 130)
    rule = Preprocessing(resize="keep-ratio-aligned", size=(200, 70))
    fitted = cv2.resize(image, (101, 70), interpolation=cv2.INTER_LINEAR)
    wanted = cv2.resize(fitted, (128, 96), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_image(image, rule), wanted)
    rows = resized_rows(ArrayRows(image), rule)
    assert (rows.height, rows.width) == (96, 128)
    assert np.abs(rows.read_rows(0, 96).astype(int) - wanted).max() <= 2


def test_mean_and_std_are_applied_on_the_0_to_255_scale() -> None:
    image = picture(4, 5)
    rule = Preprocessing(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0))
    found = to_input(image, rule, CPU)
    assert found.shape == (1, 3, 4, 5) and found.dtype == torch.float32
    wanted = (image.astype(np.float64) - (10, 20, 30)) / (2, 4, 8)
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), wanted, rtol=1e-6)


def test_mean_and_std_are_in_the_models_channel_order() -> None:
    image = picture(4, 5)
    rule = Preprocessing(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 8.0), channel_order="bgr")
    wanted = (image[:, :, ::-1].astype(np.float64) - (10, 20, 30)) / (2, 4, 8)
    np.testing.assert_allclose(
        to_input(image, rule, CPU)[0].permute(1, 2, 0).numpy(), wanted, rtol=1e-6
    )


def test_padding_is_the_mean_colour_at_the_bottom_and_right() -> None:
    image = picture(33, 50)
    plain = to_input(image, Preprocessing(), CPU)
    padded = to_input(image, Preprocessing(divisor=32), CPU)
    assert padded.shape == (1, 3, 64, 64)
    assert torch.equal(padded[..., :33, :50], plain)
    assert not padded[..., 33:, :].any() and not padded[..., 50:].any()
    assert to_input(picture(32, 64), Preprocessing(divisor=32), CPU).shape == (1, 3, 32, 64)


def test_views_with_negative_strides_are_taken() -> None:
    image = picture(6, 7)
    flipped = to_input(image[:, ::-1], Preprocessing(), CPU)
    assert torch.equal(flipped, to_input(image, Preprocessing(), CPU).flip(3))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("chunk", [1, 10**9])
@pytest.mark.parametrize(
    ("before", "after"),
    [((400, 500), (120, 150)), ((40, 50), (121, 149)), ((400, 50), (7, 50)), ((9, 9), (1, 1))],
)
def test_resizing_by_rows(
    before: tuple[int, int],
    after: tuple[int, int],
    chunk: int,
    antialias: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segstudio.inference.preprocess._CHUNK_BYTES", chunk)
    image = picture(*before)
    rule = Preprocessing(resize="exact", size=after, antialias=antialias)
    whole = resize_image(image, rule)
    rows = ResizedRows(ArrayRows(image), after, antialias=antialias)
    assert (rows.height, rows.width) == after
    cuts = sorted({0, after[0] // 3, after[0] // 2, after[0]})
    parts = [rows.read_rows(top, bottom) for top, bottom in itertools.pairwise(cuts)]
    joined = np.concatenate(parts)
    assert joined.dtype == np.uint8 and joined.shape == whole.shape
    difference = np.abs(joined.astype(int) - whole)
    # OpenCV's weights have 11 bits, and Pillow's box has single precision.
    assert difference.max() <= 1
    if antialias and after < before:
        assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize(
    ("resize", "size", "scale", "after"),
    [
        ("none", None, 0.5, (51, 100)),
        ("exact", (64, 48), 1.75, (112, 84)),
        # MMSegmentation: 2048 x 0.75 and 512 x 0.75, and the image into that.
        ("keep-ratio", (2048, 512), 0.75, (384, 757)),
        ("keep-ratio", (2049, 513), 0.5, (256, 504)),
        ("keep-ratio", (205, 150), 0.5, (52, 102)),
        ("short-side", (60, 60), 0.5, (30, 59)),
        ("short-side-at-least", (300, 300), 1.5, (450, 887)),
    ],
)
def test_a_scale_multiplies_the_rule(
    resize: str, size: tuple[int, int] | None, scale: float, after: tuple[int, int]
) -> None:
    rule = Preprocessing(resize=resize, size=size)
    assert target_size(101, 199, rule, scale) == after
    assert resize_image(picture(101, 199), rule, scale).shape[:2] == after


def test_padding_to_a_given_size() -> None:
    rule = Preprocessing(divisor=8)
    batch = to_input(picture(5, 7), rule, CPU, (6, 9))
    assert batch.shape == (1, 3, 6, 9)
    assert not batch[..., 5:, :].any() and not batch[..., 7:].any()
    torch.testing.assert_close(batch[..., :5, :7], to_input(picture(5, 7), rule, CPU)[..., :5, :7])
