"""DeconvNet: one cell in the middle, the mirror image around it, the published size."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segstudio.architectures.deconvnet import DeconvNet, DeconvNetOptions

SMALL = DeconvNetOptions(width=2, fc_width=3)


def test_parameter_count_is_that_of_the_published_network() -> None:
    widths = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    pairs = list(itertools.pairwise(widths))
    mirrored = [(out, inside) for inside, out in reversed(pairs[1:])] + [(64, 64)]
    convs = sum(9 * inside * out + out for inside, out in pairs + mirrored)
    middle = (512 * 49 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 49 * 512 + 512)
    norms = sum(2 * out for _, out in pairs + mirrored) + 2 * (4096 + 4096 + 512)
    with torch.device("meta"):
        network = DeconvNet(21)
    assert network.parameter_count() == convs + middle + norms + 64 * 21 + 21 == 251_805_653


def test_layers_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network = DeconvNet(21)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    mirrored = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    # The encoder, fc6, fc7 and the classifier; and the mirror image of all but fc7.
    assert (len(convs), len(mirrored)) == (13 + 3, 1 + 13)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 13 + 2 + 1 + 13


@pytest.mark.parametrize(
    ("size", "cells"),
    [((1, 1), (1, 1)), ((224, 224), (1, 1)), ((225, 200), (2, 1)), ((64, 300), (1, 4))],
)
def test_the_papers_size_is_one_cell(size: tuple[int, int], cells: tuple[int, int]) -> None:
    network = DeconvNet(2, SMALL).eval()
    seen: list[tuple[int, ...]] = []
    network.fc7.register_forward_hook(
        lambda _module, _inputs, output: seen.append(tuple(output.shape))
    )
    with torch.inference_mode():
        assert network(torch.rand(1, 3, *size)).shape == (1, 2, *size)
    assert seen == [(1, 3, *cells)]


def test_each_unpooling_uses_the_places_of_its_own_pooling() -> None:
    torch.manual_seed(0)
    network = DeconvNet(2, SMALL).eval()
    encoded: list[torch.Tensor] = []
    unpooled: list[torch.Tensor] = []
    for stage in network.encoder:
        stage.register_forward_hook(lambda _module, _inputs, output: encoded.append(output.clone()))
    for stage in network.decoder:
        stage.register_forward_pre_hook(lambda _module, inputs: unpooled.append(inputs[0].clone()))
    with torch.inference_mode():
        network(torch.rand(1, 3, 224, 224))
    for before, after in zip(encoded, reversed(unpooled), strict=True):
        assert before.shape == after.shape
        largest = F.interpolate(F.max_pool2d(before, 2), scale_factor=2, mode="nearest")
        assert bool((after != 0).any())
        assert not bool(((after != 0) & (before != largest)).any())


def test_padding_does_not_move_the_output() -> None:
    torch.manual_seed(0)
    network = DeconvNet(3, SMALL).eval()
    image = torch.rand(1, 3, 230, 37)
    padded = torch.zeros(1, 3, 256, 224)
    padded[..., :230, :37] = image
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(padded)[..., :230, :37])


def test_an_untrained_network_still_sees_its_image() -> None:
    """Twenty-nine layers after each other must neither kill nor blow up the signal."""
    torch.manual_seed(0)
    network = DeconvNet(3, DeconvNetOptions(width=8, fc_width=64)).eval()
    with torch.inference_mode():
        first, second = network(torch.rand(2, 3, 224, 224))
    assert 1e-4 < float((first - second).abs().max()) < 1e2


def test_own_variants_are_recognised() -> None:
    recognition = DeconvNet.recognise(DeconvNet(5, SMALL).state_dict())
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (SMALL, 5)
