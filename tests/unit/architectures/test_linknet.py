"""LinkNet: the blocks of the paper's figures, counted and followed."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from segstudio.architectures.linknet import DecoderBlock, LinkNet, LinkNetOptions


def _paper_count(classes: int) -> int:
    """Parameters by hand: ResNet-18 without its classifier, four blocks, the final block."""

    def unit(channels: int, out_channels: int, window: int) -> int:
        return channels * out_channels * window**2 + 2 * out_channels

    widths = [64, 64, 128, 256, 512]
    count = unit(3, 64, 7)
    for channels, width in itertools.pairwise(widths):
        count += unit(channels, width, 3) + 3 * unit(width, width, 3)
        count += 0 if channels == width else unit(channels, width, 1)
        count += unit(width, width // 4, 1) + unit(width // 4, width // 4, 3)
        count += unit(width // 4, channels, 1)
    return count + unit(64, 32, 3) + unit(32, 32, 3) + 32 * classes * 4 + classes


def test_parameter_count() -> None:
    with torch.device("meta"):
        network = LinkNet(20)
    assert network.parameter_count() == _paper_count(20)
    assert round(network.parameter_count() / 1e6, 1) == 11.5


def test_encoder_features_are_added() -> None:
    torch.manual_seed(0)
    network = LinkNet(3).eval()
    inputs: dict[int, Tensor] = {}
    outputs: dict[int, Tensor] = {}
    for level, block in enumerate(network.decoder):

        def keep(_module: nn.Module, given: tuple[Tensor], out: Tensor, level: int = level) -> None:
            inputs[level], outputs[level] = given[0], out

        block.register_forward_hook(keep)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        features = network.encoder(image)
        network(image)
    assert torch.equal(inputs[3], features[3])
    for level in (2, 1, 0):
        torch.testing.assert_close(inputs[level], outputs[level + 1] + features[level])


def test_sizes_of_the_decoder() -> None:
    network = LinkNet(3).eval()
    seen: list[tuple[int, ...]] = []
    for module in [*reversed(network.decoder), *network.head, network.classify]:
        module.register_forward_hook(lambda _module, _inputs, out: seen.append(out.shape[1:]))
    with torch.inference_mode():
        network(torch.rand(1, 3, 64, 96))
    assert seen == [
        (256, 4, 6),
        (128, 8, 12),
        (64, 16, 24),
        (64, 16, 24),
        (32, 32, 48),
        (32, 32, 48),
        (3, 64, 96),
    ]


def test_a_block_works_with_a_quarter_of_the_channels() -> None:
    block = DecoderBlock(64, 24, double=True)
    convs = [
        module for module in block.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    channels = [(conv.in_channels, conv.out_channels) for conv in convs]
    assert channels == [(64, 16), (16, 16), (16, 24)]
    assert block(torch.rand(1, 64, 5, 7)).shape == (1, 24, 10, 14)


def test_padding_does_not_move_the_output() -> None:
    torch.manual_seed(0)
    network = LinkNet(3).eval()
    image = torch.rand(1, 3, 45, 37)
    padded = torch.zeros(1, 3, 64, 64)
    padded[..., :45, :37] = image
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(padded)[..., :45, :37])


def test_the_encoder_is_recognised() -> None:
    with torch.device("meta"):
        tensors = LinkNet(7, LinkNetOptions("resnet34")).state_dict()
    recognition = LinkNet.recognise(tensors)
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (LinkNetOptions("resnet34"), 7)
    del tensors["encoder.layer3.5.conv2.weight"]
    assert LinkNet.recognise(tensors) is None
