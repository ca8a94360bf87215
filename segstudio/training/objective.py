"""What a step minimises: the supervised losses, which the semi-supervised modes add to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segstudio.architectures._base import SegmentationNetwork
from segstudio.core.preprocessing import Preprocessing
from segstudio.training.data import Batch
from segstudio.training.distributed import Crew
from segstudio.training.losses import PixelLoss
from segstudio.training.plan import TrainPlan
from segstudio.training.supervision import Supervision

__all__ = ["Normaliser", "Objective", "Parts"]


class Normaliser:
    """Turns uint8 images into a network's input: ``(pixel - mean) / std`` in its channel order.

    Parameters
    ----------
    preprocessing : Preprocessing
    device : torch.device
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        self.device = device
        self._swapped = preprocessing.channel_order == "bgr"
        self.mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)

    def __call__(self, images: Any) -> Tensor:
        """Return (N, 3, H, W) float32 of (N, H, W, 3) uint8 images."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()
        if self._swapped:
            pixels = pixels.flip(1)
        return ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def from_input(self, image: Tensor, other: Normaliser) -> Tensor:
        """Return the input of this normaliser's network, of what ``other`` made of the images.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W)
        other : Normaliser
        """
        pixels = image * other.std + other.mean
        if self._swapped != other._swapped:
            pixels = pixels.flip(1)
        return (pixels - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class Parts:
    """What an objective works with.

    Attributes
    ----------
    plan : TrainPlan
    network : SegmentationNetwork
        On its device.
    average : SegmentationNetwork or None
        Moving average of the network's weights.
    pixel_loss : PixelLoss
    normalise : Normaliser
    device : torch.device
    autocast : torch.dtype or None
    crew : Crew
    steps : int
        Of the whole training.
    """

    plan: TrainPlan
    network: SegmentationNetwork
    average: SegmentationNetwork | None
    pixel_loss: PixelLoss
    normalise: Normaliser
    device: torch.device
    autocast: torch.dtype | None
    crew: Crew
    steps: int

    def casting(self) -> torch.autocast:
        """Return the context of the forward pass."""
        dtype = self.autocast or torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.autocast is not None)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of a step's images on the device; see `PixelLoss` for the meaning of the fields."""

    image: Tensor
    target: Tensor
    weights: Tensor | None


class Objective:
    """The supervised losses of a recipe.

    Parameters
    ----------
    parts : Parts
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        options = parts.plan.options
        self.supervision = Supervision(parts.network, options.auxiliary_weight).to(parts.device)
        self._loss: Callable[..., Tensor] = (
            torch.compile(self.piece_loss) if options.compile else self.piece_loss
        )

    def modules(self) -> list[nn.Module]:
        """Return the modules that the recipe's optimizer trains."""
        return [self.parts.network, self.supervision]

    def pieces(self, batch: Batch) -> list[Piece]:
        """Return a step's images in parts of the recipe's batch."""
        device, size = self.parts.device, self.parts.plan.options.batch
        target = torch.from_numpy(batch.label_maps.astype(np.int64)).to(device)
        weights = None
        if batch.weights is not None:
            weights = torch.from_numpy(batch.weights).to(device).float() / 255
        found = []
        for start in range(0, len(target), size):
            part = slice(start, start + size)
            image = self.parts.normalise(batch.images[part])
            found.append(Piece(image, target[part], None if weights is None else weights[part]))
        return found

    def backward(self, batch: Batch, backward: Callable[[Tensor], None]) -> Tensor:
        """Compute this process's contribution to a step's loss, and its gradients.

        Parameters
        ----------
        batch : Batch
        backward : callable
            Called with each part of the loss.

        Returns
        -------
        Tensor of shape ()
            Detached.
        """
        pieces = self.pieces(batch)
        loss = self.parts.pixel_loss
        mass = torch.stack([loss.mass(piece.target, piece.weights) for piece in pieces]).sum()
        mass = self.parts.crew.sum(mass)
        share = 1.0 / (len(pieces) * self.parts.crew.size)
        total = torch.zeros((), device=self.parts.device)
        for piece in pieces:
            value = self._loss(piece.image, piece.target, piece.weights, mass, share)
            backward(value)
            total = total + value.detach()
        return total

    def piece_loss(
        self, image: Tensor, target: Tensor, weights: Tensor | None, mass: Tensor, share: float
    ) -> Tensor:
        """Return the contribution of one part of a step."""
        with self.parts.casting():
            logits, further = self.supervision(image)
        return self.logits_loss(logits, further, target, weights, mass, share)

    def logits_loss(
        self,
        logits: Tensor,
        further: list[Tensor],
        target: Tensor,
        weights: Tensor | None,
        mass: Tensor,
        share: float,
    ) -> Tensor:
        """Return the supervised loss of a network's logits and of those on its way."""
        loss = self.parts.pixel_loss
        value = loss(logits, target, mass=mass, share=share, pixel_weights=weights)
        for entry in further:
            extra = loss(entry, target, mass=mass, share=share, pixel_weights=weights)
            value = value + self.supervision.weight * extra
        return value

    def phase(self, step: int) -> tuple[int, int]:
        """Return the number of a step in its part of the training, and the part's steps.

        The learning rate begins anew with each part; the supervised losses have one part.

        Parameters
        ----------
        step : int
            From 0.
        """
        return step, self.parts.steps

    def after_step(self, batch: Batch) -> None:
        """Do what a mode does behind the optimizer's step; the supervised one does nothing."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs beside network and optimizer."""
        found = self.supervision.state_dict()
        return {"supervision": found} if found else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        if "supervision" in state:
            self.supervision.load_state_dict(state["supervision"])

    def close(self) -> None:
        """End what the objective started."""


def with_stream(plan: TrainPlan, *, batch: int | None = None, **changes: Any) -> Any:
    """Return a plan's options for another stream of images, all of a step in one pass."""
    options = plan.options
    values = {"batch": batch or options.batch, "accumulate": 1, "copy_paste": 0.0, **changes}
    return dataclasses.replace(options, **values)
