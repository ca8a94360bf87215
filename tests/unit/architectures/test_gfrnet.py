"""G-FRNet: gates that need two levels to agree, and a label map at every stage."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from segstudio.architectures.gfrnet import GateUnit, GFRNet, GFRNetOptions, RefinementUnit

_SMALL = GFRNetOptions(width=4)


def test_parameter_count() -> None:
    """By hand: VGG16's weights with norms for biases, two convolutions, gates, label maps."""
    classes = 11
    widths = (64, 128, 256, 512, 512)
    vgg16 = 14_714_688 + 4224  # every bias became a scale and a shift
    top = 9 * (512 * 1024 + 1024 * 1024) + 4 * 1024 + 9 * 1024 * classes + classes
    gates = sum(
        9 * width * (width + deep) + 4 * width
        for width, deep in zip(widths, (*widths[1:], 512), strict=True)
    )
    units = sum(9 * (width + 2 * classes) * classes + 2 * classes for width in widths)
    with torch.device("meta"):
        assert GFRNet(classes).parameter_count() == vgg16 + top + gates + units


def test_every_stage_gives_logits() -> None:
    network = GFRNet(3, _SMALL).eval()
    image = torch.rand(1, 3, 97, 131)
    with torch.inference_mode():
        sides = network.side_logits(image)
        assert torch.equal(network(image), sides[-1])
    assert [tuple(side.shape) for side in sides] == [
        (1, 3, 4, 5),
        (1, 3, 7, 9),
        (1, 3, 13, 17),
        (1, 3, 25, 33),
        (1, 3, 49, 66),
        (1, 3, 97, 131),
    ]


def test_gate_multiplies_two_levels() -> None:
    torch.manual_seed(0)
    gate = GateUnit(4, 6).eval()
    features, deeper = torch.randn(1, 4, 9, 12), torch.randn(1, 6, 5, 6)
    with torch.inference_mode():
        passed = F.interpolate(gate.deep(deeper), size=(9, 12), mode="bilinear", align_corners=True)
        torch.testing.assert_close(gate(features, deeper), gate.fine(features) * passed)
        assert bool((gate(features, deeper) != 0).any())
        # A deeper level that does not respond lets nothing through.
        nn.init.zeros_(gate.deep[0].weight)
        assert not gate(features, deeper).any()


def test_refinement_sees_gated_features_and_the_coarser_labels() -> None:
    torch.manual_seed(0)
    unit = RefinementUnit(4, 3)
    gated, labels = torch.rand(1, 4, 9, 12), torch.rand(1, 3, 5, 6)
    upsampled = F.interpolate(labels, size=(9, 12), mode="bilinear", align_corners=True)
    weight = unit.merge.weight
    wanted = F.conv2d(unit.reduce(gated), weight[:, :3], unit.merge.bias, padding=1)
    wanted += F.conv2d(upsampled, weight[:, 3:], padding=1)
    torch.testing.assert_close(unit(gated, labels), wanted)


def test_each_level_is_gated_by_the_next_deeper_one() -> None:
    network = GFRNet(2, _SMALL).eval()
    seen: list[tuple[tuple[int, ...], ...]] = []
    for gate in network.gates:
        gate.register_forward_hook(
            lambda _module, inputs, _output: seen.append(
                tuple(tuple(entry.shape[1:]) for entry in inputs)
            )
        )
    network(torch.rand(1, 3, 64, 64))
    assert seen == [
        ((32, 4, 4), (32, 2, 2)),
        ((32, 8, 8), (32, 4, 4)),
        ((16, 16, 16), (32, 8, 8)),
        ((8, 32, 32), (16, 16, 16)),
        ((4, 64, 64), (8, 32, 32)),
    ]


def test_coarsest_label_map_learns_from_the_finest() -> None:
    torch.manual_seed(0)
    network = GFRNet(3, _SMALL).train()
    target = torch.randint(0, 3, (2, 64, 64))
    F.cross_entropy(network(torch.rand(2, 3, 64, 64)), target).backward()
    assert network.coarse.weight.grad is not None
    assert bool((network.coarse.weight.grad != 0).any())


def test_width_is_recognised() -> None:
    recognition = GFRNet.recognise(GFRNet(7, _SMALL).state_dict())
    assert recognition is not None
    assert (recognition.options, recognition.classes) == (_SMALL, 7)
