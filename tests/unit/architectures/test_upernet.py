"""UPerNet against the published counts, the reference and plain sums."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.architectures._swin import PatchMerging, SwinTransformer
from segstudio.architectures.upernet import UPerNet, UPerNetOptions
from segstudio.core.options import build_options

_COUNTS = {
    # With 150 classes and without the auxiliary head.
    "r50": 64_117_750,
    "r101": 83_109_878,
    "swin-t": 59_018_064,
    "swin-s": 80_335_968,
    "swin-b": 120_061_006,
    "swin-b-w12": 120_196_366,
    "swin-l": 232_154_442,
}
_SWIN = UPerNetOptions("swin-micro", window=4, head_width=8)
_RESNET = UPerNetOptions("resnet50", head_width=8)

_HEAD_TO_MMSEG = (
    (r"^(head\..+)\.0\.(\w+)$", r"\1.conv.\2"),
    (r"^(head\..+)\.1\.(\w+)$", r"\1.bn.\2"),
    (r"^head\.pyramid\.(\d)", r"decode_head.psp_modules.\1.1"),
    (r"^head\.lateral", "decode_head.lateral_convs"),
    (r"^head\.smooth", "decode_head.fpn_convs"),
    (r"^head\.bottleneck", "decode_head.bottleneck"),
    (r"^head\.fuse", "decode_head.fpn_bottleneck"),
    (r"^head\.classify", "decode_head.conv_seg"),
)
_SWIN_TO_MMSEG = (
    (r"encoder\.embed\.proj\.", "backbone.patch_embed.projection."),
    (r"encoder\.embed\.norm\.", "backbone.patch_embed.norm."),
    (r"encoder\.stages\.", "backbone.stages."),
    (r"\.attn\.bias_table", ".attn.w_msa.relative_position_bias_table"),
    (r"\.attn\.(qkv|proj)\.", r".attn.w_msa.\1."),
    (r"\.mlp\.0\.", ".ffn.layers.0.0."),
    (r"\.mlp\.2\.", ".ffn.layers.1."),
    (r"encoder\.merges\.(\d)\.reduce", r"backbone.stages.\1.downsample.reduction"),
    (r"encoder\.merges\.(\d)\.norm", r"backbone.stages.\1.downsample.norm"),
    (r"encoder\.norms\.(\d)", r"backbone.norm\1"),
)
_RESNET_TO_MMSEG = (
    (r"encoder\.conv1\.(\d)", r"backbone.stem.\1"),
    (r"encoder\.bn1\.", "backbone.stem.7."),
    (r"encoder\.", "backbone."),
)
_SWIN_TO_HF = (
    (r"encoder\.embed\.proj\.", "backbone.embeddings.patch_embeddings.projection."),
    (r"encoder\.embed\.norm\.", "backbone.embeddings.norm."),
    (r"encoder\.stages\.", "backbone.encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.bias_table", ".attention.self.relative_position_bias_table"),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.0\.", ".intermediate.dense."),
    (r"\.mlp\.2\.", ".output.dense."),
    (r"encoder\.merges\.(\d)\.reduce", r"backbone.encoder.layers.\1.downsample.reduction"),
    (r"encoder\.merges\.(\d)\.norm", r"backbone.encoder.layers.\1.downsample.norm"),
    *(
        (rf"encoder\.norms\.{index}", f"backbone.hidden_states_norms.stage{index + 1}")
        for index in range(4)
    ),
)
_SWIN_TO_MICROSOFT = (
    (r"encoder\.embed\.", "backbone.patch_embed."),
    (r"encoder\.stages\.", "backbone.layers."),
    (r"\.attn\.bias_table", ".attn.relative_position_bias_table"),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.2\.", ".mlp.fc2."),
    (r"encoder\.merges\.(\d)\.reduce", r"backbone.layers.\1.downsample.reduction"),
    (r"encoder\.merges\.(\d)\.norm", r"backbone.layers.\1.downsample.norm"),
    (r"encoder\.norms\.(\d)", r"backbone.norm\1"),
)


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, theirs in rules:
        key = re.sub(pattern, theirs, key)
    return key


def _network(options: UPerNetOptions, seed: int = 0) -> UPerNet:
    """Return a network in which no weight, bias or running figure is 0 or 1 by initialisation."""
    torch.manual_seed(seed)
    network = UPerNet(5, options).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point() and (value.ndim == 1 or name.endswith("bias_table")):
                value.add_(0.3 * torch.randn_like(value))
    return network


def _in_mmsegmentation(network: UPerNet) -> dict[str, Tensor]:
    """Write a network as MMSegmentation does, its constants and auxiliary head included."""
    swin = isinstance(network.encoder, SwinTransformer)
    found: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        name = _renamed(key, (_SWIN_TO_MMSEG if swin else _RESNET_TO_MMSEG) + _HEAD_TO_MMSEG)
        if key.startswith("encoder.merges."):
            # Ours: (neighbour, channel), neighbours column by column; theirs: channel-major.
            value = value.unflatten(-1, (2, 2, -1)).movedim(-1, -3).transpose(-1, -2).flatten(-3)
        found[name] = value
        if name.endswith("relative_position_bias_table"):
            found[name.replace("bias_table", "index")] = torch.zeros(16, 16, dtype=torch.int64)
    found["auxiliary_head.convs.0.conv.weight"] = torch.zeros(2, 2, 3, 3)
    return found


def _in_microsoft(network: UPerNet) -> dict[str, Tensor]:
    """Write a Swin network as its authors do (microsoft/Swin-Transformer, on mmseg 0.x)."""
    found: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        name = _renamed(key, _SWIN_TO_MICROSOFT + _HEAD_TO_MMSEG)
        found[name] = value
        if name.endswith("relative_position_bias_table"):
            found[name.replace("bias_table", "index")] = torch.zeros(16, 16, dtype=torch.int64)
    found["auxiliary_head.convs.0.conv.weight"] = torch.zeros(2, 2, 3, 3)
    return found


def _in_huggingface(network: UPerNet) -> dict[str, Tensor]:
    """Write a Swin network as Hugging Face transformers do."""
    found: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        packed = re.fullmatch(r"encoder\.stages\.(\d\.blocks\.\d)\.attn\.qkv\.(\w+)", key)
        if packed:
            place = f"backbone.encoder.layers.{packed[1]}.attention.self"
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"{place}.{name}.{packed[2]}"] = part
            found[f"{place}.relative_position_index"] = torch.zeros(16, 16, dtype=torch.int64)
            continue
        name = _renamed(key, _SWIN_TO_HF + _HEAD_TO_MMSEG)
        if name.startswith("decode_head."):
            name = name.replace(".bn.", ".batch_norm.").replace("conv_seg", "classifier")
        found[name] = value
    found["auxiliary_head.classifier.weight"] = torch.zeros(5, 2, 1, 1)
    return found


@pytest.mark.parametrize("variant", _COUNTS)
def test_parameter_counts_are_the_published_ones(variant: str) -> None:
    options = build_options(UPerNetOptions, UPerNet.variants[variant])
    with torch.device("meta"):
        network = UPerNet(150, options)
    assert network.parameter_count() == _COUNTS[variant]
    recognition = UPerNet.recognise(network.state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.classes) == ("segstudio", 150)
    assert recognition.options == options


def test_every_published_file_fits(shared: Path, synthetic: Any) -> None:
    """Names and shapes of all manifests, without memory for the weights."""
    paths = sorted((shared / "reference" / "manifests").glob("*upernet*.json"))
    assert len(paths) > 10
    for path in paths:
        manifest = synthetic.load_manifest(path)
        tensors = {
            name: torch.empty(shape, device="meta") for name, shape, _ in manifest["state_dict"]
        }
        recognition = UPerNet.recognise(tensors)
        assert recognition is not None and recognition.preprocessing is not None, path.name
        assert recognition.source == manifest["source"]
        assert recognition.classes == manifest["num_classes"]
        if "model_cfg" in manifest:
            backbone = manifest["model_cfg"]["backbone"]
            window = backbone.get("window_size", UPerNetOptions().window)
        else:
            window = manifest["hf_config"]["backbone_config"]["window_size"]
        assert recognition.options.window == window, path.name
        with torch.device("meta"):
            blank = UPerNet(recognition.classes, recognition.options)
        ours = UPerNet.rename_keys(tensors)
        unused = {name for name in ours if name.startswith("auxiliary_head.")}
        assert unused, path.name
        assert {name: value.shape for name, value in ours.items() if name not in unused} == {
            name: value.shape for name, value in blank.state_dict().items()
        }, path.name
        preprocessing = recognition.preprocessing
        assert list(preprocessing.size or ()) == manifest["test_scale"], path.name
        assert (preprocessing.resize == "keep-ratio") == manifest["keep_ratio"], path.name
        scale = 255 if manifest["source"] == "huggingface" else 1
        assert preprocessing.mean == pytest.approx([scale * part for part in manifest["mean"]])
        assert preprocessing.std == pytest.approx([scale * part for part in manifest["std"]])
        assert preprocessing.window is None and manifest["inference"]["mode"] == "whole"


def _filled(case: Any) -> tuple[UPerNet, Tensor]:
    """Return the network of a reference case and its input."""
    recognition = UPerNet.recognise(case.state_dict)
    assert recognition is not None and recognition.preprocessing is not None
    # Both libraries bring the logits to the input's size before they bring them to the image's.
    assert recognition.preprocessing.upsample_to_input
    network = UPerNet(recognition.classes, recognition.options).eval()
    ours = UPerNet.rename_keys(case.state_dict)
    network.load_state_dict({name: ours[name] for name in network.state_dict()})
    return network, case.network_input(recognition.preprocessing)


def test_agrees_with_mmsegmentation(reference: Callable[[str], Any]) -> None:
    case = reference("mmseg_upernet_swin-t_in1k_ade20k")
    network, image = _filled(case)
    # The last convolution takes two thirds of the time; only every n-th row and column is known.
    step = int(case.expected["logits_stride"])
    network.head.fuse[0].stride = (step, step)
    wanted = torch.as_tensor(case.expected["logits"])
    with torch.inference_mode():
        found = network(image)[0]
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max() / wanted.std()) <= 1e-3


def test_agrees_with_huggingface(reference: Callable[[str], Any]) -> None:
    case = reference("hf_upernet-swin-tiny")
    network, image = _filled(case)
    labels = case.expected["labels"]
    with torch.inference_mode():
        logits = network.logits(image)  # theirs are at the input's size, too
        final = F.interpolate(logits, size=labels.shape, mode="bilinear", align_corners=False)
    assert list(logits.shape[1:]) == case.expected["logits_shape"].tolist()
    assert case.distance(logits, "logits") <= 1e-3
    assert case.distance(final, "final") <= 1e-3
    assert (final[0].argmax(0).numpy() == labels).mean() >= 0.999


@pytest.mark.parametrize(
    ("options", "write", "source"),
    [
        (_SWIN, _in_mmsegmentation, "mmsegmentation"),
        (_SWIN, _in_huggingface, "huggingface"),
        (_SWIN, _in_microsoft, "microsoft"),
        (_RESNET, _in_mmsegmentation, "mmsegmentation"),
    ],
)
def test_foreign_layouts_come_back(
    options: UPerNetOptions, write: Callable[[UPerNet], dict[str, Tensor]], source: str
) -> None:
    network = _network(options)
    theirs = write(network)
    assert not any(key.startswith(("encoder.", "head.")) for key in theirs)
    recognition = UPerNet.recognise(theirs)
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (source, options, 5)
    ours = UPerNet.rename_keys(theirs)
    assert [key for key in ours if key not in network.state_dict()] == [
        key for key in theirs if key.startswith("auxiliary_head.")
    ]
    again = _network(options, seed=1)
    again.load_state_dict({key: ours[key] for key in network.state_dict()})
    image = torch.rand(1, 3, 45, 70)
    with torch.inference_mode():
        assert torch.equal(again(image), network(image))


def test_merging_agrees_with_unfolding() -> None:
    """MMSegmentation's merging: nn.Unfold, norm, reduction, on its order of channels."""
    network = _network(_SWIN)
    theirs = _in_mmsegmentation(network)
    weights = {
        leaf: theirs[f"backbone.stages.1.downsample.{leaf}"]
        for leaf in ("norm.weight", "norm.bias", "reduction.weight")
    }
    ours = network.encoder.merges[1]
    assert isinstance(ours, PatchMerging)
    grid = torch.randn(2, 5, 7, 64)
    padded = F.pad(grid.permute(0, 3, 1, 2), (0, 1, 0, 1))
    unfolded = F.unfold(padded, 2, stride=2).transpose(1, 2)
    normed = F.layer_norm(unfolded, (256,), weights["norm.weight"], weights["norm.bias"])
    wanted = F.linear(normed, weights["reduction.weight"]).unflatten(1, (3, 4))
    with torch.inference_mode():
        torch.testing.assert_close(ours(grid), wanted, rtol=1e-5, atol=1e-5)


def test_other_networks_are_not_claimed() -> None:
    theirs = _in_mmsegmentation(_network(_RESNET))
    assert UPerNet.recognise(theirs) is not None
    for part in ("backbone.stem.", "decode_head.psp_modules.", "decode_head.lateral_convs."):
        rest = {key: value for key, value in theirs.items() if not key.startswith(part)}
        assert UPerNet.recognise(rest) is None, part
        assert UPerNet.rename_keys(rest) == rest
    shallow = {key: value for key, value in theirs.items() if ".layer3.5." not in key}
    assert UPerNet.recognise(shallow) is None
    swin = _network(_SWIN).state_dict()
    del swin["encoder.stages.2.blocks.1.norm1.weight"]
    assert UPerNet.recognise(swin) is None


def test_the_resnet_is_not_dilated() -> None:
    network = UPerNet(3, _RESNET).eval()
    convs = [module for module in network.encoder.modules() if isinstance(module, torch.nn.Conv2d)]
    assert {conv.dilation for conv in convs} == {(1, 1)}
    with torch.inference_mode():
        maps = network.encoder(torch.rand(1, 3, 70, 97))
        logits = network(torch.rand(1, 3, 70, 97))
    assert [tuple(entry.shape[1:]) for entry in maps] == [
        (256, 18, 25),
        (512, 9, 13),
        (1024, 5, 7),
        (2048, 3, 4),
    ]
    assert logits.shape == (1, 3, 18, 25)


class _Plain:
    """UPerNet on ResNetV1c computed from MMSegmentation's tensors alone, step by step."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            self.tensors[f"{name}.{leaf}"][:, None, None]
            for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def unit(self, x: Tensor, name: str) -> Tensor:
        return self.norm(self.conv(x, f"{name}.conv"), f"{name}.bn").relu()

    def bottleneck(self, x: Tensor, name: str, stride: int) -> Tensor:
        out = self.norm(self.conv(x, f"{name}.conv1"), f"{name}.bn1").relu()
        out = self.norm(self.conv(out, f"{name}.conv2", stride), f"{name}.bn2").relu()
        out = self.norm(self.conv(out, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self.tensors:
            x = self.conv(x, f"{name}.downsample.0", stride)
            x = self.norm(x, f"{name}.downsample.1")
        return (out + x).relu()

    def backbone(self, x: Tensor) -> list[Tensor]:
        for conv, norm, stride in ((0, 1, 2), (3, 4, 1), (6, 7, 1)):
            x = self.conv(x, f"backbone.stem.{conv}", stride)
            x = self.norm(x, f"backbone.stem.{norm}").relu()
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage, blocks in enumerate((3, 4, 6, 3), start=1):
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = self.bottleneck(x, f"backbone.layer{stage}.{block}", stride)
            maps.append(x)
        return maps

    def head(self, maps: list[Tensor]) -> Tensor:
        pooled = [maps[3]]
        for index, scale in enumerate((1, 2, 3, 6)):
            entry = self.unit(_mean_cells(maps[3], scale), f"decode_head.psp_modules.{index}.1")
            pooled.append(_bilinear(entry, maps[3]))
        laterals = [
            self.unit(maps[index], f"decode_head.lateral_convs.{index}") for index in range(3)
        ]
        laterals.append(self.unit(torch.cat(pooled, 1), "decode_head.bottleneck"))
        for index in (2, 1, 0):
            laterals[index] = laterals[index] + _bilinear(laterals[index + 1], laterals[index])
        outs = [
            self.unit(laterals[index], f"decode_head.fpn_convs.{index}") for index in range(3)
        ] + laterals[3:]
        fused = torch.cat([_bilinear(entry, outs[0]) for entry in outs], 1)
        return self.conv(self.unit(fused, "decode_head.fpn_bottleneck"), "decode_head.conv_seg")


def _mean_cells(x: Tensor, cells: int) -> Tensor:
    """Average over ``cells`` x ``cells`` overlapping parts, each rounded outwards."""
    height, width = x.shape[-2:]
    out = x.new_empty((*x.shape[:2], cells, cells))
    for row in range(cells):
        top, bottom = row * height // cells, -(-(row + 1) * height // cells)
        for column in range(cells):
            left, right = column * width // cells, -(-(column + 1) * width // cells)
            out[..., row, column] = x[..., top:bottom, left:right].mean((2, 3))
    return out


def _bilinear(x: Tensor, like: Tensor) -> Tensor:
    """Interpolate between pixel centres, one axis after the other."""
    for axis in (2, 3):
        size, wanted = x.shape[axis], like.shape[axis]
        at = ((torch.arange(wanted) + 0.5) * size / wanted - 0.5).clamp(min=0)
        low = at.floor().long()
        high = (low + 1).clamp(max=size - 1)
        part = (at - low).reshape([-1 if axis == entry else 1 for entry in range(4)])
        x = x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
    return x


def test_resnet_and_head_agree_with_plain_sums() -> None:
    network = _network(_RESNET)
    plain = _Plain(_in_mmsegmentation(network))
    image = torch.randn(1, 3, 70, 230)
    with torch.inference_mode():
        maps = plain.backbone(image)
        for found, wanted in zip(network.encoder(image), maps, strict=True):
            assert float((found - wanted).abs().max() / wanted.std()) < 1e-4
        wanted = plain.head(maps)
        assert float((network(image) - wanted).abs().max() / wanted.std()) < 1e-4


def test_the_head_agrees_with_plain_sums_on_swin() -> None:
    network = _network(_SWIN)
    plain = _Plain(_in_mmsegmentation(network))
    with torch.inference_mode():
        maps = network.encoder(torch.randn(2, 3, 61, 83))
        wanted = plain.head(maps)
        assert float((network.head(maps) - wanted).abs().max() / wanted.std()) < 1e-4
