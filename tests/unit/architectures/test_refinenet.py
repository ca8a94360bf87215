"""RefineNet: its blocks, its published size, and the names of the released weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures.refinenet import (
    ChainedPooling,
    RefineBlock,
    RefineNet,
    RefineNetOptions,
    ResidualUnit,
)

_RESNET101 = 42_500_160
_SMALL = RefineNetOptions("resnet18", width=4)


@pytest.mark.parametrize("stages", [2, 4])
def test_parameter_count(stages: int) -> None:
    """The decoder by hand: 3 x 3 convolutions; per level 4 in front, 6 behind, the pooling's."""
    first = 2048 * 512 + (10 + stages) * 512**2
    others = (1024 + 512 + 256) * 256 + 3 * (10 + stages) * 256**2
    fusions = 3 * 256**2 + (512 + 256 + 256) * 256
    biases = 5 * (512 + 3 * 256)
    decoder = 9 * (first + others + fusions) + biases + 256 * 9 * 21 + 21
    with torch.device("meta"):
        network = RefineNet(21, RefineNetOptions(pooling_stages=stages))
    assert network.parameter_count() == _RESNET101 + decoder


def test_decoder_has_no_norms_and_few_biases() -> None:
    network = RefineNet(3, _SMALL)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.blocks.modules())
    biased = {name.split(".")[-2] for name in network.blocks.state_dict() if name.endswith("bias")}
    assert biased == {"first"}
    assert network.head.bias is not None


def test_residual_unit() -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(3)
    x = torch.randn(1, 3, 6, 5)
    kept = x.clone()
    hidden = F.conv2d(x.clamp(min=0), unit.first.weight, unit.first.bias, padding=1)
    wanted = x + F.conv2d(hidden.clamp(min=0), unit.second.weight, padding=1)
    torch.testing.assert_close(unit(x), wanted)
    assert torch.equal(x, kept)


def test_chained_pooling_adds_every_link() -> None:
    """With convolutions that copy, link k is the maximum over a window of 1 + 4 k."""
    pooling = ChainedPooling(1, 3)
    for conv in pooling.convs:
        nn.init.dirac_(conv.weight)
    x = torch.randn(1, 1, 20, 30)
    wanted = sum(
        F.max_pool2d(x.clamp(min=0), 1 + 4 * links, stride=1, padding=2 * links)
        for links in range(4)
    )
    torch.testing.assert_close(pooling(x), wanted)


def test_coarser_block_is_added_at_the_finer_size() -> None:
    torch.manual_seed(0)
    block = RefineBlock(6, 4, 8, 2)
    for residual in (*block.adapt, *block.output):
        nn.init.zeros_(residual.second.weight)
    for conv in block.pool.convs:
        nn.init.zeros_(conv.weight)
    features, coarse = torch.randn(1, 6, 9, 13), torch.randn(1, 8, 5, 7)
    upsampled = F.interpolate(
        block.fuse_coarse(coarse), size=(9, 13), mode="bilinear", align_corners=True
    )
    wanted = (block.fuse(block.reduce(features)) + upsampled).clamp(min=0)
    torch.testing.assert_close(block(features, coarse), wanted)


def test_dropout_is_on_the_coarse_features_and_before_the_classifier() -> None:
    network = RefineNet(2, _SMALL).eval()
    seen: list[tuple[int, ...]] = []
    network.dropout.register_forward_hook(
        lambda _module, inputs, _output: seen.append(tuple(inputs[0].shape[1:]))
    )
    assert network(torch.rand(1, 3, 97, 131)).shape == (1, 2, 25, 33)
    assert seen == [(512, 4, 5), (256, 7, 9), (4, 25, 33)]


def _released_names(classes: int) -> dict[str, Tensor]:
    """What DrSleep/refinenet-pytorch's RefineNet-101 calls its decoder, and its shapes."""
    found = {}
    for level, channels in enumerate((2048, 1024, 512, 256), start=1):
        width = 512 if level == 1 else 256
        found[f"p_ims1d2_outl{level}_dimred.weight"] = (width, channels)
        for place, count in ((f"adapt_stage{level}_b", 2), (f"mflow_conv_g{level}_b", 3)):
            for unit in range(1, count + 1):
                found[f"{place}.0.{unit}_conv.weight"] = (width, width)
                found[f"{place}.0.{unit}_conv.bias"] = (width,)
                found[f"{place}.0.{unit}_conv_relu_varout_dimred.weight"] = (width, width)
        for stage in range(1, 5):
            found[f"mflow_conv_g{level}_pool.0.{stage}_outvar_dimred.weight"] = (width, width)
        if level > 1:
            found[f"adapt_stage{level}_b2_joint_varout_dimred.weight"] = (256, 256)
        if level < 4:
            found[f"mflow_conv_g{level}_b3_joint_varout_dimred.weight"] = (256, width)
    found["clf_conv.weight"], found["clf_conv.bias"] = (classes, 256), (classes,)
    return {
        name: torch.empty((*shape, 3, 3) if name.endswith("weight") else shape, device="meta")
        for name, shape in found.items()
    }


def test_released_layout_fits() -> None:
    with torch.device("meta"):
        wanted = RefineNet(21, RefineNetOptions(pooling_stages=4)).state_dict()
    encoder = {key[8:]: value for key, value in wanted.items() if key.startswith("encoder.")}
    tensors = {**encoder, **_released_names(21)}
    recognition = RefineNet.recognise(tensors)
    assert recognition is not None
    assert (recognition.source, recognition.classes) == ("refinenet-pytorch", 21)
    assert recognition.options == RefineNetOptions(pooling_stages=4)
    renamed = RefineNet.rename_keys(tensors)
    assert {name: value.shape for name, value in renamed.items()} == {
        name: value.shape for name, value in wanted.items()
    }
    for theirs, ours in (
        ("adapt_stage2_b.0.1_conv.weight", "blocks.1.adapt.0.first.weight"),
        ("mflow_conv_g4_b.0.3_conv_relu_varout_dimred.weight", "blocks.3.output.2.second.weight"),
        ("mflow_conv_g3_b3_joint_varout_dimred.weight", "blocks.3.fuse_coarse.weight"),
        ("adapt_stage3_b2_joint_varout_dimred.weight", "blocks.2.fuse.weight"),
        ("mflow_conv_g2_pool.0.4_outvar_dimred.weight", "blocks.1.pool.convs.3.weight"),
    ):
        assert renamed[ours] is tensors[theirs]


@pytest.mark.parametrize(
    "options",
    [RefineNetOptions(), RefineNetOptions("resnet152", 4), RefineNetOptions("resnet18", 3, 8)],
)
def test_own_variants_are_recognised(options: RefineNetOptions) -> None:
    with torch.device("meta"):
        recognition = RefineNet.recognise(RefineNet(7, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        7,
    )
