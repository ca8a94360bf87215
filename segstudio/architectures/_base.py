"""What every architecture page provides, and the registry that finds the pages.

A page is one module of this package: the paper in its header, small modules top to bottom, an
Options dataclass, and a `SegmentationNetwork` entered with ``@ARCHITECTURES.register(name)``.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.core.preprocessing import Preprocessing
from segstudio.core.registry import Registry

__all__ = [
    "ARCHITECTURES",
    "Facts",
    "PublishedSize",
    "Recognition",
    "SegmentationNetwork",
    "StateDict",
    "pad_to_multiple",
]

StateDict = Mapping[str, Tensor]
"""Tensors by name, as ``nn.Module.state_dict`` gives them."""


@dataclass(frozen=True, slots=True)
class PublishedSize:
    """A published number of parameters, which the contract tests hold against ours.

    Attributes
    ----------
    millions : float
        The published figure.
    classes : int
        Number of outputs that it was counted with.
    options : mapping
        The variant, as values of the page's Options.
    source : str
        Where the figure stands.
    tolerance : float
        Relative difference that rounding or an unclear count in the source leaves open.
    """

    millions: float
    classes: int
    options: Mapping[str, Any]
    source: str
    tolerance: float = 0.01


@dataclass(frozen=True, slots=True)
class Facts:
    """What the literature says of an architecture.

    Attributes
    ----------
    title : str
        As the field writes it ("U-Net").
    paper, year : str, int
        Authors, title and where it appeared; year of publication.
    output_stride : int
        Input size over the size of the finest features that the head sees.
    published : str
        A published figure with its data set, empty when there is none to name.
    sizes : tuple of PublishedSize
        Published parameter counts.
    """

    title: str
    paper: str
    year: int
    output_stride: int
    published: str = ""
    sizes: tuple[PublishedSize, ...] = ()


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a state dict turned out to be.

    Attributes
    ----------
    source : str
        Whose layout it is: "segstudio", "mmsegmentation", "huggingface", "pytorch-enet", ...
    options : Options
        The variant.
    classes : int
        Number of outputs.
    preprocessing : Preprocessing or None
        What that source does to images, None when the layout does not say.
    label_space : str or None
        Name of the label space, None when the layout does not say.
    """

    source: str
    options: Any
    classes: int
    preprocessing: Preprocessing | None = None
    label_space: str | None = None


class SegmentationNetwork(nn.Module, abc.ABC):
    """A network from images to per-pixel class logits.

    Parameters
    ----------
    classes : int
        C, number of output classes.
    options : Options, optional
        Variant of the architecture; None takes the defaults.

    Attributes
    ----------
    variants : mapping
        The published variants by name, as values of Options; "" when the page has one only.
    smallest : mapping
        Options of the cheapest variant there is: for tests and first looks.
    classifier : str
        Dotted name of the submodule that turns features into logits, empty when no single one
        does; its input is what attention over scales looks at.
    trainable : bool
        Whether label maps alone can train it.
    needs_fp32 : bool
        Whether 16 bits lose labels: unpooling puts values where the encoder's maxima were, and
        rounding moves those.
    """

    name: ClassVar[str]
    Options: ClassVar[type]
    facts: ClassVar[Facts]
    align_corners: ClassVar[bool] = False
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {"": {}}
    smallest: ClassVar[Mapping[str, Any]] = {}
    classifier: ClassVar[str] = ""
    trainable: ClassVar[bool] = True
    needs_fp32: ClassVar[bool] = False

    def __init__(self, classes: int, options: Any = None) -> None:
        super().__init__()
        self.classes = classes
        self.options = self.Options() if options is None else options

    @abc.abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Return logits at the head's own resolution.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating
            Preprocessed images of any size from 1 x 1.

        Returns
        -------
        Tensor of shape (N, C, h, w)
            To be upsampled to (H, W) with the class's ``align_corners``.
        """

    def logits(self, image: Tensor) -> Tensor:
        """Return logits of shape (N, C, H, W), `forward` upsampled bilinearly."""
        out = self.forward(image)
        if out.shape[-2:] == image.shape[-2:]:
            return out
        return F.interpolate(
            out, size=image.shape[-2:], mode="bilinear", align_corners=self.align_corners
        )

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Return a foreign checkpoint's tensors under this page's names.

        A state dict that is in no layout the page knows comes back unchanged.
        """
        return dict(state_dict)

    @classmethod
    @abc.abstractmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        """Tell from names and shapes whether these are weights of this architecture.

        Parameters
        ----------
        state_dict : mapping of str to Tensor
            As found in the file, under this page's names or in a foreign layout it knows.

        Returns
        -------
        Recognition or None
            None when it is another architecture.
        """

    @property
    def output_stride(self) -> int:
        """`Facts.output_stride`, of this variant where variants differ."""
        return self.facts.output_stride

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(entry.numel() for entry in self.parameters())


ARCHITECTURES: Registry[type[SegmentationNetwork]] = Registry(
    "architecture", "segstudio.architectures"
)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) with zeros at the bottom and right to multiples of ``multiple``."""
    height, width = image.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    if not (bottom or right):
        return image
    return torch.nn.functional.pad(image, (0, right, 0, bottom))
