"""How strongly an encoder's stages answer at each place: the L2 norm over their channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from segstudio.architectures.mask_rcnn import MaskRCNN
from segstudio.core.errors import UsageError
from segstudio.core.types import Image
from segstudio.inference.insight.view import NetworkView, Piece, TokenGrid, grid_extent
from segstudio.inference.model import Model

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["StageNorms", "feature_norms", "find_stages"]


@dataclass(frozen=True, slots=True, eq=False)
class StageNorms:
    """The norms of one stage's features.

    Attributes
    ----------
    name : str
        Dotted name of the module, with the number of the map where it returns several.
    channels : int
    stride : float
        Input pixels from one feature to the next, down.
    grid : (int, int)
        Rows and columns of the features of the first pass.
    picture : ndarray of shape (H, W), float32
        ``sqrt(sum over channels of f ** 2)``, interpolated bilinearly; the mean of the passes where
        windows overlap.
    """

    name: str
    channels: int
    stride: float
    grid: tuple[int, int]
    picture: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a network made of a piece before its first convolution, in pixels of the piece."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, image: Tensor, given: Tensor) -> _Frame:
        """Tell padding at the bottom and right, padding all around, and resizing apart.

        Parameters
        ----------
        image : Tensor of shape (1, 3, h', w')
            What the first convolution gets.
        given : Tensor of shape (1, 3, h, w)
            What the network got.
        """
        height, width = (int(size) for size in given.shape[2:])
        down, right = (int(image.shape[axis]) - int(given.shape[axis]) for axis in (2, 3))
        for top, left in ((0, 0), (down // 2, right // 2)):
            if torch.equal(image[..., top : top + height, left : left + width], given):
                return cls(-top, -left, height + down, width + right)
        return cls(0, 0, height, width)

    def grid(self, rows: int, columns: int) -> TokenGrid:
        """Return where a map of features lies in the piece."""
        height, width = grid_extent(self.height, rows), grid_extent(self.width, columns)
        return TokenGrid(rows, columns, height, width, float(self.top), float(self.left))


class _Gathered:
    """The picture of a stage while passes come in."""

    def __init__(self, size: tuple[int, int], grid: TokenGrid, channels: int) -> None:
        self.channels = channels
        self.grid = grid.rows, grid.columns
        self.stride = grid.height / grid.rows
        self.total = np.zeros(size, np.float32)


def find_stages(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules whose outputs are the stages of a network's encoder.

    That is the module `encoder` when it returns several maps; the parts of `encoder` or `stages`
    when it is a container; otherwise the parts of the network up to where the maps grow again.
    A detector with a frame of its own around the image has none that could be placed.
    """
    if isinstance(network, MaskRCNN):
        return []
    for name in ("encoder", "stages"):
        module = getattr(network, name, None)
        if isinstance(module, (nn.ModuleList, nn.Sequential)):
            return [(f"{name}.{part}", child) for part, child in module.named_children()]
        if isinstance(module, nn.Module):
            return [(name, module)]
    names: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            names += [(f"{name}.{part}", entry) for part, entry in child.named_children()]
        else:
            names.append((name, child))
    return names


def feature_norms(model: Model, image: Image) -> tuple[StageNorms, ...]:
    """Return the feature norm maps of the stages of a model's encoder, in order.

    Parameters
    ----------
    model : Model
        Nothing else may run its network at the same time.
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    UsageError
        When the network shows no feature maps.
    SegStudioError
        When a pass does not fit into memory.
    """
    view = NetworkView(model, image)
    stages: dict[str, _Gathered] = {}
    counts = np.zeros(view.image_size, np.float32)
    for piece in view.pieces():
        counts[piece.area.slices] += 1
        maps, frame = _encoder_maps(view, piece)
        for name, features in maps:
            norms = features[0].float().norm(dim=0).cpu().numpy()
            grid = frame.grid(*norms.shape)
            stage = stages.setdefault(
                name, _Gathered(view.image_size, grid, int(features.shape[1]))
            )
            stage.total[piece.area.slices] += view.spread(norms, grid, piece)
    if not stages:
        raise UsageError(
            f"{model.checkpoint.path.name} ({model.checkpoint.architecture}) shows no feature "
            "maps; look at its class probabilities."
        )
    return tuple(
        StageNorms(name, stage.channels, stage.stride, stage.grid, stage.total / counts)
        for name, stage in stages.items()
    )


def _encoder_maps(view: NetworkView, piece: Piece) -> tuple[list[tuple[str, Tensor]], _Frame]:
    """Return the stages' feature maps of one pass, without those of a decoder, and their frame."""
    seen: list[tuple[str, Tensor]] = []
    frames: list[_Frame] = []
    handles: list[Any] = []

    def see_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not frames:
            frames.append(_Frame.of(inputs[0], piece.batch))

    try:
        for name, module in find_stages(view.network):
            handles.append(module.register_forward_hook(_keeper(name, seen)))
        for module in view.network.modules():
            if isinstance(module, nn.Conv2d) and module.in_channels == piece.batch.shape[1]:
                handles.append(module.register_forward_pre_hook(see_input))
        view.run(piece)
    finally:
        for handle in handles:
            handle.remove()
    kept: list[tuple[str, Tensor]] = []
    for name, features in seen:
        # Where maps grow again the decoder begins.
        if kept and features.shape[2] > kept[-1][1].shape[2]:
            break
        kept.append((name, features))
    return kept, frames[0] if frames else _Frame(0, 0, *piece.size)


def _keeper(name: str, seen: list[tuple[str, Tensor]]) -> Callable[..., None]:
    """Return a hook that keeps the maps which a module returns."""

    def keep(_: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            found: Sequence[tuple[str, object]] = [(name, output)]
        elif isinstance(output, list):
            found = [(f"{name}.{index}", entry) for index, entry in enumerate(output)]
        elif isinstance(output, tuple):  # features and what the decoder needs beside them
            found = [(name, output[0])] if output else []
        else:
            found = []
        seen.extend(
            (label, entry)
            for label, entry in found
            if isinstance(entry, torch.Tensor) and entry.ndim == 4
        )

    return keep
