"""Segmenter: a Vision Transformer whose decoder is a transformer, too.

Reference: Strudel, Garcia, Laptev, Schmid, "Segmenter: Transformer for Semantic Segmentation",
ICCV 2021, arXiv:2105.05633.

The linear decoder classifies each patch.  The mask transformer sends the patches together with one
learned embedding per class through two more layers; a class's logits are the cosines between its
embedding and the patches, normalised over the classes.

Two published implementations agree in all but details, and their checkpoints need their own:

* the authors': position embeddings resized bilinearly, LayerNorm epsilon 1e-5, and an image that is
  no multiple of the patch is filled up and its logits are cut,
* MMSegmentation's: bicubically, the encoder's epsilon 1e-6, and the logits of the filled image are
  resized to the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.architectures._vit import (
    VIT_SIZES,
    Block,
    VisionTransformer,
    initialise_linear,
    read_encoder,
)
from segstudio.architectures._vit_layouts import (
    from_mmsegmentation,
    from_rstrudel,
    is_mmsegmentation,
    is_rstrudel,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_HEAD_EPS = 1e-5
_CODES = {
    # How position embeddings are resized, epsilon of the encoder's norms.
    "authors": ("bilinear", 1e-5),
    "mmseg": ("bicubic", 1e-6),
}
_VIT = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_DEIT = ((123.68, 116.28, 103.53), (58.4, 57.12, 57.38))
"""Mean and standard deviation; the authors round ImageNet's to two decimals before use."""
_MMSEG_LINEAR = {"decode_head.conv_seg.weight", "decode_head.conv_seg.bias"}


@dataclass(frozen=True)
class SegmenterOptions:
    """Variant of Segmenter."""

    variant: str = option(
        "tiny", "Encoder: Vision Transformer of this size.", choices=tuple(VIT_SIZES)
    )
    patch: int = option(16, "Height and width of a patch, in pixels.", minimum=2, maximum=64)
    head: str = option("mask", "Decoder: mask transformer or linear.", choices=("mask", "linear"))
    distilled: bool = option(
        False, "Add the distillation token of DeiT, for encoders that were pretrained with it."
    )
    crop: int = option(
        512,
        "Height and width of the training crops, in pixels; position embeddings are learned for "
        "their patches and resized for other images.",
        minimum=2,
        maximum=4096,
    )
    code: str = option(
        "authors",
        "Whose details: the authors' (bilinear positions, padding cut off) or MMSegmentation's "
        "(bicubic positions, padding resized away).",
        choices=tuple(_CODES),
    )
    layers: int = option(
        0, "Transformer layers of the encoder; 0 takes the published number.", minimum=0, maximum=64
    )
    head_layers: int = option(
        2, "Transformer layers of the mask transformer.", minimum=0, maximum=64
    )
    drop_path: float = option(
        0.1,
        "Chance that a training image skips the encoder's last layer; it grows linearly from 0 at "
        "the first.",
        minimum=0,
        maximum=0.9,
    )
    dropout: float = option(0.1, "Dropout in the mask transformer.", minimum=0, maximum=0.9)


class LinearHead(nn.Module):
    """A classifier of patches."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, classes, 1)
        nn.init.normal_(self.classify.weight, std=0.02)
        if self.classify.bias is not None:
            nn.init.zeros_(self.classify.bias)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.classify(features)
        return out


class MaskTransformer(nn.Module):
    """Patches and class embeddings through transformer layers; their cosines are the logits."""

    def __init__(self, width: int, classes: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.classes = nn.Parameter(torch.empty(1, classes, width))
        self.blocks = nn.ModuleList(
            Block(width, eps=_HEAD_EPS, dropout=dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=_HEAD_EPS)
        self.project_patches = nn.Linear(width, width, bias=False)
        self.project_classes = nn.Linear(width, width, bias=False)
        self.mask_norm = nn.LayerNorm(classes, eps=_HEAD_EPS)
        self.apply(initialise_linear)
        nn.init.normal_(self.classes, std=0.02)
        for projection in (self.project_patches, self.project_classes):
            nn.init.normal_(projection.weight, std=width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        count, _, rows, columns = features.shape
        tokens = self.project(features.flatten(2).transpose(1, 2))
        tokens = torch.cat([tokens, self.classes.expand(count, -1, -1)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        patches, classes = tokens.split([rows * columns, self.classes.shape[1]], 1)
        patches = F.normalize(self.project_patches(patches), dim=2)
        classes = F.normalize(self.project_classes(classes), dim=2)
        masks: Tensor = self.mask_norm(patches @ classes.transpose(1, 2))
        return masks.transpose(1, 2).unflatten(2, (rows, columns))


def _variants() -> dict[str, dict[str, Any]]:
    """Return the variants of the paper and of the authors' model zoo, named as there."""
    found: dict[str, dict[str, Any]] = {}
    for short, variant in (("t", "tiny"), ("s", "small"), ("b", "base"), ("l", "large")):
        crop = {"crop": 640} if short == "l" else {}
        found[f"seg-{short}-mask16"] = {"variant": variant, **crop}
        found[f"seg-{short}-linear16"] = {"variant": variant, "head": "linear", **crop}
    for short, variant in (("s", "small"), ("b", "base")):
        found[f"seg-{short}-linear32"] = {"variant": variant, "head": "linear", "patch": 32}
    found["seg-b-linear8"] = {"variant": "base", "head": "linear", "patch": 8}
    for head in ("mask", "linear"):
        found[f"seg-bdeit-{head}16"] = {"variant": "base", "head": head, "distilled": True}
    return found


@ARCHITECTURES.register("segmenter")
class Segmenter(SegmentationNetwork):
    """Segmenter; `forward` gives one vector of logits per patch.

    With the authors' details, an image whose height or width is no multiple of the patch gets
    logits at its own size: those of the padding are cut off, which no coarser grid can tell.
    """

    Options = SegmenterOptions
    facts = Facts(
        title="Segmenter",
        paper="Strudel et al.: Segmenter, ICCV 2021, arXiv:2105.05633",
        year=2021,
        output_stride=16,
        published="38.1 (Ti) to 51.8 (L) mIoU on ADE20K val, mask transformer, single scale "
        "(the authors' model zoo)",
        sizes=tuple(
            # Their files hold the classifiers of the pretraining as well.
            PublishedSize(millions, 150, _variants()[name], "the authors' model zoo", tolerance)
            for name, millions, tolerance in (
                ("seg-t-mask16", 7, 0.05),
                ("seg-s-mask16", 27, 0.04),
                ("seg-b-mask16", 106, 0.04),
                ("seg-b-linear8", 89, 0.01),
                ("seg-l-mask16", 334, 0.01),
                ("seg-bdeit-linear16", 87, 0.01),
                ("seg-bdeit-mask16", 106, 0.04),
            )
        ),
    )
    variants = _variants()
    smallest = {"variant": "tiny", "crop": 64, "layers": 2, "head_layers": 1, "drop_path": 0.0}

    def __init__(self, classes: int, options: SegmenterOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: SegmenterOptions = self.options
        width, layers = VIT_SIZES[chosen.variant]
        interpolation, eps = _CODES[chosen.code]
        self.encoder = VisionTransformer(
            width,
            chosen.layers or layers,
            patch=chosen.patch,
            crop=chosen.crop,
            tokens=2 if chosen.distilled else 1,
            eps=eps,
            interpolation=interpolation,
            final_norm=True,
            drop_path=chosen.drop_path,
        )
        self.head: nn.Module
        if chosen.head == "linear":
            self.head = LinearHead(width, classes)
        else:
            self.head = MaskTransformer(
                width, classes, layers=chosen.head_layers, dropout=chosen.dropout
            )

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(image)[-1])
        height, width = image.shape[-2:]
        patch = self.options.patch
        if self.options.code == "mmseg" or not (height % patch or width % patch):
            return out
        padded = (out.shape[-2] * patch, out.shape[-1] * patch)
        full = F.interpolate(out, size=padded, mode="bilinear", align_corners=False)
        return full[..., :height, :width]

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layouts of the authors' code and of MMSegmentation."""
        source = _source(state_dict)
        if source == "segmenter":
            return from_rstrudel(state_dict)
        if source == "mmsegmentation":
            return from_mmsegmentation(state_dict, interpolation=_CODES["mmseg"][0])
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        source = _source(state_dict)
        if source is None:
            return None
        tensors = cls.rename_keys(state_dict)
        mask = "head.classes" in tensors
        head = tensors["head.classes" if mask else "head.classify.weight"]
        extra = tensors.get("encoder.tokens")
        tokens = int(extra.shape[1]) if extra is not None and extra.ndim == 3 else 1
        encoder = read_encoder(tensors, tokens)
        if encoder is None or tokens > 2 or head.ndim != (3 if mask else 4):
            return None
        classes = int(head.shape[1 if mask else 0])
        head_layers = sum(
            re.fullmatch(r"head\.blocks\.\d+\.norm1\.weight", name) is not None for name in tensors
        )
        options = SegmenterOptions(
            variant=encoder.variant,
            patch=encoder.patch,
            head="mask" if mask else "linear",
            distilled=tokens == 2,
            crop=encoder.crop,
            code="authors" if encoder.interpolation == "bilinear" else "mmseg",
            layers=encoder.layers,
            head_layers=head_layers if mask else 2,
        )
        return Recognition(
            source, options, classes, _published_preprocessing(source, options, classes)
        )


def _source(state_dict: StateDict) -> str | None:
    """Return whose layout it is, None when it is no Segmenter."""
    if is_rstrudel(state_dict):
        return "segmenter"
    if is_mmsegmentation(state_dict) and "backbone.ln1.weight" in state_dict:
        # Many heads end in ``conv_seg``; the linear one is nothing else.
        head = {name for name in state_dict if name.startswith("decode_head.")}
        return "mmsegmentation" if "decode_head.cls_emb" in head or head == _MMSEG_LINEAR else None
    if "encoder.patches.weight" in state_dict and "encoder.norm.weight" in state_dict:
        linear = "head.classify.weight" in state_dict
        return "segstudio" if linear or "head.classes" in state_dict else None
    return None


def _published_preprocessing(
    source: str, options: SegmenterOptions, classes: int
) -> Preprocessing | None:
    """Return the test path: windows as large as the training crops that overlap by 32 pixels.

    MMSegmentation's first file of the large variant was tested at (2048, 640), the one that
    replaced it at (2560, 640); their tensors are alike.
    """
    if source == "segstudio":
        return None
    crop = options.crop
    size = (4 * crop, crop)
    if source == "segmenter" and classes == 19:
        size = (2048, 1024)
    elif source == "segmenter" and classes in {59, 60}:
        size = (2080, 520)
    stride = crop - 32 if crop > 32 else crop
    mean, std = _DEIT if options.distilled else _VIT
    return Preprocessing(
        mean=mean,
        std=std,
        resize="keep-ratio",
        size=size,
        window=(crop, crop),
        stride=(stride, stride),
        fill_window=source == "segmenter",
        average="probabilities" if source == "segmenter" else "logits",
    )
