"""How other libraries name the tensors of a SegFormer, and how they cut them up."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from segstudio.architectures._base import StateDict

__all__ = ["FIRST_STAGE", "HEADS", "LANDMARKS", "TRANSLATIONS"]

_MMSEGMENTATION_FIRST = "backbone.layers.0.0.projection.weight"
_HUGGINGFACE_FIRST = "segformer.encoder.patch_embeddings.0.proj.weight"
_NVLABS_FIRST = "backbone.patch_embed1.proj.weight"
"""The authors' own files: https://github.com/NVlabs/SegFormer."""

LANDMARKS = {
    "segstudio": (
        "stages.0.embed.proj.weight",
        r"stages\.(\d)\.blocks\.(\d+)\.norm1\.weight",
        "head.project.0.0.weight",
        "head.fuse.0.weight",
        "head.classify.weight",
    ),
    "mmsegmentation": (
        _MMSEGMENTATION_FIRST,
        r"backbone\.layers\.(\d)\.1\.(\d+)\.norm1\.weight",
        "decode_head.convs.0.conv.weight",
        "decode_head.fusion_conv.conv.weight",
        "decode_head.conv_seg.weight",
    ),
    "huggingface": (
        _HUGGINGFACE_FIRST,
        r"segformer\.encoder\.block\.(\d)\.(\d+)\.layer_norm_1\.weight",
        "decode_head.linear_c.0.proj.weight",
        "decode_head.linear_fuse.weight",
        "decode_head.classifier.weight",
    ),
    "nvlabs": (
        _NVLABS_FIRST,
        r"backbone\.block(\d)\.(\d+)\.norm1\.weight",
        "decode_head.linear_c1.proj.weight",
        "decode_head.linear_fuse.conv.weight",
        "decode_head.linear_pred.weight",
    ),
}
"""First weight, a block's first norm (stage, block), first projection, fusion, classifier of each
layout."""
HEADS = {"mmsegmentation": "mmseg", "nvlabs": "authors"}
"""Head of a layout's files where it is not Hugging Face's."""
FIRST_STAGE = {"nvlabs": 1}
"""What a layout numbers the first stage with where it is not 0."""
_MMSEG_NAMES = (
    (r"backbone\.layers\.(\d)\.0\.(projection|norm)", r"stages.\1.embed.\2"),
    (r"(.+\.)projection", r"\1proj"),
    (r"backbone\.layers\.(\d)\.1\.(\d+)", r"stages.\1.blocks.\2"),
    (r"backbone\.layers\.(\d)\.2", r"stages.\1.norm"),
    (r"(.+\.)attn\.attn\.out_proj", r"\1attn.out"),
    (r"(.+\.)attn\.sr", r"\1attn.reduce"),
    (r"(.+\.)ffn\.layers\.0", r"\1ffn.expand"),
    (r"(.+\.)ffn\.layers\.1", r"\1ffn.mix"),
    (r"(.+\.)ffn\.layers\.4", r"\1ffn.shrink"),
    (r"decode_head\.convs\.(\d)\.conv", r"head.project.\1.0"),
    (r"decode_head\.convs\.(\d)\.bn", r"head.project.\1.1"),
    (r"decode_head\.fusion_conv\.conv", r"head.fuse.0"),
    (r"decode_head\.fusion_conv\.bn", r"head.fuse.1"),
    (r"decode_head\.conv_seg", r"head.classify"),
)
_HF_NAMES = (
    (r"segformer\.encoder\.patch_embeddings\.(\d)\.proj", r"stages.\1.embed.proj"),
    (r"segformer\.encoder\.patch_embeddings\.(\d)\.layer_norm", r"stages.\1.embed.norm"),
    (r"segformer\.encoder\.layer_norm\.(\d)", r"stages.\1.norm"),
    (r"segformer\.encoder\.block\.(\d)\.(\d+)", r"stages.\1.blocks.\2"),
    (r"(.+\.)layer_norm_(\d)", r"\1norm\2"),
    (r"(.+\.)attention\.self\.query", r"\1attn.q"),
    (r"(.+\.)attention\.self\.sr", r"\1attn.reduce"),
    (r"(.+\.)attention\.self\.layer_norm", r"\1attn.norm"),
    (r"(.+\.)attention\.output\.dense", r"\1attn.out"),
    (r"(.+\.)mlp\.dense1", r"\1ffn.expand"),
    (r"(.+\.)mlp\.dwconv\.dwconv", r"\1ffn.mix"),
    (r"(.+\.)mlp\.dense2", r"\1ffn.shrink"),
    (r"decode_head\.linear_c\.(\d)\.proj", r"head.project.\1.0"),
    (r"decode_head\.linear_fuse", r"head.fuse.0"),
    (r"decode_head\.batch_norm", r"head.fuse.1"),
    (r"decode_head\.classifier", r"head.classify"),
)
_NVLABS_NAMES = (
    # Stages count from 1 there.
    *(
        (rf"backbone\.{theirs}{index + 1}", f"stages.{index}.{ours}")
        for index in range(4)
        for theirs, ours in (("patch_embed", "embed"), ("block", "blocks"), ("norm", "norm"))
    ),
    (r"(stages\..+\.)attn\.proj", r"\1attn.out"),
    (r"(stages\..+\.)attn\.sr", r"\1attn.reduce"),
    (r"(stages\..+\.)mlp\.fc1", r"\1ffn.expand"),
    (r"(stages\..+\.)mlp\.dwconv\.dwconv", r"\1ffn.mix"),
    (r"(stages\..+\.)mlp\.fc2", r"\1ffn.shrink"),
    *(
        (rf"decode_head\.linear_c{index + 1}\.proj", f"head.project.{index}.0")
        for index in range(4)
    ),
    (r"decode_head\.linear_fuse\.conv", r"head.fuse.0"),
    (r"decode_head\.linear_fuse\.bn", r"head.fuse.1"),
    (r"decode_head\.linear_pred", r"head.classify"),
)
_NVLABS_UNUSED = "decode_head.conv_seg."
"""A classifier that their head inherits and never calls."""


def _translate(key: str, names: tuple[tuple[str, str], ...]) -> str:
    """Apply every rule that matches the beginning of the name, up to a dot or the end."""
    for pattern, ours in names:
        key = re.sub(rf"^{pattern}(?=\.|$)", ours, key)
    return key


def _from_mmsegmentation(state_dict: StateDict) -> dict[str, Tensor]:
    """Rename; unpack query, key and value; feed-forward parts are 1 x 1 convolutions there."""
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        packed = re.fullmatch(
            r"backbone\.layers\.(\d)\.1\.(\d+)\.attn\.attn\.in_proj_(weight|bias)", key
        )
        if packed:
            block, leaf = f"stages.{packed[1]}.blocks.{packed[2]}.attn", packed[3]
            channels = value.shape[0] // 3
            found[f"{block}.q.{leaf}"] = value[:channels]
            found[f"{block}.kv.{leaf}"] = value[channels:]
            continue
        name = _translate(key, _MMSEG_NAMES)
        if name.endswith(("ffn.expand.weight", "ffn.shrink.weight")):
            value = value.flatten(1)
        found[name] = value
    return found


def _from_huggingface(state_dict: StateDict) -> dict[str, Tensor]:
    """Rename; join key and value; the head's maps are concatenated coarse to fine there."""
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        partner = key.replace(".self.value.", ".self.key.")
        if partner != key and partner in state_dict:
            continue
        partner = key.replace(".self.key.", ".self.value.")
        if partner != key and partner in state_dict:
            block = _translate(key.partition("attention.self.")[0], _HF_NAMES)
            leaf = key.rpartition(".")[2]
            found[f"{block}attn.kv.{leaf}"] = torch.cat([value, state_dict[partner]])
            continue
        name = _translate(key, _HF_NAMES)
        found[name] = _head_part(name, value)
    return found


def _from_nvlabs(state_dict: StateDict) -> dict[str, Tensor]:
    """Rename; the head is laid out as Hugging Face's, which was made from it."""
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if not key.startswith(_NVLABS_UNUSED):
            name = _translate(key, _NVLABS_NAMES)
            found[name] = _head_part(name, value)
    return found


def _head_part(name: str, value: Tensor) -> Tensor:
    """Turn the maps that are fused from coarse to fine, and linear projections into convolutions.

    Parameters
    ----------
    name : str
        Our name of the tensor.
    value : Tensor
    """
    if name == "head.fuse.0.weight":
        return value.unflatten(1, (4, -1)).flip(1).flatten(1, 2)
    if re.fullmatch(r"head\.project\.\d\.0\.weight", name):
        return value[..., None, None]
    return value


TRANSLATIONS = {
    _MMSEGMENTATION_FIRST: _from_mmsegmentation,
    _HUGGINGFACE_FIRST: _from_huggingface,
    _NVLABS_FIRST: _from_nvlabs,
}
"""What turns a layout into ours, by the tensor that only it has."""
