"""SegNet: remembered indices, the mirrored decoder, the published size."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from segstudio.architectures._vgg import decode_with_indices, encode_with_indices
from segstudio.architectures.deconvnet import DeconvNet, DeconvNetOptions
from segstudio.architectures.fcn_vgg import FCNVGG, FCNVGGOptions
from segstudio.architectures.segnet import SegNet, SegNetOptions


def test_parameter_count_is_that_of_the_published_network() -> None:
    widths = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    pairs = list(itertools.pairwise(widths))
    # Backwards the same pairs, the last being the classifier; all with biases.
    mirrored = [(out, inside) for inside, out in reversed(pairs[1:])] + [(64, 11)]
    convs = sum(9 * inside * out + out for inside, out in pairs + mirrored)
    norms = sum(2 * out for _, out in pairs + mirrored[:-1])
    with torch.device("meta"):
        network = SegNet(11)
    assert network.parameter_count() == convs + norms == 29_449_355


def test_decoder_mirrors_the_encoder() -> None:
    with torch.device("meta"):
        network = SegNet(11)
    encoder = [m for m in network.encoder.modules() if isinstance(m, nn.Conv2d)]
    decoder = [
        m
        for stage in reversed(network.decoder)
        for m in stage.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert (len(encoder), len(decoder)) == (13, 12)
    assert [(conv.out_channels, conv.in_channels) for conv in reversed(encoder[1:])] == [
        (conv.in_channels, conv.out_channels) for conv in decoder
    ]


def test_unpooling_puts_maxima_back_where_they_were() -> None:
    image = torch.tensor([[1.0, 2, 9, 3], [4, 3, 5, 6], [7, 5, 2, 1], [6, 8, 3, 4]])[None, None]
    pooled, indices = encode_with_indices([nn.Identity()], image)
    assert pooled[0, 0].tolist() == [[4, 9], [8, 4]]
    back = decode_with_indices([nn.Identity()], -pooled, indices)
    assert back[0, 0].tolist() == [[0, 0, -9, 0], [-4, 0, 0, 0], [0, 0, 0, 0], [0, -8, 0, -4]]


def test_stages_are_undone_in_reverse() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 16, 24)
    stages = [nn.Identity(), nn.Identity(), nn.Identity()]
    pooled, indices = encode_with_indices(stages, image)
    back = decode_with_indices(stages, pooled, indices)
    # One value of each 8 x 8 cell survives, its maximum, at its place.
    assert int((back != 0).sum()) == pooled.numel() == 2 * 3 * 2 * 3
    assert bool(((back == 0) | (back == image)).all())


def test_the_decoder_is_filled_at_the_encoders_maxima_only() -> None:
    torch.manual_seed(0)
    network = SegNet(3, SegNetOptions(width=2)).eval()
    seen: dict[str, torch.Tensor] = {}
    network.encoder[0].register_forward_hook(
        lambda _module, _inputs, output: seen.update(encoded=output.clone())
    )
    network.decoder[0].register_forward_pre_hook(
        lambda _module, inputs: seen.update(unpooled=inputs[0].clone())
    )
    with torch.inference_mode():
        network(torch.rand(1, 3, 64, 64))
    encoded, unpooled = seen["encoded"], seen["unpooled"]
    cells = encoded.unflatten(2, (32, 2)).unflatten(4, (32, 2))
    largest = (cells == cells.amax((3, 5), keepdim=True)).flatten(4, 5).flatten(2, 3)
    filled = unpooled != 0
    assert bool(filled.any())
    assert not bool((filled & ~largest).any())
    assert int(filled.sum()) <= unpooled.numel() // 4


def test_padding_does_not_move_the_output() -> None:
    torch.manual_seed(0)
    network = SegNet(3, SegNetOptions(width=4)).eval()
    image = torch.rand(1, 3, 45, 37)
    padded = torch.zeros(1, 3, 64, 64)
    padded[..., :45, :37] = image
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(padded)[..., :45, :37])


@pytest.mark.parametrize("width", [1, 6])
def test_own_variants_are_recognised(width: int) -> None:
    recognition = SegNet.recognise(SegNet(5, SegNetOptions(width)).state_dict())
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (SegNetOptions(width), 5)


def test_other_networks_on_vgg16_are_not_claimed() -> None:
    deconvnet = DeconvNet(3, DeconvNetOptions(width=2, fc_width=3)).state_dict()
    fcn = FCNVGG(3, FCNVGGOptions(width=2, fc_width=3)).state_dict()
    segnet = SegNet(3, SegNetOptions(width=2)).state_dict()
    pages = (DeconvNet, FCNVGG, SegNet)
    for own, tensors in zip(pages, (deconvnet, fcn, segnet), strict=True):
        assert [page for page in pages if page.recognise(tensors) is not None] == [own]
