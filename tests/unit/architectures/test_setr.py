"""SETR and the encoder it shares with Segmenter, against the published counts and layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._vit import Attention, VisionTransformer, drop_path
from segstudio.architectures.segmenter import Segmenter
from segstudio.architectures.setr import SETR, AggregationHead, SETROptions

_WIDTH = 192
_CLASSES = 3


def _tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _mmseg_encoder(layers: int, positions: int) -> dict[str, tuple[int, ...]]:
    width, wide = _WIDTH, 4 * _WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.cls_token": (1, 1, width),
        "backbone.pos_embed": (1, positions, width),
        "backbone.patch_embed.projection.weight": (width, 3, 16, 16),
        "backbone.patch_embed.projection.bias": (width,),
    }
    for index in range(layers):
        block = f"backbone.layers.{index}"
        shapes |= {
            f"{block}.ln1.weight": (width,),
            f"{block}.ln1.bias": (width,),
            f"{block}.attn.attn.in_proj_weight": (3 * width, width),
            f"{block}.attn.attn.in_proj_bias": (3 * width,),
            f"{block}.attn.attn.out_proj.weight": (width, width),
            f"{block}.attn.attn.out_proj.bias": (width,),
            f"{block}.ln2.weight": (width,),
            f"{block}.ln2.bias": (width,),
            f"{block}.ffn.layers.0.0.weight": (wide, width),
            f"{block}.ffn.layers.0.0.bias": (wide,),
            f"{block}.ffn.layers.1.weight": (width, wide),
            f"{block}.ffn.layers.1.bias": (width,),
        }
    return shapes


def _mmseg_conv(name: str, width: int, channels: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.conv.weight": (width, channels, kernel, kernel),
        **{f"{name}.bn.{leaf}": (width,) for leaf in ("weight", "bias")},
        **{f"{name}.bn.running_{leaf}": (width,) for leaf in ("mean", "var")},
        f"{name}.bn.num_batches_tracked": (),
    }


def _mmseg(head: str) -> dict[str, tuple[int, ...]]:
    """Return a small SETR as MMSegmentation names it, trained on crops of 64 pixels."""
    shapes = _mmseg_encoder(4, 17)
    shapes["decode_head.conv_seg.bias"] = (_CLASSES,)
    if head == "mla":
        shapes["decode_head.conv_seg.weight"] = (_CLASSES, 512, 1, 1)
        for level in range(4):
            shapes |= {f"neck.norm.{level}.{leaf}": (_WIDTH,) for leaf in ("weight", "bias")}
            shapes |= _mmseg_conv(f"neck.mla.channel_proj.{level}", 256, _WIDTH, 1)
            shapes |= _mmseg_conv(f"neck.mla.feat_extract.{level}", 256, 256, 3)
            shapes |= _mmseg_conv(f"decode_head.up_convs.{level}.0", 128, 256, 3)
            shapes |= _mmseg_conv(f"decode_head.up_convs.{level}.1", 128, 128, 3)
            shapes[f"auxiliary_head.{level}.conv_seg.weight"] = (_CLASSES, 256, 1, 1)
        return shapes
    shapes["decode_head.conv_seg.weight"] = (_CLASSES, 256, 1, 1)
    shapes |= {f"decode_head.norm.{leaf}": (_WIDTH,) for leaf in ("weight", "bias")}
    shapes |= {f"auxiliary_head.0.norm.{leaf}": (_WIDTH,) for leaf in ("weight", "bias")}
    kernel, steps = (1, 1) if head == "naive" else (3, 4)
    for step in range(steps):
        channels = 256 if step else _WIDTH
        shapes |= _mmseg_conv(f"decode_head.up_convs.{step}.0", 256, channels, kernel)
        shapes |= _mmseg_conv(f"auxiliary_head.0.up_convs.{step}.0", 256, channels, kernel)
    return shapes


@pytest.mark.parametrize("head", ["naive", "pup", "mla"])
def test_mmsegmentation_layout_fills_the_network(head: str) -> None:
    tensors = _tensors(_mmseg(head))
    recognition = SETR.recognise(tensors)
    assert recognition is not None
    assert recognition.options == SETROptions("tiny", head, 16, 64, 4)
    assert (recognition.source, recognition.classes) == ("mmsegmentation", _CLASSES)
    assert Segmenter.recognise(tensors) is None
    with torch.device("meta"):
        wanted = SETR(_CLASSES, recognition.options).state_dict()
    ours = SETR.rename_keys(tensors)
    unused = {name for name in ours if name.startswith("auxiliary_head.")}
    assert unused
    assert {name: value.shape for name, value in ours.items() if name not in unused} == {
        name: value.shape for name, value in wanted.items()
    }


@pytest.mark.parametrize(
    ("head", "crop", "count"),
    # MMSegmentation's files without auxiliary heads; 2048 values of MLA's class token are idle.
    [("naive", 512, 304_450_710), ("pup", 512, 308_318_870), ("mla", 512, 309_416_086 - 2048)],
)
def test_parameter_counts_are_the_published_ones(head: str, crop: int, count: int) -> None:
    with torch.device("meta"):
        assert SETR(150, SETROptions(head=head, crop=crop)).parameter_count() == count


def test_every_published_file_fits(shared: Path, synthetic: Any) -> None:
    paths = sorted((shared / "reference" / "manifests").glob("mmseg_setr_*.json"))
    assert len(paths) == 7
    for path in paths:
        manifest = synthetic.load_manifest(path)
        tensors = _tensors({name: tuple(shape) for name, shape, _ in manifest["state_dict"]})
        recognition = SETR.recognise(tensors)
        assert recognition is not None and recognition.preprocessing is not None, path.name
        assert recognition.classes == manifest["num_classes"]
        with torch.device("meta"):
            wanted = SETR(recognition.classes, recognition.options).state_dict()
        ours = SETR.rename_keys(tensors)
        assert {
            name: value.shape
            for name, value in ours.items()
            if not name.startswith("auxiliary_head.")
        } == {name: value.shape for name, value in wanted.items()}, path.name
        preprocessing, test = recognition.preprocessing, manifest["inference"]
        assert list(preprocessing.size or ()) == manifest["test_scale"], path.name
        assert list(preprocessing.window or ()) == test["crop_size"], path.name
        assert list(preprocessing.stride or ()) == test["stride"], path.name
        assert list(preprocessing.mean) == manifest["mean"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", ["mmseg_setr_vit-l_naive_ade20k", "mmseg_setr_vit-l_mla_b16_ade20k"]
)
def test_agrees_with_the_reference(name: str, reference: Callable[[str], Any]) -> None:
    case = reference(name)
    recognition = SETR.recognise(case.state_dict)
    assert recognition is not None and recognition.preprocessing is not None
    network = SETR(recognition.classes, recognition.options).eval()
    missing = network.load_state_dict(SETR.rename_keys(case.state_dict), strict=False).missing_keys
    assert not missing
    with torch.inference_mode():
        logits = network(case.network_input(recognition.preprocessing, rows=512))
    assert list(logits.shape[1:]) == case.expected["logits_shape"].tolist()
    assert case.distance(logits, "logits") <= 1e-3


@pytest.mark.parametrize("head", ["naive", "pup", "mla"])
def test_own_variants_are_recognised(head: str) -> None:
    options = SETROptions("small", head, patch=8, crop=128, layers=5)
    with torch.device("meta"):
        recognition = SETR.recognise(SETR(7, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        7,
    )


def test_a_table_of_positions_that_is_no_square_is_not_claimed() -> None:
    shapes = _mmseg("naive") | {"backbone.pos_embed": (1, 16, _WIDTH)}
    assert SETR.recognise(_tensors(shapes)) is None


def test_levels_are_the_last_layers_of_the_quarters() -> None:
    with torch.device("meta"):
        assert SETR(2, SETROptions(head="mla")).encoder.taps == (5, 11, 17, 23)
        assert SETR(2, SETROptions("tiny", "mla")).encoder.taps == (2, 5, 8, 11)
        # Fewer layers than levels: some are looked at twice, as the head wants four maps.
        assert SETR(2, SETROptions("tiny", "mla", layers=2)).encoder.taps == (0, 0, 1, 1)


def test_the_class_token_of_mla_is_left_out_with_its_position() -> None:
    tensors = _tensors(_mmseg("mla"))
    positions = torch.arange(17.0).reshape(1, 17, 1).expand(1, 17, _WIDTH)
    ours = SETR.rename_keys(tensors | {"backbone.pos_embed": positions})
    assert "encoder.tokens" not in ours
    assert ours["encoder.positions.bilinear"][0, :, 0].tolist() == list(range(1, 17))


def test_aggregation_runs_from_the_deepest_level_up() -> None:
    torch.manual_seed(0)
    head = AggregationHead(64, 2).eval()
    joined: list[Tensor] = []
    head.classify.register_forward_hook(lambda _, inputs, __: joined.append(inputs[0]))
    maps = list(torch.rand(4, 1, 64, 4, 4))
    for changed in (None, 0, 3):
        with torch.inference_mode():
            head([torch.rand(1, 64, 4, 4) if i == changed else m for i, m in enumerate(maps)])
    plain, shallow, deep = (entry.unflatten(1, (4, 128)) for entry in joined)
    assert plain.shape[-2:] == (16, 16)
    # The deepest level comes first and reaches all others; the shallowest reaches none.
    assert [bool((shallow[:, i] != plain[:, i]).any()) for i in range(4)] == [False] * 3 + [True]
    assert [bool((deep[:, i] != plain[:, i]).any()) for i in range(4)] == [True] * 4


@pytest.mark.parametrize(("patch", "doublings"), [(8, 3), (16, 4), (32, 5)])
def test_progressive_upsampling_ends_at_the_pixels(patch: int, doublings: int) -> None:
    network = SETR(2, SETROptions("tiny", "pup", patch, 64, layers=1)).eval()
    assert len(network.head.up) == doublings
    with torch.inference_mode():
        features = network.encoder(torch.rand(1, 3, 64, 32))
        assert network.head(features).shape == (1, 2, 64, 32)


def test_logits_of_the_filled_image_are_resized_to_the_image() -> None:
    torch.manual_seed(0)
    network = SETR(2, SETROptions("tiny", "pup", 16, 32, layers=1)).eval()
    image = torch.rand(1, 3, 20, 32)
    with torch.inference_mode():
        filled = network(F.pad(image, (0, 0, 0, 12)))
        wanted = F.interpolate(filled, size=(20, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(image), wanted)


def _encoder(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    values = {"patch": 8, "crop": 32, "tokens": 1, "eps": 1e-6} | options
    return VisionTransformer(64, 2, **values).eval()


def test_attention_packs_its_projections_as_pytorch_does() -> None:
    torch.manual_seed(0)
    ours = Attention(192, 0.0)
    theirs = nn.MultiheadAttention(192, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.proj.weight,
            "out_proj.bias": ours.proj.bias,
        }
    )
    tokens = torch.rand(2, 5, 192)
    with torch.inference_mode():
        wanted = theirs(tokens, tokens, tokens, need_weights=False)[0]
        torch.testing.assert_close(ours(tokens), wanted)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_positions_are_resized_but_those_of_tokens_are_not(mode: str) -> None:
    encoder = _encoder(tokens=2, interpolation=mode)
    table = encoder.positions[mode]
    assert table.shape == (1, 2 + 16, 64)
    grid = table[:, 2:].reshape(1, 4, 4, 64).permute(0, 3, 1, 2)
    wanted = F.interpolate(grid, size=(3, 7), mode=mode, align_corners=False)
    resized = encoder._positions(3, 7, 2)
    assert torch.equal(resized[:, :2], table[:, :2])
    torch.testing.assert_close(resized[:, 2:], wanted.permute(0, 2, 3, 1).reshape(1, 21, 64))


def test_positions_are_compared_by_their_number() -> None:
    encoder = _encoder()
    # 2 x 8 patches are as many as the 4 x 4 of the table.
    assert encoder._positions(2, 8, 1) is encoder.positions["bilinear"]


def test_patches_are_filled_up_at_the_bottom_and_right() -> None:
    encoder = _encoder()
    image = torch.rand(1, 3, 17, 30)
    with torch.inference_mode():
        (features,) = encoder(image)
        assert features.shape == (1, 64, 3, 4)
        torch.testing.assert_close(features, encoder(F.pad(image, (0, 2, 0, 7)))[0])


def test_drop_path_drops_whole_branches_and_grows_from_nothing() -> None:
    torch.manual_seed(0)
    branch = torch.ones(4000, 2, 3)
    out = drop_path(branch, 0.25, training=True)
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert bool((out.flatten(1) == out[:, :1, 0]).all())
    assert drop_path(branch, 0.25, training=False) is branch
    chances = [block.drop_path for block in _encoder(drop_path=0.3).blocks]
    assert chances == pytest.approx([0, 0.3])
