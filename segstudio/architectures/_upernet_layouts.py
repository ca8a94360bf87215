"""How other libraries name the tensors of a UPerNet, and how they cut them up."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from segstudio.architectures._base import StateDict
from segstudio.architectures._encoders import resnet_from_mmsegmentation

__all__ = ["source_of", "to_own_layout", "to_own_name"]

_HEAD = ("head.pyramid.0.0.weight", "head.lateral.0.0.weight", "head.fuse.0.weight")
_FOREIGN_HEAD = (
    "decode_head.psp_modules.0.1.conv.weight",
    "decode_head.lateral_convs.0.conv.weight",
    "decode_head.fpn_bottleneck.conv.weight",
)
_LANDMARKS = (
    # Whose layout, tensors that only a UPerNet of theirs has together.
    ("segstudio", (*_HEAD, "head.classify.weight", "encoder.embed.proj.weight")),
    ("segstudio", (*_HEAD, "head.classify.weight", "encoder.conv1.0.weight")),
    (
        "mmsegmentation",
        (
            *_FOREIGN_HEAD,
            "decode_head.conv_seg.weight",
            "backbone.patch_embed.projection.weight",
            "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight",
        ),
    ),
    (
        "mmsegmentation",
        (*_FOREIGN_HEAD, "decode_head.conv_seg.weight", "backbone.stem.0.weight"),
    ),
    (
        "microsoft",
        (
            *_FOREIGN_HEAD,
            "decode_head.conv_seg.weight",
            "backbone.patch_embed.proj.weight",
            "backbone.layers.0.blocks.0.attn.qkv.weight",
        ),
    ),
    (
        "huggingface",
        (
            *_FOREIGN_HEAD,
            "decode_head.classifier.weight",
            "backbone.embeddings.patch_embeddings.projection.weight",
            "backbone.encoder.layers.0.blocks.0.attention.self.query.weight",
        ),
    ),
)
_HEAD_NAMES = (
    (r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.\1"),
    (r"decode_head\.lateral_convs\.(\d)", r"head.lateral.\1"),
    (r"decode_head\.fpn_convs\.(\d)", r"head.smooth.\1"),
    (r"decode_head\.bottleneck", "head.bottleneck"),
    (r"decode_head\.fpn_bottleneck", "head.fuse"),
    (r"decode_head\.(conv_seg|classifier)", "head.classify"),
    (r"(head\..+)\.conv", r"\1.0"),
    (r"(head\..+)\.(bn|batch_norm)", r"\1.1"),
)
_MMSEG_NAMES = (
    (r"backbone\.patch_embed\.projection", "encoder.embed.proj"),
    (r"backbone\.patch_embed\.norm", "encoder.embed.norm"),
    (r"backbone\.stages\.(\d)\.blocks\.(\d+)", r"encoder.stages.\1.blocks.\2"),
    (r"(encoder\..+)\.attn\.w_msa", r"\1.attn"),
    (r"(encoder\..+)\.ffn\.layers\.0\.0", r"\1.mlp.0"),
    (r"(encoder\..+)\.ffn\.layers\.1", r"\1.mlp.2"),
    (r"backbone\.stages\.(\d)\.downsample", r"encoder.merges.\1"),
    (r"backbone\.norm(\d)", r"encoder.norms.\1"),
)
_MICROSOFT_NAMES = (
    # The authors' own files; the channels of a merging are in our order there.
    (r"backbone\.patch_embed", "encoder.embed"),
    (r"backbone\.layers\.(\d)\.blocks\.(\d+)", r"encoder.stages.\1.blocks.\2"),
    (r"(encoder\..+)\.mlp\.fc1", r"\1.mlp.0"),
    (r"(encoder\..+)\.mlp\.fc2", r"\1.mlp.2"),
    (r"backbone\.layers\.(\d)\.downsample", r"encoder.merges.\1"),
    (r"backbone\.norm(\d)", r"encoder.norms.\1"),
)
_HF_NAMES = (
    (r"backbone\.embeddings\.patch_embeddings\.projection", "encoder.embed.proj"),
    (r"backbone\.embeddings\.norm", "encoder.embed.norm"),
    (r"backbone\.encoder\.layers\.(\d)\.blocks\.(\d+)", r"encoder.stages.\1.blocks.\2"),
    (r"(encoder\..+)\.layernorm_before", r"\1.norm1"),
    (r"(encoder\..+)\.layernorm_after", r"\1.norm2"),
    (r"(encoder\..+)\.attention\.self", r"\1.attn"),
    (r"(encoder\..+)\.attention\.output\.dense", r"\1.attn.proj"),
    (r"(encoder\..+)\.intermediate\.dense", r"\1.mlp.0"),
    (r"(encoder\..+)\.output\.dense", r"\1.mlp.2"),
    (r"backbone\.encoder\.layers\.(\d)\.downsample", r"encoder.merges.\1"),
    *(
        (rf"backbone\.hidden_states_norms\.stage{index + 1}", rf"encoder.norms.{index}")
        for index in range(4)
    ),
)
_ALL_NAMES = (
    (r"(encoder\..+)\.relative_position_bias_table", r"\1.bias_table"),
    (r"(encoder\.merges\.\d)\.reduction", r"\1.reduce"),
)
_CONSTANT = "relative_position_index"
"""A buffer that follows from the size of the window."""
_BLOCK_ORDER = (0, 2, 1, 3)


def source_of(names: Iterable[str]) -> str | None:
    """Return whose layout tensors of these names are in, None when they are no UPerNet."""
    present = set(names)
    return next((source for source, wanted in _LANDMARKS if present.issuperset(wanted)), None)


def to_own_name(source: str, key: str) -> str:
    """Return the page's name for a tensor; query, key and value keep theirs."""
    if key.startswith("decode_head."):
        return _translate(key, _HEAD_NAMES)
    if not key.startswith("backbone."):
        return key
    if source == "huggingface":
        return _translate(key, _HF_NAMES + _ALL_NAMES)
    if source == "microsoft":
        return _translate(key, _MICROSOFT_NAMES + _ALL_NAMES)
    swin = _translate(key, _MMSEG_NAMES + _ALL_NAMES)
    if swin != key:
        return swin
    return "encoder." + resnet_from_mmsegmentation(key.removeprefix("backbone."))


def to_own_layout(source: str, state_dict: StateDict) -> dict[str, Tensor]:
    """Rename all tensors, join query, key and value, and reorder merged neighbours."""
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if key.startswith("backbone.") and key.endswith("." + _CONSTANT):
            continue
        name = to_own_name(source, key)
        packed = re.fullmatch(r"(encoder\..+\.attn\.)(query|key|value)(\.\w+)", name)
        if packed:
            if packed[2] == "query":
                block = key.removesuffix("query" + packed[3])
                parts = [state_dict[block + part + packed[3]] for part in ("query", "key", "value")]
                found[f"{packed[1]}qkv{packed[3]}"] = torch.cat(parts)
            continue
        if source == "mmsegmentation" and name.startswith("encoder.merges."):
            value = _reordered(value)
        found[name] = value
    return found


def _reordered(value: Tensor) -> Tensor:
    """Bring what meets the 4 C channels of a merging from mmseg's order to ours.

    MMSegmentation unfolds: the 2 x 2 neighbours of a channel, row by row, lie side by side.  Here
    the channels of a neighbour do, and the neighbours follow column by column.
    """
    channels = value.shape[-1] // 4
    order = [4 * channel + block for block in _BLOCK_ORDER for channel in range(channels)]
    return value[..., order]


def _translate(key: str, names: tuple[tuple[str, str], ...]) -> str:
    """Apply every rule that matches the beginning of the name, up to a dot or the end."""
    for pattern, ours in names:
        key = re.sub(rf"^{pattern}(?=\.|$)", ours, key)
    return key
