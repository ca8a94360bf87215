"""The encoders behind FCN, PSPNet and DeepLab, and MMSegmentation's names for all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import ARCHITECTURES
from segstudio.architectures._dilated import BACKBONES, aspp_rates, build_backbone
from segstudio.architectures._encoders import (
    MobileNetV2,
    MobileNetV3,
    efficientnet_lite,
    efficientnet_lite_of,
    feature_channels,
    resnet,
    resnet_depth,
)
from segstudio.architectures.deeplabv3 import ASPP
from segstudio.architectures.deeplabv3plus import DeepLabV3Plus, DeepLabV3PlusOptions
from segstudio.architectures.fcn import FCN, FCNOptions
from segstudio.architectures.lraspp import LRASPP, LRASPPOptions
from segstudio.architectures.pspnet import PyramidPooling
from segstudio.core.options import build_options

_FAMILIES = ("fcn", "pspnet", "deeplabv3", "deeplabv3plus", "lraspp")


def windows(encoder: nn.Module, *, depthwise: bool) -> list[tuple[int, int]]:
    """Return (stride, dilation) of each 3 x 3 or larger convolution behind the stem."""
    return [
        (module.stride[0], module.dilation[0])
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size[0] > 1
        and (module.groups > 1 if depthwise else "layer" in name)
    ]


@pytest.mark.parametrize("name", ["resnet50c", "resnet50"])
def test_a_resnet_keeps_its_size_after_the_second_stage(name: str) -> None:
    with torch.device("meta"):
        found = windows(build_backbone(name), depthwise=False)
    assert found[:7] == [(1, 1)] * 3 + [(2, 1)] + [(1, 1)] * 3
    # The first block of a dilated stage has the dilation of the stage before.
    assert found[7:] == [(1, 1)] + [(1, 2)] * 5 + [(1, 2)] + [(1, 4)] * 2


def test_mobilenet_v2_is_dilated_in_the_first_block_of_a_stage_only() -> None:
    with torch.device("meta"):
        found = windows(build_backbone("mobilenet-v2"), depthwise=True)
    strided = [(1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1)]
    dilated = [(1, 2)] + [(1, 1)] * 3 + [(1, 2)] + [(1, 1)] * 2 + [(1, 4)] + [(1, 1)] * 2 + [(1, 4)]
    assert found == strided + dilated


def test_mobilenet_v3_is_dilated_as_its_libraries_do_it() -> None:
    with torch.device("meta"):
        light = windows(MobileNetV3("torchvision"), depthwise=True)
        fine = windows(MobileNetV3("mmsegmentation"), depthwise=True)
    start = [(1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1)]
    assert light == [*start, (2, 1), *[(1, 1)] * 5, *[(1, 2)] * 3]
    assert fine == [*start, *[(1, 2)] * 6, *[(1, 4)] * 3]


@pytest.mark.parametrize("name", BACKBONES)
def test_output_strides(name: str) -> None:
    with torch.device("meta"):
        encoder = build_backbone(name).eval()
        features = encoder(torch.empty(1, 3, 64, 96))
    coarse = 8 if name.startswith(("resnet", "mobilenet-v2")) else 16
    assert features[-1].shape[-2:] == (64 // coarse, 96 // coarse)
    assert [entry.shape[1] for entry in features] == feature_channels(encoder)
    for page in ("fcn", "pspnet", "deeplabv3", "deeplabv3plus"):
        network = ARCHITECTURES.get(page)
        with torch.device("meta"):
            built = network(3, build_options(network.Options, {"backbone": name}))
        assert built.output_stride == coarse


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_depth_of_a_resnet_is_told_from_its_names(depth: int) -> None:
    with torch.device("meta"):
        names = resnet(depth, deep_stem=False).state_dict()
    assert resnet_depth(names, prefix="") == depth
    assert resnet_depth(list(names)[:40], prefix="") is None


def test_pyramid_pooling_by_hand() -> None:
    torch.manual_seed(0)
    pyramid = PyramidPooling(3, 2).eval()
    features = torch.rand(1, 3, 12, 18)
    with torch.inference_mode():
        found = pyramid(features)
        assert torch.equal(found[:, :3], features)
        level = pyramid.levels[2]
        cells = F.avg_pool2d(features, (4, 6))  # 3 x 3 cells divide this size evenly
        wanted = F.interpolate(level[1](cells), size=(12, 18), mode="bilinear")
    torch.testing.assert_close(found[:, 7:9], wanted)


def test_aspp_puts_the_view_of_the_whole_image_first() -> None:
    torch.manual_seed(0)
    aspp = ASPP(3, 2, aspp_rates("resnet50c")).eval()
    features = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        found = aspp(features)
    assert found.shape == (1, 10, 20, 20)
    assert bool((found[:, :2] == found[:, :2, :1, :1]).all())
    assert [view[0].dilation[0] for view in aspp.views] == [1, 12, 24, 36]


@pytest.mark.parametrize("backbone", ["efficientnet-lite0", "mobilenet-v2"])
def test_rates_halve_with_the_resolution_of_the_features(backbone: str) -> None:
    with torch.device("meta"):
        network = DeepLabV3Plus(4, DeepLabV3PlusOptions(backbone, width=16))
        separable = [view.depthwise[0].dilation[0] for view in list(network.aspp.views)[1:]]
    assert separable == ([6, 12, 18] if backbone == "efficientnet-lite0" else [12, 24, 36])


@pytest.mark.parametrize("size", [0, 1, 2])
def test_an_efficientnet_is_told_from_its_tensors(size: int) -> None:
    with torch.device("meta"):
        encoder = efficientnet_lite(size)
        state = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
        other = {f"encoder.{k}": v for k, v in MobileNetV2().state_dict().items()}
    assert efficientnet_lite_of(state) == size
    assert efficientnet_lite_of(other) is None


def test_the_classifier_of_fcn_sees_features_and_head() -> None:
    network = FCN(4, FCNOptions("mobilenet-v2", width=8)).eval()
    with torch.inference_mode():
        features = network.encoder(torch.rand(1, 3, 33, 47))[-1]
        joined = torch.cat([features, network.fcn_head.convs(features)], 1)
        wanted = network.classify(network.fcn_head.join(joined))
        network.fcn_head.register_forward_pre_hook(lambda module, inputs: (features,))
        torch.testing.assert_close(network(torch.rand(1, 3, 33, 47)), wanted)


def test_mmsegmentations_lraspp_pools_with_the_published_window() -> None:
    """By hand, on features larger than the window, where the average is not over everything."""
    torch.manual_seed(1)
    head = LRASPP(5, LRASPPOptions("mmseg", width=4)).lraspp.eval()
    for entry in head.parameters():
        if entry.ndim == 4:  # the initial weights let hardly anything of the coarse map through
            nn.init.normal_(entry, std=(4 / entry[0].numel()) ** 0.5)
    coarse = torch.rand(1, 960, 1, 1) * torch.linspace(0, 9, 69).expand(1, 1, 65, 69)
    features = [torch.rand(1, 16, 140, 220), torch.rand(1, 24, 70, 110), coarse]
    with torch.inference_mode():
        found = head(features)
        grid = [
            features[2][..., top : top + 49, left : left + 49].mean((2, 3))
            for top in (0, 16)
            for left in (0, 20)
        ]
        pooled = torch.stack(grid, -1).unflatten(-1, (2, 2))
        scale = F.interpolate(torch.sigmoid(head.scale(pooled)), size=(65, 69), mode="bilinear")
        x = head.mix(head.reduce(features[2]) * scale)
        for index in (1, 0):
            x = F.interpolate(x, size=features[index].shape[-2:], mode="bilinear")
            x = head.joins[index](torch.cat([x, head.branches[index](features[index])], 1))
        wanted = head.classify(x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_parts_that_a_page_does_not_know_are_no_recognition() -> None:
    with torch.device("meta"):
        tensors = dict(FCN(3, FCNOptions("mobilenet-v2", width=8)).state_dict())
    assert FCN.recognise(tensors) is not None
    tensors["decode_head.lateral_convs.0.conv.weight"] = torch.empty(1)
    assert FCN.recognise(tensors) is None


@pytest.mark.parametrize("family", _FAMILIES)
def test_every_published_file_fits(family: str, shared: Path, synthetic: Any) -> None:
    """Names and shapes of all manifests, without memory for the weights."""
    folder = shared / "reference" / "manifests"
    page = ARCHITECTURES.get(family)
    paths = [
        path for path in sorted(folder.glob("*.json")) if path.stem.split("_")[1:2] == [family]
    ]
    assert len(paths) >= 2
    for path in paths:
        manifest = synthetic.load_manifest(path)
        tensors = {
            name: torch.empty(shape, device="meta") for name, shape, _ in manifest["state_dict"]
        }
        recognition = page.recognise(tensors)
        assert recognition is not None and recognition.preprocessing is not None, path.name
        assert recognition.source == manifest["source"]
        assert recognition.classes == manifest["num_classes"]
        with torch.device("meta"):
            blank = page(recognition.classes, recognition.options)
        if "n_params_without_aux" in manifest:
            assert blank.parameter_count() == manifest["n_params_without_aux"], path.name
        ours = {
            name: value.shape
            for name, value in page.rename_keys(tensors).items()
            if not name.startswith(("auxiliary_head.", "aux_classifier."))
        }
        assert ours == {name: value.shape for name, value in blank.state_dict().items()}, path.name
        scale = manifest["test_scale"]
        wanted = (scale, scale) if isinstance(scale, int) else tuple(scale)
        assert recognition.preprocessing.size == wanted, path.name


@pytest.mark.parametrize(
    "name", ["mmseg_deeplabv3plus_m-v2-d8_ade20k", "tv_lraspp_mobilenet_v3_large"]
)
def test_it_computes_what_the_reference_computes(name: str, reference: Callable[..., Any]) -> None:
    case = reference(name)
    claims = [page.recognise(case.state_dict) for _, page in ARCHITECTURES.items()]
    (recognition,) = [claim for claim in claims if claim is not None]
    page = ARCHITECTURES.get(name.split("_")[1])
    network = page(recognition.classes, recognition.options).eval()
    network.load_state_dict(page.rename_keys(case.state_dict), strict=False)
    with torch.inference_mode():
        logits: Tensor = network(case.network_input(recognition.preprocessing))
    assert tuple(logits.shape[1:]) == tuple(case.expected["logits_shape"])
    assert case.distance(logits, "logits") < 1e-3
