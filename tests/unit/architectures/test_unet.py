"""U-Net: the paper's, and MMSegmentation's S5-D16 against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from segstudio.architectures.unet import UNet, UNetOptions


def _paper_count(classes: int) -> int:
    """Parameters of the paper's figure 1, by hand: 3 x 3 pairs, 2 x 2 up, all with biases."""

    def conv(channels: int, out_channels: int, window: int) -> int:
        return channels * out_channels * window**2 + out_channels

    widths = [64, 128, 256, 512, 1024]
    down = sum(
        conv(channels, width, 3) + conv(width, width, 3)
        for channels, width in zip([3, *widths], widths, strict=False)
    )
    up = sum(
        conv(width, width // 2, 2) + conv(width, width // 2, 3) + conv(width // 2, width // 2, 3)
        for width in widths[1:]
    )
    return down + up + conv(64, classes, 1)


def test_parameter_counts() -> None:
    with torch.device("meta"):
        assert UNet(2, UNetOptions(batch_norm=False)).parameter_count() == _paper_count(2)
        # With batch normalisation instead of biases: what the U-Nets around have.
        assert UNet(2).parameter_count() == 31_037_698


def test_batch_norm_can_be_left_out() -> None:
    network = UNet(3, UNetOptions(width=4, depth=2, batch_norm=False, up="bilinear", head="fcn"))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert network(torch.rand(1, 3, 10, 7)).shape == (1, 3, 10, 7)


def test_padding_does_not_move_the_output() -> None:
    torch.manual_seed(0)
    network = UNet(3, UNetOptions(width=8, depth=3)).eval()
    image = torch.rand(1, 3, 45, 37)
    padded = torch.zeros(1, 3, 48, 40)
    padded[..., :45, :37] = image
    with torch.inference_mode():
        torch.testing.assert_close(network(image), network(padded)[..., :45, :37])


def test_decoder_sees_the_encoder_at_every_level() -> None:
    network = UNet(2, UNetOptions(width=4, depth=3)).eval()
    seen: list[tuple[int, ...]] = []
    for block in network.decoder:
        block.convs.register_forward_hook(
            lambda _module, inputs, _output: seen.append(tuple(inputs[0].shape[1:]))
        )
    network(torch.rand(1, 3, 32, 32))
    assert seen == [(32, 8, 8), (16, 16, 16), (8, 32, 32)]


@pytest.mark.parametrize(
    "options",
    [
        UNetOptions(width=4, depth=2),
        UNetOptions(width=6, depth=3, batch_norm=False),
        UNetOptions(width=4, depth=4, up="bilinear", head="fcn"),
    ],
)
def test_own_variants_are_recognised(options: UNetOptions) -> None:
    recognition = UNet.recognise(UNet(5, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        5,
    )


def test_other_heads_on_the_same_backbone_are_not_claimed() -> None:
    tensors = {
        "backbone.encoder.0.0.convs.0.conv.weight": torch.zeros(4, 3, 3, 3),
        "backbone.decoder.0.conv_block.convs.0.conv.weight": torch.zeros(4, 8, 3, 3),
        "decode_head.conv_seg.weight": torch.zeros(2, 4, 1, 1),
    }
    assert UNet.recognise(tensors) is not None
    tensors["decode_head.psp_modules.0.1.conv.weight"] = torch.zeros(4, 4, 1, 1)
    assert UNet.recognise(tensors) is None


def test_mmsegmentation_agrees_with_the_reference(reference: Callable[[str], Any]) -> None:
    """The whole image takes a minute; far from the cut, a crop of it has the same logits."""
    case = reference("mmseg_unet_fcn_s5-d16_cityscapes")
    recognition = UNet.recognise(case.state_dict)
    assert recognition is not None and recognition.preprocessing is not None
    assert recognition.options == UNetOptions(up="bilinear", head="fcn")
    assert recognition.preprocessing.size == (2048, 1024)
    network = UNet(recognition.classes, recognition.options).eval()
    assert network.parameter_count() == case.manifest["n_params_without_aux"]
    missing, unexpected = network.load_state_dict(UNet.rename_keys(case.state_dict), strict=False)
    assert missing == []
    assert {key.partition(".")[0] for key in unexpected} == {"auxiliary_head"}
    with torch.inference_mode():
        logits = network(case.network_input(recognition.preprocessing, rows=304))
    assert case.distance(logits[..., :145, :145], "logits") <= 1e-3
