"""Distillation: a network learns from the masks and from a better network's probabilities.

G. Hinton, O. Vinyals, J. Dean: "Distilling the Knowledge in a Neural Network", 2015,
arXiv:1503.02531, section 2: with ``p`` the teacher's and ``q`` the student's softmax of logits
divided by the temperature ``T``,

    loss = (1 - a) * supervised + a * T^2 * mean over the labelled pixels of -sum_c p_c log q_c

The teacher sees the very crop that the student sees, in the same colours (L. Beyer et al.:
"Knowledge distillation: A good teacher is patient and consistent", CVPR 2022, arXiv:2106.05237).
A pixel counts with its class's weight, as in the supervised loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.training.objective import Normaliser, Objective, Parts

__all__ = ["Distillation"]


class Distillation(Objective):
    """The supervised losses and the teacher's probabilities; see the module."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        teacher = parts.plan.teacher
        assert teacher is not None
        network = teacher.network.to(parts.device).eval()
        network.to(memory_format=torch.channels_last)
        self._teacher = network.requires_grad_(False)
        self._theirs = Normaliser(teacher.preprocessing, parts.device)

    def piece_loss(
        self, image: Tensor, target: Tensor, weights: Tensor | None, mass: Tensor, share: float
    ) -> Tensor:
        """Return the contribution of one part of a step."""
        options, pixel_loss = self.parts.plan.options, self.parts.pixel_loss
        with self.parts.casting():
            logits, further = self.supervision(image)
        hard = self.logits_loss(logits, further, target, weights, mass, share)
        with torch.no_grad(), self.parts.casting():
            wanted = self._teacher.logits(self._theirs.from_input(image, self.parts.normalise))
        warm = options.temperature
        each = F.cross_entropy(
            logits.float() / warm, (wanted.float() / warm).softmax(1), reduction="none"
        )
        counted = pixel_loss.each_weight(target, weights)
        soft = (each * counted).sum() / mass.clamp(min=1e-6)
        return (1 - options.distillation) * hard + options.distillation * warm**2 * soft
