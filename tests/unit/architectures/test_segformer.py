"""SegFormer against the published counts and the reference."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segstudio.architectures.segformer import DropPath, SegFormer, SegFormerOptions

_COUNTS = {
    # Published with 150 classes: the authors' head, MMSegmentation's head.
    "b0": (3_752_694, 3_753_718),
    "b1": (13_715_798, 13_716_822),
    "b2": (27_461_974, 24_761_686),
    "b3": (47_337_814, 44_637_526),
    "b4": (64_108_374, 61_408_086),
    "b5": (84_708_694, 82_008_406),
}


@pytest.mark.parametrize("variant", _COUNTS)
def test_parameter_counts_are_the_published_ones(variant: str) -> None:
    with torch.device("meta"):
        counts = tuple(
            SegFormer(150, SegFormerOptions(variant, head)).parameter_count()
            for head in ("hf", "mmseg")
        )
    assert counts == _COUNTS[variant]


@pytest.mark.parametrize("variant", _COUNTS)
@pytest.mark.parametrize("head", ["hf", "mmseg"])
def test_own_variants_are_recognised(variant: str, head: str) -> None:
    options = SegFormerOptions(variant, head, head_width=64 if variant == "b3" else 0)
    with torch.device("meta"):
        recognition = SegFormer.recognise(SegFormer(7, options).state_dict())
    assert recognition is not None
    assert (recognition.source, recognition.options, recognition.classes) == (
        "segstudio",
        options,
        7,
    )


def test_every_published_file_fits(shared: Path, synthetic: Any) -> None:
    """Names and shapes of all manifests, without memory for the weights."""
    paths = sorted((shared / "reference" / "manifests").glob("*segformer*.json"))
    assert len(paths) > 20
    for path in paths:
        manifest = synthetic.load_manifest(path)
        tensors = {
            name: torch.empty(shape, device="meta") for name, shape, _ in manifest["state_dict"]
        }
        recognition = SegFormer.recognise(tensors)
        assert recognition is not None and recognition.preprocessing is not None, path.name
        assert recognition.source == manifest["source"]
        assert recognition.classes == manifest["num_classes"]
        with torch.device("meta"):
            blank = SegFormer(recognition.classes, recognition.options)
        assert blank.parameter_count() == manifest["n_params"], path.name
        ours = SegFormer.rename_keys(tensors)
        wanted = blank.state_dict()
        assert {name: value.shape for name, value in ours.items()} == {
            name: value.shape for name, value in wanted.items()
        }, path.name
        preprocessing = recognition.preprocessing
        if path.name != "mmseg_segformer_mit-b5_ade20k-640.json":  # its tensors do not tell
            assert list(preprocessing.size or ()) == manifest["test_scale"], path.name
        window = manifest["inference"]["crop_size"]
        assert preprocessing.window == (tuple(window) if window else None), path.name


@pytest.mark.parametrize(
    "name", ["mmseg_segformer_mit-b0_ade20k-512", "hf_segformer-b0-finetuned-ade-512-512"]
)
def test_agrees_with_the_reference(name: str, reference: Callable[[str], Any]) -> None:
    case = reference(name)
    recognition = SegFormer.recognise(case.state_dict)
    assert recognition is not None and recognition.preprocessing is not None
    network = SegFormer(recognition.classes, recognition.options).eval()
    network.load_state_dict(SegFormer.rename_keys(case.state_dict))
    image = case.network_input(recognition.preprocessing)
    with torch.inference_mode():
        logits = network(image)
        assert list(logits.shape[1:]) == case.expected["logits_shape"].tolist()
        assert case.distance(logits, "logits") <= 1e-3
        # Hugging Face goes from the head's size to the image's at once.
        whole = logits if recognition.source == "huggingface" else network.logits(image)
        labels = case.expected["labels"]
        final = F.interpolate(whole, size=labels.shape, mode="bilinear", align_corners=False)
    assert case.distance(final, "final") <= 1e-3
    agreement = (final[0].argmax(0).numpy() == labels).mean()
    assert agreement >= 0.999


_STAGE_TO_AUTHORS = (
    (r"stages\.(\d)\.embed\.", "patch_embed"),
    (r"stages\.(\d)\.blocks\.", "block"),
    (r"stages\.(\d)\.norm\.", "norm"),
)
_LAYER_TO_AUTHORS = {
    "attn.out.": "attn.proj.",
    "attn.reduce.": "attn.sr.",
    "ffn.expand.": "mlp.fc1.",
    "ffn.mix.": "mlp.dwconv.dwconv.",
    "ffn.shrink.": "mlp.fc2.",
    "head.fuse.0.": "decode_head.linear_fuse.conv.",
    "head.fuse.1.": "decode_head.linear_fuse.bn.",
    "head.classify.": "decode_head.linear_pred.",
}


def _in_authors_layout(network: SegFormer) -> dict[str, torch.Tensor]:
    """Write a network as NVlabs/SegFormer does: stages from 1, the head's maps coarse to fine."""
    found: dict[str, torch.Tensor] = {}
    for key, value in network.state_dict().items():
        name = key
        for pattern, theirs in _STAGE_TO_AUTHORS:
            name = re.sub(
                pattern, lambda match, t=theirs: f"backbone.{t}{int(match[1]) + 1}.", name
            )
        projection = re.fullmatch(r"head\.project\.(\d)\.0\.(\w+)", key)
        if projection:
            name = f"decode_head.linear_c{int(projection[1]) + 1}.proj.{projection[2]}"
            value = value.flatten(1) if value.ndim == 4 else value
        for ours, theirs in _LAYER_TO_AUTHORS.items():
            name = name.replace(ours, theirs)
        if key == "head.fuse.0.weight":
            value = torch.cat(value.chunk(4, 1)[::-1], 1)
        found[name] = value
    found["decode_head.conv_seg.weight"] = torch.zeros(network.classes, 128, 1, 1)
    found["decode_head.conv_seg.bias"] = torch.zeros(network.classes)
    return found


@pytest.mark.parametrize(
    ("variant", "classes", "test"),
    [
        ("b0", 19, ("keep-ratio", (2048, 1024))),
        ("b0", 150, ("keep-ratio-aligned", (2048, 512))),
        ("b5", 150, ("keep-ratio-aligned", (2048, 640))),
    ],
)
def test_the_authors_own_files_are_understood(
    variant: str, classes: int, test: tuple[str, tuple[int, int]]
) -> None:
    with torch.device("cpu" if variant == "b0" else "meta"):
        network = SegFormer(classes, SegFormerOptions(variant, "authors")).eval()
    theirs = _in_authors_layout(network)
    assert not any(name.startswith(("stages.", "head.")) for name in theirs)
    recognition = SegFormer.recognise(theirs)
    assert recognition is not None and recognition.preprocessing is not None
    assert (recognition.source, recognition.classes) == ("nvlabs", classes)
    assert recognition.options == SegFormerOptions(variant, "authors")
    assert (recognition.preprocessing.resize, recognition.preprocessing.size) == test
    if variant == "b0":
        again = SegFormer(classes, recognition.options).eval()
        again.load_state_dict(SegFormer.rename_keys(theirs))
        image = torch.rand(1, 3, 64, 96)
        with torch.inference_mode():
            assert torch.equal(again(image), network(image))


def test_an_encoder_without_a_head_is_not_claimed() -> None:
    tensors = SegFormer(3).state_dict()
    encoder = {key: value for key, value in tensors.items() if key.startswith("stages.")}
    assert SegFormer.recognise(encoder) is None
    assert SegFormer.recognise({"encoder." + key: value for key, value in tensors.items()}) is None


def test_drop_path_drops_whole_branches_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 2, 3))
    per_image = out.flatten(1)
    assert per_image.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert bool((per_image == per_image[:, :1]).all())
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    drop.eval()
    assert bool((drop(torch.ones(10, 1)) == 1).all())


def test_drop_path_grows_from_nothing() -> None:
    network = SegFormer(3, SegFormerOptions(drop_path=0.3))
    chances = [block.drop_path.chance for stage in network.stages for block in stage.blocks]
    assert chances[0] == 0
    assert chances[-1] == pytest.approx(0.3)
    assert chances == sorted(chances)


def test_output_is_a_quarter_rounded_up() -> None:
    network = SegFormer(3).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 97, 131)).shape == (1, 3, 25, 33)


@pytest.mark.parametrize(
    ("head", "layers", "others"),
    [("hf", 1e-5, 1e-5), ("mmseg", 1e-6, 1e-6), ("authors", 1e-6, 1e-5)],
)
def test_layer_norms_have_the_epsilon_of_their_source(
    head: str, layers: float, others: float
) -> None:
    network = SegFormer(3, SegFormerOptions(head=head))
    norms = {
        name: module.eps
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.LayerNorm)
    }
    # Four patch embeddings and four ends, two a block, one at each of the six reductions.
    assert len(norms) == 4 + 4 + 2 * 8 + 6
    behind = {name for name in norms if "embed" in name or "attn" in name}
    assert len(behind) == 4 + 6
    assert {norms[name] for name in behind} == {others}
    assert {norms[name] for name in norms.keys() - behind} == {layers}
