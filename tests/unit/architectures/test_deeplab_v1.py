"""DeepLab v1 against the figures and the geometry of its paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segstudio.architectures.deeplab_v1 import DeepLabV1, DeepLabV1Options

_VGG16 = 14_714_688
"""Parameters of VGG16's thirteen convolutions."""


@pytest.mark.parametrize(
    ("view", "window", "hidden"), [("large-fov", 3, 1024), ("4x4", 4, 4096), ("7x7", 7, 4096)]
)
def test_parameter_counts_are_the_papers(view: str, window: int, hidden: int) -> None:
    former = 512 * window**2 * hidden + hidden + hidden**2 + hidden + 21 * (hidden + 1)
    with torch.device("meta"):
        assert DeepLabV1(21, DeepLabV1Options(view)).parameter_count() == _VGG16 + former


@pytest.mark.parametrize(("size", "out"), [(1, 1), (9, 2), (16, 2), (321, 41), (513, 65)])
def test_output_stride_is_8(size: int, out: int) -> None:
    with torch.device("meta"):
        network = DeepLabV1(21).eval()
        assert network(torch.zeros(1, 3, size, 65)).shape == (1, 21, out, 9)


def test_layers_behind_the_kept_resolution_are_dilated() -> None:
    network = DeepLabV1(3, DeepLabV1Options(width=2))
    dilations = [
        [layer.dilation[0] for layer in stage if isinstance(layer, nn.Conv2d)]
        for stage in network.stages
    ]
    assert dilations == [[1, 1], [1, 1], [1, 1, 1], [1, 1, 1], [2, 2, 2]]
    assert network.view.dilation == (12, 12)


@pytest.mark.parametrize(
    ("view", "seen"),
    [("large-fov", [-12, 0, 12]), ("4x4", [-12, -4, 4, 12]), ("7x7", list(range(-12, 13, 4)))],
)
def test_every_view_is_as_wide(view: str, seen: list[int]) -> None:
    """Which features a logit looks at, by its gradient."""
    torch.manual_seed(0)
    network = DeepLabV1(3, DeepLabV1Options(view, width=1)).eval()
    features = torch.zeros(1, 8, 41, 41, requires_grad=True)
    network.view(features)[0, :, 20, 20].sum().backward()
    assert features.grad is not None
    rows, columns = features.grad[0].abs().sum(0).nonzero().unbind(1)
    assert sorted(set((rows - 20).tolist())) == seen
    assert sorted(set((columns - 20).tolist())) == seen


def test_cell_i_lies_on_pixel_8_i() -> None:
    """With convolutions that copy, the stages are poolings, which must not move anything."""
    network = DeepLabV1(2, DeepLabV1Options(width=1)).eval()
    for layer in network.stages.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            layer.weight.data[:, 0, 1, 1] = 1
    image = torch.zeros(1, 3, 129, 129)
    image[..., 8 * 6, 8 * 9] = 1
    with torch.inference_mode():
        rows, columns = network.stages(image)[0, 0].nonzero().unbind(1)
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (2 * 6, 2 * 9)


@pytest.mark.parametrize("options", [DeepLabV1Options("7x7", width=1), DeepLabV1Options(width=3)])
def test_own_variants_are_recognised(options: DeepLabV1Options) -> None:
    recognition = DeepLabV1.recognise(DeepLabV1(7, options).state_dict())
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (options, 7)
