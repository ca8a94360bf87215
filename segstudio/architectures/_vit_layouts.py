"""How other libraries name the tensors of a Vision Transformer and of the heads upon it."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from segstudio.architectures._base import StateDict

__all__ = [
    "from_mmsegmentation",
    "from_rstrudel",
    "is_mmsegmentation",
    "is_rstrudel",
]

_MMSEG_NAMES = (
    (r"backbone\.patch_embed\.projection", r"encoder.patches"),
    (r"backbone\.layers\.(\d+)", r"encoder.blocks.\1"),
    (r"backbone\.ln1", r"encoder.norm"),
    (r"decode_head\.layers\.(\d+)", r"head.blocks.\1"),
    (r"((?:encoder|head)\.blocks\.\d+)\.ln(\d)", r"\1.norm\2"),
    (r"(.+)\.attn\.attn\.in_proj_(weight|bias)", r"\1.attn.qkv.\2"),
    (r"(.+)\.attn\.attn\.out_proj", r"\1.attn.proj"),
    (r"(.+)\.ffn\.layers\.0\.0", r"\1.mlp.fc1"),
    (r"(.+)\.ffn\.layers\.1", r"\1.mlp.fc2"),
    # Segmenter's heads.
    (r"decode_head\.cls_emb", r"head.classes"),
    (r"decode_head\.dec_proj", r"head.project"),
    (r"decode_head\.patch_proj", r"head.project_patches"),
    (r"decode_head\.classes_proj", r"head.project_classes"),
    (r"decode_head\.decoder_norm", r"head.norm"),
    (r"decode_head\.mask_norm", r"head.mask_norm"),
    (r"decode_head\.conv_seg", r"head.classify"),
    # SETR's heads.
    (r"decode_head\.norm", r"head.norm"),
    (r"neck\.norm\.(\d)", r"head.norms.\1"),
    (r"neck\.mla\.channel_proj\.(\d)", r"head.project.\1"),
    (r"neck\.mla\.feat_extract\.(\d)", r"head.refine.\1"),
    (r"decode_head\.up_convs\.(\d)\.(\d)", r"head.up.\1.\2"),
    (r"(head\.(?:project|refine|up)\..*\d)\.conv", r"\1.0"),
    (r"(head\.(?:project|refine|up)\..*\d)\.bn", r"\1.1"),
)
_RSTRUDEL_NAMES = (
    # Classifiers of the pretraining, which stayed in the files and never see a pixel.
    (r"encoder\.head", r"auxiliary_head.pretraining"),
    (r"encoder\.head_dist", r"auxiliary_head.pretraining_distilled"),
    (r"encoder\.patch_embed\.proj", r"encoder.patches"),
    (r"encoder\.pos_embed", r"encoder.positions.bilinear"),
    (r"decoder\.blocks", r"head.blocks"),
    (r"decoder\.cls_emb", r"head.classes"),
    (r"decoder\.proj_dec", r"head.project"),
    (r"decoder\.proj_patch", r"head.project_patches.weight"),
    (r"decoder\.proj_classes", r"head.project_classes.weight"),
    (r"decoder\.decoder_norm", r"head.norm"),
    (r"decoder\.mask_norm", r"head.mask_norm"),
    (r"decoder\.head", r"head.classify"),
)


def is_mmsegmentation(state_dict: StateDict) -> bool:
    """Tell whether an encoder under ``backbone.`` is MMSegmentation's Vision Transformer."""
    # Swin has patches of that name too, but no table of positions.
    return "backbone.patch_embed.projection.weight" in state_dict and (
        "backbone.pos_embed" in state_dict
    )


def is_rstrudel(state_dict: StateDict) -> bool:
    """Tell whether it is in the layout of the Segmenter authors' code."""
    return (
        "encoder.patch_embed.proj.weight" in state_dict
        and "encoder.pos_embed" in state_dict
        and ("decoder.cls_emb" in state_dict or "decoder.head.weight" in state_dict)
    )


def _translate(key: str, names: tuple[tuple[str, str], ...]) -> str:
    """Apply every rule that matches the beginning of the name, up to a dot or the end."""
    for pattern, ours in names:
        key = re.sub(rf"^{pattern}(?=\.|$)", ours, key)
    return key


def from_mmsegmentation(
    state_dict: StateDict, *, interpolation: str, class_token: bool = True
) -> dict[str, Tensor]:
    """Rename the tensors of a SETR or Segmenter of MMSegmentation.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
    interpolation : str
        How that network resizes position embeddings.
    class_token : bool
        Whether the network keeps its class token.  Otherwise it adds the token and its position
        and drops the sum before the first layer; the token then goes to the unused tensors.
    """
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if key == "backbone.cls_token":
            name = "encoder.tokens" if class_token else "auxiliary_head.class_token"
        elif key == "backbone.pos_embed":
            name = f"encoder.positions.{interpolation}"
            value = value if class_token else value[:, 1:]
        else:
            name = _translate(key, _MMSEG_NAMES)
        found[name] = value
    return found


def from_rstrudel(state_dict: StateDict) -> dict[str, Tensor]:
    """Rename; join the extra tokens; projections are matrices applied from the right there."""
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if key == "encoder.dist_token" and "encoder.cls_token" in state_dict:
            continue
        if key == "encoder.cls_token":
            distilled = state_dict.get("encoder.dist_token")
            joined = value if distilled is None else torch.cat([value, distilled], 1)
            found["encoder.tokens"] = joined
            continue
        name = _translate(key, _RSTRUDEL_NAMES)
        if name in {"head.project_patches.weight", "head.project_classes.weight"}:
            value = value.transpose(0, 1)
        elif name == "head.classify.weight":
            value = value[..., None, None]
        found[name] = value
    return found
