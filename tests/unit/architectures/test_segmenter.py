"""Segmenter against the published layouts and the two reference implementations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures.segmenter import MaskTransformer, Segmenter, SegmenterOptions
from segstudio.architectures.setr import SETR
from segstudio.core.preprocessing import Preprocessing

_WIDTH = 192
_CLASSES = 3
Shapes = dict[str, tuple[int, ...]]


def _tensors(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _norm(name: str, width: int = _WIDTH) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name: str, width: int, channels: int) -> Shapes:
    return {f"{name}.weight": (width, channels), f"{name}.bias": (width,)}


def _mmseg_block(name: str) -> Shapes:
    return {
        **_norm(f"{name}.ln1"),
        f"{name}.attn.attn.in_proj_weight": (3 * _WIDTH, _WIDTH),
        f"{name}.attn.attn.in_proj_bias": (3 * _WIDTH,),
        **_linear(f"{name}.attn.attn.out_proj", _WIDTH, _WIDTH),
        **_norm(f"{name}.ln2"),
        **_linear(f"{name}.ffn.layers.0.0", 4 * _WIDTH, _WIDTH),
        **_linear(f"{name}.ffn.layers.1", _WIDTH, 4 * _WIDTH),
    }


def _mmseg(head: str) -> Shapes:
    """Return a small Segmenter as MMSegmentation names it, trained on crops of 64 pixels."""
    shapes: Shapes = {
        "backbone.cls_token": (1, 1, _WIDTH),
        "backbone.pos_embed": (1, 17, _WIDTH),
        "backbone.patch_embed.projection.weight": (_WIDTH, 3, 16, 16),
        "backbone.patch_embed.projection.bias": (_WIDTH,),
        **_mmseg_block("backbone.layers.0"),
        **_norm("backbone.ln1"),
    }
    if head == "linear":
        shapes["decode_head.conv_seg.weight"] = (_CLASSES, _WIDTH, 1, 1)
        shapes["decode_head.conv_seg.bias"] = (_CLASSES,)
        return shapes
    return shapes | {
        "decode_head.cls_emb": (1, _CLASSES, _WIDTH),
        **_mmseg_block("decode_head.layers.0"),
        **_mmseg_block("decode_head.layers.1"),
        **_linear("decode_head.dec_proj", _WIDTH, _WIDTH),
        "decode_head.patch_proj.weight": (_WIDTH, _WIDTH),
        "decode_head.classes_proj.weight": (_WIDTH, _WIDTH),
        **_norm("decode_head.decoder_norm"),
        **_norm("decode_head.mask_norm", _CLASSES),
    }


def _timm_block(name: str) -> Shapes:
    return {
        **_norm(f"{name}.norm1"),
        **_norm(f"{name}.norm2"),
        **_linear(f"{name}.attn.qkv", 3 * _WIDTH, _WIDTH),
        **_linear(f"{name}.attn.proj", _WIDTH, _WIDTH),
        **_linear(f"{name}.mlp.fc1", 4 * _WIDTH, _WIDTH),
        **_linear(f"{name}.mlp.fc2", _WIDTH, 4 * _WIDTH),
    }


def _rstrudel(head: str, *, distilled: bool, patch: int, positions: int) -> Shapes:
    """Return a small Segmenter as its authors' code names it."""
    shapes: Shapes = {
        "encoder.cls_token": (1, 1, _WIDTH),
        "encoder.pos_embed": (1, positions, _WIDTH),
        "encoder.patch_embed.proj.weight": (_WIDTH, 3, patch, patch),
        "encoder.patch_embed.proj.bias": (_WIDTH,),
        **_timm_block("encoder.blocks.0"),
        **_norm("encoder.norm"),
        **_linear("encoder.head", 1000, _WIDTH),
    }
    if distilled:
        shapes["encoder.dist_token"] = (1, 1, _WIDTH)
        shapes |= _linear("encoder.head_dist", 1000, _WIDTH)
    if head == "linear":
        return shapes | _linear("decoder.head", _CLASSES, _WIDTH)
    return shapes | {
        "decoder.cls_emb": (1, _CLASSES, _WIDTH),
        "decoder.proj_patch": (_WIDTH, _WIDTH),
        "decoder.proj_classes": (_WIDTH, _WIDTH),
        **_timm_block("decoder.blocks.0"),
        **_timm_block("decoder.blocks.1"),
        **_linear("decoder.proj_dec", _WIDTH, _WIDTH),
        **_norm("decoder.decoder_norm"),
        **_norm("decoder.mask_norm", _CLASSES),
    }


_LAYOUTS: dict[str, tuple[Shapes, str, dict[str, Any]]] = {
    "mmseg mask": (_mmseg("mask"), "mmsegmentation", {"crop": 64, "code": "mmseg"}),
    "mmseg linear": (
        _mmseg("linear"),
        "mmsegmentation",
        {"head": "linear", "crop": 64, "code": "mmseg"},
    ),
    "authors' mask": (
        _rstrudel("mask", distilled=False, patch=32, positions=1 + 4),
        "segmenter",
        {"patch": 32, "crop": 64},
    ),
    "authors' linear, DeiT": (
        _rstrudel("linear", distilled=True, patch=8, positions=2 + 144),
        "segmenter",
        {"patch": 8, "crop": 96, "head": "linear", "distilled": True},
    ),
}


@pytest.mark.parametrize("name", _LAYOUTS)
def test_foreign_layouts_fill_the_network(name: str) -> None:
    shapes, source, variant = _LAYOUTS[name]
    tensors = _tensors(shapes)
    recognition = Segmenter.recognise(tensors)
    assert recognition is not None
    assert recognition.options == SegmenterOptions(variant="tiny", layers=1, **variant)
    assert (recognition.source, recognition.classes) == (source, _CLASSES)
    assert SETR.recognise(tensors) is None
    with torch.device("meta"):
        wanted = Segmenter(_CLASSES, recognition.options).state_dict()
    ours = Segmenter.rename_keys(tensors)
    pretraining = {key for key in ours if key.startswith("auxiliary_head.")}
    assert len(pretraining) == sum(key.startswith("encoder.head") for key in shapes)
    assert {key: value.shape for key, value in ours.items() if key not in pretraining} == {
        key: value.shape for key, value in wanted.items()
    }


def test_every_published_file_fits(shared: Path, synthetic: Any) -> None:
    folder = shared / "reference" / "manifests"
    paths = sorted([*folder.glob("mmseg_segmenter_*.json"), *folder.glob("segm_*.json")])
    assert len(paths) >= 14
    for path in paths:
        manifest = synthetic.load_manifest(path)
        tensors = _tensors({name: tuple(shape) for name, shape, _ in manifest["state_dict"]})
        recognition = Segmenter.recognise(tensors)
        assert recognition is not None and recognition.preprocessing is not None, path.name
        assert recognition.classes == manifest["num_classes"]
        with torch.device("meta"):
            wanted = Segmenter(recognition.classes, recognition.options).state_dict()
        ours = Segmenter.rename_keys(tensors)
        assert {
            name: value.shape
            for name, value in ours.items()
            if not name.startswith("auxiliary_head.")
        } == {name: value.shape for name, value in wanted.items()}, path.name
        preprocessing, test = recognition.preprocessing, manifest["inference"]
        assert list(preprocessing.size or ()) == manifest["test_scale"], path.name
        assert list(preprocessing.window or ()) == test["crop_size"], path.name
        assert list(preprocessing.stride or ()) == test["stride"], path.name
        scale = 255 if manifest["normalise_scale"] == "0..1" else 1
        assert list(preprocessing.mean) == pytest.approx(
            [scale * value for value in manifest["mean"]], abs=0.0051
        )


@pytest.mark.parametrize("name", ["segm_seg-t-mask16_ade20k", "mmseg_segmenter_vit-t_mask_ade20k"])
def test_agrees_with_the_reference(name: str, reference: Callable[[str], Any]) -> None:
    case = reference(name)
    recognition = Segmenter.recognise(case.state_dict)
    assert recognition is not None and recognition.preprocessing is not None
    network = Segmenter(recognition.classes, recognition.options).eval()
    tensors = Segmenter.rename_keys(case.state_dict)
    assert not network.load_state_dict(tensors, strict=False).missing_keys
    with torch.inference_mode():
        logits = network(case.network_input(recognition.preprocessing, rows=512))
    assert list(logits.shape[1:]) == case.expected["logits_shape"].tolist()
    assert case.distance(logits, "logits") <= 1e-4


@pytest.mark.parametrize(
    "options",
    [
        SegmenterOptions("small", 8, crop=128, layers=3, head_layers=1),
        SegmenterOptions("tiny", 32, "linear", distilled=True, crop=96, code="mmseg"),
    ],
)
def test_own_variants_are_recognised(options: SegmenterOptions) -> None:
    with torch.device("meta"):
        recognition = Segmenter.recognise(Segmenter(7, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        7,
    )
    assert recognition.preprocessing is None


def test_a_vision_transformer_with_another_head_is_not_claimed() -> None:
    shapes = _mmseg("linear")
    assert Segmenter.recognise(_tensors(shapes)) is not None
    upernet = shapes | {"decode_head.lateral_convs.0.conv.weight": (64, _WIDTH, 1, 1)}
    assert Segmenter.recognise(_tensors(upernet)) is None
    encoder = {name: shape for name, shape in shapes.items() if name.startswith("backbone.")}
    assert Segmenter.recognise(_tensors(encoder)) is None


def test_parts_of_the_authors_files_that_are_stored_otherwise() -> None:
    shapes = _rstrudel("mask", distilled=True, patch=16, positions=2 + 4)
    tensors = {name: torch.rand(shape) for name, shape in shapes.items()}
    ours = Segmenter.rename_keys(tensors)
    rows = torch.rand(5, _WIDTH)
    torch.testing.assert_close(
        F.linear(rows, ours["head.project_patches.weight"]), rows @ tensors["decoder.proj_patch"]
    )
    assert torch.equal(ours["encoder.tokens"][:, 0], tensors["encoder.cls_token"][:, 0])
    assert torch.equal(ours["encoder.tokens"][:, 1], tensors["encoder.dist_token"][:, 0])


@pytest.mark.parametrize(("code", "epsilon"), [("authors", 1e-5), ("mmseg", 1e-6)])
def test_layer_norms_have_the_epsilon_of_their_source(code: str, epsilon: float) -> None:
    with torch.device("meta"):
        network = Segmenter(3, SegmenterOptions(code=code))
    found = {
        part: [entry.eps for entry in module.modules() if isinstance(entry, nn.LayerNorm)]
        for part, module in (("encoder", network.encoder), ("head", network.head))
    }
    assert found == {"encoder": [epsilon] * (2 * 12 + 1), "head": [1e-5] * (2 * 2 + 2)}


def test_masks_are_cosines_normalised_over_the_classes() -> None:
    torch.manual_seed(0)
    head = MaskTransformer(64, 4, layers=1, dropout=0.1).eval()
    features = torch.rand(2, 64, 3, 5)
    with torch.inference_mode():
        logits = head(features)
        head.mask_norm = nn.Identity()  # type: ignore[assignment]
        cosines = head(features)
    assert logits.shape == (2, 4, 3, 5)
    assert float(cosines.abs().max()) <= 1 + 1e-6
    wanted = F.layer_norm(cosines.permute(0, 2, 3, 1), (4,), eps=1e-5).permute(0, 3, 1, 2)
    torch.testing.assert_close(logits, wanted)


@pytest.mark.parametrize("code", ["authors", "mmseg"])
def test_padding_is_cut_off_or_resized_away(code: str) -> None:
    torch.manual_seed(0)
    network = Segmenter(2, SegmenterOptions(crop=64, layers=1, head_layers=1, code=code)).eval()
    image = torch.rand(1, 3, 40, 64)
    with torch.inference_mode():
        filled = network(F.pad(image, (0, 0, 0, 8)))
        assert filled.shape == (1, 2, 3, 4)
        whole = F.interpolate(filled, size=(48, 64), mode="bilinear", align_corners=False)
        if code == "authors":
            wanted = whole[:, :, :40]
        else:
            wanted = F.interpolate(filled, size=(40, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network.logits(image), wanted)


def test_test_paths() -> None:
    def path(name: str, **changes: tuple[int, ...]) -> Preprocessing:
        recognition = Segmenter.recognise(_tensors(_LAYOUTS[name][0] | changes))
        assert recognition is not None and recognition.preprocessing is not None
        return recognition.preprocessing

    def classes(count: int) -> dict[str, tuple[int, ...]]:
        return {"decoder.cls_emb": (1, count, _WIDTH), "decoder.mask_norm.weight": (count,)}

    gray = (127.5, 127.5, 127.5)
    assert path("mmseg mask") == Preprocessing(
        mean=gray, std=gray, resize="keep-ratio", size=(256, 64), window=(64, 64), stride=(32, 32)
    )
    assert path("authors' mask").average == "probabilities"
    assert path("authors' mask", **classes(19)).size == (2048, 1024)
    assert path("authors' mask", **classes(60)).size == (2080, 520)
    deit = path("authors' linear, DeiT")
    # The authors round ImageNet's figures, 123.675 and 58.395, before they use them.
    assert (deit.mean[0], deit.std[0]) == (123.68, 58.4)
    assert (deit.window, deit.stride) == ((96, 96), (64, 64))
