"""Windows cover every pixel, as often as the published rule says, and are averaged exactly."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.core.errors import UsageError
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.windows import fill_window, parse_window, slide, window_starts


@pytest.mark.parametrize(
    ("length", "window", "stride", "starts"),
    [
        (683, 512, 341, [0, 171]),
        (512, 512, 341, [0]),
        (100, 512, 341, [0]),
        (1024, 512, 512, [0, 512]),
        (1025, 512, 512, [0, 512, 513]),
        (2048, 1024, 768, [0, 768, 1024]),
        (1, 32, 1, [0]),
    ],
)
def test_starts(length: int, window: int, stride: int, starts: list[int]) -> None:
    assert window_starts(length, window, stride) == starts


def test_starts_are_those_of_mmsegmentation() -> None:
    """Its own arithmetic, with the repetitions taken out."""
    for length, window, stride in itertools.product((5, 17, 64, 99, 130), (16, 40), (7, 16)):
        grids = max(length - window + stride - 1, 0) // stride + 1
        ends = [min(index * stride + window, length) for index in range(grids)]
        wanted = sorted({max(end - window, 0) for end in ends})
        assert window_starts(length, window, stride) == wanted, (length, window, stride)


def test_every_pixel_is_the_mean_of_the_windows_over_it() -> None:
    image = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(1))
    calls: list[tuple[int, int]] = []

    def network(piece: Tensor) -> Tensor:
        calls.append((int(piece.shape[2]), int(piece.shape[3])))
        return piece[:, :2] + len(calls)

    result = slide(network, image, ((32, 32), (18, 24)), align_corners=False)
    assert calls == [(32, 32)] * 6  # 2 rows of windows, 3 columns
    wanted, count = torch.zeros(1, 2, 50, 70), torch.zeros(50, 70)
    for number, (top, left) in enumerate(itertools.product((0, 18), (0, 24, 38)), 1):
        wanted[..., top : top + 32, left : left + 32] += number
        count[top : top + 32, left : left + 32] += 1
    assert int(count.min()) == 1 and int(count.max()) == 4
    torch.testing.assert_close(result, image[:, :2] + wanted / count)


def test_logits_are_brought_to_the_windows_size_before_they_are_averaged() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))

    def network(piece: Tensor) -> Tensor:
        return F.avg_pool2d(piece, 4)

    result = slide(network, image, ((40, 40), (40, 40)), align_corners=True)
    wanted = F.interpolate(network(image), size=(40, 40), mode="bilinear", align_corners=True)
    torch.testing.assert_close(result, wanted)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("auto", ((64, 48), (40, 30))),
        ("none", None),
        ("128x96", ((128, 96), (96, 72))),
        ("128x96:32", ((128, 96), (32, 32))),
        ("128x96:64x96", ((128, 96), (64, 96))),
    ],
)
def test_a_users_word(text: str, window: object) -> None:
    rule = Preprocessing(window=(64, 48), stride=(40, 30))
    assert parse_window(text, rule) == window


def test_auto_is_the_whole_image_where_no_window_is_published() -> None:
    assert parse_window("auto", Preprocessing()) is None
    assert parse_window("auto", Preprocessing(window=(64, 48))) == ((64, 48), (64, 48))


@pytest.mark.parametrize("text", ["", "512", "512x", "512x512:", "0x0", "16x512", "64x64:0"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_window(text, Preprocessing())


def test_gaps_are_refused() -> None:
    with pytest.raises(UsageError, match="gaps"):
        parse_window("64x64:65", Preprocessing())


@pytest.mark.parametrize(
    ("size", "filled"),
    [((40, 50), (40, 50)), ((32, 99), (32, 99)), ((20, 99), (32, 158)), ((70, 10), (224, 32))],
)
def test_an_input_thinner_than_the_window_is_enlarged(
    size: tuple[int, int], filled: tuple[int, int]
) -> None:
    image = torch.linspace(0, 1, size[1]).expand(1, 3, *size)
    result = fill_window(image, ((32, 32), (16, 16)))
    assert tuple(result.shape[-2:]) == filled
    assert (result is image) == (size == filled)
    torch.testing.assert_close(float(result.mean()), 0.5, rtol=1e-3, atol=0)
