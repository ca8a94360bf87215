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
    "Recognition",
    "SegmentationNetwork",
    "StateDict",
    "pad_to_multiple",
]

StateDict = Mapping[str, Tensor]
"""Tensors by name, as ``nn.Module.state_dict`` gives them."""


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
    """

    title: str
    paper: str
    year: int
    output_stride: int
    published: str = ""


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
    """

    name: ClassVar[str]
    Options: ClassVar[type]
    facts: ClassVar[Facts]
    align_corners: ClassVar[bool] = False

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
