"""FC-DenseNet: the rows of the paper's table, what is enlarged, how it starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segstudio.architectures.fc_densenet import DenseBlock, FCDenseNet, FCDenseNetOptions

SMALL = FCDenseNetOptions("56", growth=2, width=3)


def _meta(variant: str) -> FCDenseNet:
    with torch.device("meta"):
        return FCDenseNet(11, FCDenseNetOptions(variant))


@pytest.mark.parametrize(("variant", "growth"), [("56", 12), ("67", 16), ("103", 16)])
def test_the_name_is_the_number_of_layers(variant: str, growth: int) -> None:
    network = _meta(variant)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convs) == int(variant)
    assert network.stem.out_channels == 48
    blocks = [m for m in network.modules() if isinstance(m, DenseBlock)]
    assert {layer.conv.out_channels for block in blocks for layer in block.layers} == {growth}


def test_features_of_103_layers_are_those_of_the_table() -> None:
    network = _meta("103")
    down = [layer.conv.in_channels for layer in network.transition_down]
    assert down == [112, 192, 304, 464, 656]

    def stack(block: DenseBlock) -> int:
        last = block.layers[-1].conv
        return last.in_channels + last.out_channels

    assert stack(network.bottleneck) == 896
    # The table prints 578 for the third, against its own sum 112 + 160 + 304.
    assert [stack(block) for block in network.up] == [1088, 816, 576, 384, 256]
    # Only what the block below added is enlarged.
    enlarged = [(layer.in_channels, layer.out_channels) for layer in network.transition_up]
    assert enlarged == [(size, size) for size in (240, 192, 160, 112, 80)]
    assert network.classify.in_channels == 256


@pytest.mark.parametrize(("variant", "millions"), [("67", 3.5), ("103", 9.4)])
def test_the_authors_count_includes_running_statistics(variant: str, millions: float) -> None:
    network = _meta(variant)
    statistics = sum(
        buffer.numel() for name, buffer in network.named_buffers() if "running" in name
    )
    assert round((network.parameter_count() + statistics) / 1e6, 1) == millions


def test_parameter_counts() -> None:
    counts = {variant: _meta(variant).parameter_count() for variant in ("56", "67", "103")}
    assert counts == {"56": 1_376_795, "67": 3_463_243, "103": 9_322_091}


def test_a_layer_sees_all_before_it_and_the_block_gives_what_is_new() -> None:
    torch.manual_seed(0)
    block = DenseBlock(5, 3, 2, 0.0).eval()
    x = torch.rand(1, 5, 6, 7)
    with torch.inference_mode():
        first = block.layers[0](x)
        second = block.layers[1](torch.cat([x, first], 1))
        third = block.layers[2](torch.cat([x, first, second], 1))
        torch.testing.assert_close(block(x), torch.cat([first, second, third], 1))


def test_odd_sizes_are_pooled_as_they_are() -> None:
    network = FCDenseNet(3, SMALL).eval()
    seen: list[tuple[int, ...]] = []
    network.bottleneck.register_forward_pre_hook(
        lambda _module, inputs: seen.append(tuple(inputs[0].shape[-2:]))
    )
    with torch.inference_mode():
        for size in ((97, 131), (5, 40), (64, 95)):
            assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)
    assert seen == [(3, 4), (1, 1), (2, 2)]


def test_weights_start_he_uniform() -> None:
    torch.manual_seed(0)
    network = FCDenseNet(3, FCDenseNetOptions("56"))
    for conv in (network.down[1].layers[2].conv, network.transition_up[0]):
        # A transposed convolution's fan-in is that of the authors' library: its outputs.
        inputs = conv.in_channels if isinstance(conv, nn.Conv2d) else conv.out_channels
        bound = (6 / (inputs * 9)) ** 0.5
        weight = conv.weight.detach()
        assert 0.99 * bound < float(weight.abs().max()) <= bound
        # A uniform distribution's standard deviation.
        assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
        assert not bool(conv.bias.any())


def test_dropout_is_in_every_layer_but_the_first_the_enlarging_and_the_last() -> None:
    network = FCDenseNet(3, FCDenseNetOptions("56", growth=2, width=3, dropout=0.3))
    chances = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert chances == [0.3] * (56 - 1 - 5 - 1)


@pytest.mark.parametrize(
    "options",
    [
        SMALL,
        FCDenseNetOptions("56"),
        FCDenseNetOptions("67"),
        FCDenseNetOptions("103", growth=3, width=5),
    ],
)
def test_own_variants_are_recognised(options: FCDenseNetOptions) -> None:
    with torch.device("meta"):
        tensors = FCDenseNet(4, options).state_dict()
    recognition = FCDenseNet.recognise(tensors)
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (options, 4)
    assert FCDenseNet.recognise({**tensors, "down.0.layers.9.conv.weight": torch.zeros(1)}) is None
