"""FCN on VGG16: alignment of every path, bilinear weights, skips, ImageNet's names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segstudio.architectures._vgg import encode_with_indices, vgg16_from_torchvision
from segstudio.architectures.fcn_vgg import (
    FCNVGG,
    BilinearUpsampling,
    FCNVGGOptions,
    Skip,
    bilinear_kernel,
)
from segstudio.architectures.segnet import SegNet, SegNetOptions

TINY = {"width": 4, "fc_width": 8}


def test_parameter_counts() -> None:
    vgg16 = 14_714_688
    fc6, fc7 = 512 * 7 * 7 * 4096 + 4096, 4096 * 4096 + 4096
    coarse = vgg16 + fc6 + fc7 + 4096 * 21 + 21
    pool4 = 512 * 21 + 21 + 4 * 4 * 21 * 21
    pool3 = 256 * 21 + 21 + 4 * 4 * 21 * 21
    wanted = {"32s": coarse, "16s": coarse + pool4, "8s": coarse + pool4 + pool3}
    with torch.device("meta"):
        found = {
            variant: FCNVGG(21, FCNVGGOptions(variant)).parameter_count() for variant in wanted
        }
    assert found == wanted


def test_bilinear_kernel() -> None:
    triangle = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert torch.equal(bilinear_kernel(2), triangle[:, None] * triangle)
    for factor in (8, 16, 32):
        kernel = bilinear_kernel(factor)
        assert torch.equal(kernel, kernel.T) and torch.equal(kernel, kernel.flip(0))
        # Four input cells meet in each output cell; their weights are a partition of 1.
        cells = kernel.unflatten(0, (2, factor)).unflatten(2, (2, factor)).sum((0, 2))
        torch.testing.assert_close(cells, torch.ones(factor, factor))


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_transposed_convolutions_interpolate(factor: int) -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 5, 4)
    wanted = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    if factor == 2:
        found = Skip(1, 3, offset=0, scale=None).up(scores)
    else:
        found = BilinearUpsampling(factor)(scores)
    half = factor // 2
    assert found.shape == (2, 3, factor * 6, factor * 5)
    # Half a cell at the border is where there is no neighbour to interpolate with.
    inside = (..., slice(half, -half), slice(half, -half))
    torch.testing.assert_close(found[..., half:-half, half:-half][inside], wanted[inside])


def _pass_through(network: FCNVGG, source: str) -> None:
    """Let the image's first channel come out as class 0, through one of the score layers only."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                rows, columns = module.weight.shape[-2:]
                if module.in_channels > 0 and rows in (3, 7):
                    module.weight[0, 0, rows // 2, columns // 2] = 1
        network.fc7.conv.weight[0, 0] = 1
        score = network.score if source == "score" else network.skips[source].score
        score.weight[0, 0] = 1


@pytest.mark.parametrize(
    ("variant", "source"),
    [
        ("32s", "score"),
        ("16s", "score"),
        ("16s", "pool4"),
        ("8s", "score"),
        ("8s", "pool4"),
        ("8s", "pool3"),
    ],
)
def test_every_path_is_aligned_with_the_image(variant: str, source: str) -> None:
    network = FCNVGG(2, FCNVGGOptions(variant, width=1, fc_width=1)).eval()
    _pass_through(network, source)
    ramp = torch.arange(197.0)
    for shape in ((1, 197), (197, 1)):
        rising = torch.zeros(1, 3, 197, 197)
        rising[:, 0] = ramp.view(shape)
        falling = torch.zeros(1, 3, 197, 197)
        falling[:, 0] = 197 - ramp.view(shape)
        with torch.inference_mode():
            # A maximum of a rising ramp is as far to the right as one of a falling is to the left.
            place = (network(rising)[0, 0] - network(falling)[0, 0] + 197) / 2
        inside = slice(64, 130)
        wanted = ramp.view(shape).expand(197, 197)
        torch.testing.assert_close(place[inside, inside], wanted[inside, inside])


@pytest.mark.parametrize("variant", ["32s", "16s", "8s"])
def test_skips_cover_the_scores_at_any_size(variant: str) -> None:
    network = FCNVGG(2, FCNVGGOptions(variant, width=1, fc_width=1)).eval()
    seen: list[tuple[int, ...]] = []
    for name, skip in network.skips.items():
        skip.score.register_forward_hook(
            lambda _module, _inputs, output, first=skip.offset: seen.append(
                tuple(size - first for size in output.shape[-2:])
            )
        )
        skip.up.register_forward_hook(
            lambda _module, _inputs, output: seen.append(tuple(output.shape[-2:]))
        )
        assert name in ("pool4", "pool3")
    with torch.inference_mode():
        for size in range(1, 70):
            seen.clear()
            assert network(torch.rand(1, 3, size, 71 - size)).shape == (1, 2, size, 71 - size)
            assert len(seen) == 2 * len(network.skips)
            for coarse, fine in zip(seen[::2], seen[1::2], strict=True):
                assert fine[0] >= coarse[0] and fine[1] >= coarse[1], size


def test_a_new_skip_changes_nothing_and_a_trained_one_does() -> None:
    torch.manual_seed(0)
    coarse, fine = torch.randn(1, 3, 4, 4), torch.randn(1, 6, 20, 20)
    skip = Skip(6, 3, offset=5, scale=None)
    assert torch.equal(skip(coarse, fine), skip.up(coarse))
    nn.init.ones_(skip.score.weight)
    torch.testing.assert_close(
        skip(coarse, fine)[:, 1], skip.up(coarse)[:, 1] + fine.sum(1)[:, 5:15, 5:15]
    )


def test_at_once_scales_the_skips_down() -> None:
    torch.manual_seed(0)
    plain = FCNVGG(3, FCNVGGOptions("8s", **TINY)).eval()
    for skip in plain.skips.values():
        nn.init.normal_(skip.score.weight)
    at_once = FCNVGG(3, FCNVGGOptions("8s-at-once", **TINY)).eval()
    missing, _ = at_once.load_state_dict(plain.state_dict(), strict=False)
    assert missing == ["skips.pool4.scale", "skips.pool3.scale"]
    image = torch.rand(1, 3, 40, 50)
    with torch.inference_mode():
        wanted = plain(image)
        assert not torch.allclose(at_once(image), wanted, atol=1e-2)
        at_once.skips["pool4"].score.weight *= 100
        at_once.skips["pool3"].score.weight *= 10_000
        torch.testing.assert_close(at_once(image), wanted, rtol=1e-4, atol=1e-4)


def test_the_end_is_fixed() -> None:
    network = FCNVGG(3, FCNVGGOptions(**TINY))
    assert [name for name, _ in network.named_parameters() if name.startswith("upsample")] == []
    assert network.state_dict()["upsample.weight"].shape == (1, 1, 16, 16)


@pytest.mark.parametrize("variant", ["32s", "16s", "8s", "8s-at-once"])
def test_variants_are_recognised(variant: str) -> None:
    options = FCNVGGOptions(variant, width=2, fc_width=3)
    recognition = FCNVGG.recognise(FCNVGG(5, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        5,
    )


class TinyVGG16(nn.Module):
    """torchvision's VGG16 with few channels."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        from torchvision.models.vgg import make_layers

        widths = [(4, 2), (8, 2), (16, 3), (32, 3), (32, 3)]
        layers: list[str | int] = []
        for width, depth in widths:
            layers += [width] * depth + ["M"]
        self.features = make_layers(layers, batch_norm)
        self.classifier = nn.Sequential(
            nn.Linear(32 * 7 * 7, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8), nn.ReLU()
        )


def test_vgg16_of_torchvision_can_be_the_encoder() -> None:
    torch.manual_seed(0)
    vgg = TinyVGG16(batch_norm=False).eval()
    network = FCNVGG(3, FCNVGGOptions(**TINY)).eval()
    missing, unexpected = network.load_state_dict(
        vgg16_from_torchvision(vgg.state_dict()), strict=False
    )
    assert unexpected == []
    assert {name.split(".")[0] for name in missing} == {"score", "skips", "upsample"}
    image = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        features, _ = encode_with_indices(network.encoder, image)
        wanted = vgg.features(image)
        torch.testing.assert_close(features, wanted)
        cell = network.fc7(network.fc6(features))
        torch.testing.assert_close(cell.flatten(1), vgg.classifier(wanted.flatten(1)))


def test_vgg16_with_batch_norm_of_torchvision_can_be_the_encoder() -> None:
    torch.manual_seed(0)
    vgg = TinyVGG16(batch_norm=True)
    vgg.features(torch.rand(4, 3, 32, 32))  # Running statistics that are not the initial ones.
    vgg.eval()
    network = SegNet(3, SegNetOptions(width=4)).eval()
    renamed = vgg16_from_torchvision(vgg.state_dict())
    missing, unexpected = network.load_state_dict(renamed, strict=False)
    assert {name.split(".")[0] for name in missing} == {"decoder", "classify"}
    assert {name.split(".")[0] for name in unexpected} == {"fc6", "fc7"}
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(
            encode_with_indices(network.encoder, image)[0], vgg.features(image)
        )


def test_other_depths_of_vgg_are_refused() -> None:
    tensors = TinyVGG16(batch_norm=False).state_dict()
    del tensors["features.28.weight"], tensors["features.28.bias"]
    with pytest.raises(ValueError):
        vgg16_from_torchvision(tensors)
