"""From image to network input."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.preprocess import resize_image, to_input

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
