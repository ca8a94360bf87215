"""DecoupledNet's training: image-level labels teach one half, few masks the other.

S. Hong, H. Noh, B. Han: "Decoupled Deep Neural Network for Semi-supervised Semantic Segmentation",
NIPS 2015, arXiv:1506.04924.

The first half of the steps trains the classification network on every image, with the set of
classes that is in it and nothing else of its label map.  It is then left as it is, and the second
half trains the bridging layers and the segmentation network on the images with masks: for each crop
one of its classes is drawn, and the network learns to tell that class from the rest.  Each half
has a learning rate of its own, as the two trainings of the paper do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.architectures.decouplednet import DecoupledNet
from segstudio.core.errors import UsageError
from segstudio.training.data import Batch, UnlabelledImages, iterate_batches
from segstudio.training.objective import Objective, Parts, Piece, with_stream

__all__ = ["Decoupled"]

_CLASSIFICATION = 0.5
"""Share of the steps that train the classification network."""


class Decoupled(Objective):
    """First which classes, then where; see the module."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        if not isinstance(parts.network, DecoupledNet):
            raise UsageError(
                "The mode decoupled trains the architecture decouplednet; name it with -a."
            )
        self._network = parts.network
        # A crop shows most of its image, or its labels would not be the image's.
        self._options = with_stream(parts.plan, scale_minimum=0.5, scale_maximum=0.8)
        self._half = math.ceil(_CLASSIFICATION * parts.steps)
        self._batches: Iterator[Batch] | None = None
        self._labels: dict[str, Tensor] = {}
        for data in (parts.plan.training, parts.plan.unlabelled):
            assert data is not None
            self._read_labels(data)

    def _read_labels(self, data: UnlabelledImages) -> None:
        """Keep which classes each image has; nothing else of a label map is used."""
        classes = len(data.label_space)
        for index in range(len(data)):
            label_map = data.read(index)[1]
            counts = np.bincount(label_map.reshape(-1), minlength=classes)[:classes]
            self._labels[data.sample_id(index)] = torch.from_numpy(counts > 0).float()

    def backward(self, batch: Batch, backward: Callable[[Tensor], None]) -> Tensor:
        """Return the loss of the half that is being trained."""
        if batch.step < self._half:
            weak = self._weak(batch.step)
            losses = [self._which_classes(batch), self._which_classes(weak)]
        else:
            for module in self._network.classification_modules():
                module.eval()
            pieces = self.pieces(batch)
            generator = np.random.default_rng(
                [self.parts.plan.options.seed, 3, batch.step, self.parts.crew.rank]
            )
            losses = [self._where(piece, generator) / len(pieces) for piece in pieces]
        total = torch.zeros((), device=self.parts.device)
        for loss in losses:
            loss = loss / self.parts.crew.size
            backward(loss)
            total = total + loss.detach()
        return total

    def phase(self, step: int) -> tuple[int, int]:
        """Return where a step stands in its half."""
        if step < self._half:
            return step, self._half
        return step - self._half, self.parts.steps - self._half

    def _which_classes(self, batch: Batch) -> Tensor:
        image = self.parts.normalise(batch.images)
        labels = torch.stack([self._labels[name] for name in batch.sample_ids])
        with self.parts.casting():
            scores = self._network.class_scores(image)
        return F.binary_cross_entropy_with_logits(scores.float(), labels.to(image.device))

    def _where(self, piece: Piece, generator: np.random.Generator) -> Tensor:
        network, ignore = self._network, self.parts.pixel_loss.ignore_index
        chosen = []
        for target in piece.target:
            present = torch.unique(target[target != ignore]).tolist()
            chosen.append(int(generator.choice(present)) if present else 0)
        size = (piece.image.shape[-2], piece.image.shape[-1])
        with self.parts.casting():
            with torch.no_grad():
                features, indices = network.encode(piece.image)
                _, first, second = network.classifier_of_images(features)
                saliency = torch.cat(
                    [
                        network.classifier_of_images.gradient(
                            index, first[place : place + 1], second[place : place + 1]
                        )
                        for place, index in enumerate(chosen)
                    ]
                )
            odds = network.log_odds(features, saliency, indices, size)[:, 0].float()
        wanted = torch.tensor(chosen, device=odds.device).view(-1, 1, 1)
        labelled = (piece.target != ignore).float()
        each = F.binary_cross_entropy_with_logits(
            odds, (piece.target == wanted).float(), reduction="none"
        )
        return (each * labelled).sum() / labelled.sum().clamp(min=1)

    def _weak(self, step: int) -> Batch:
        parts = self.parts
        if self._batches is None:
            assert parts.plan.unlabelled is not None
            self._batches = iterate_batches(
                parts.plan.unlabelled,
                self._options,
                first_step=step,
                steps=parts.steps,
                rank=parts.crew.rank,
                size=parts.crew.size,
                stream=1,
            )
        return next(self._batches)

    def close(self) -> None:
        """End the thread that makes batches."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]
