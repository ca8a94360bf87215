"""Mean teacher: a network learns from the pseudo-labels of its own moving average.

A. Tarvainen, H. Valpola: "Mean teachers are better role models", NeurIPS 2017, arXiv:1703.01780.
D.-H. Lee: "Pseudo-Label", ICML workshop 2013.
G. French et al.: "Semi-supervised semantic segmentation needs strong, varied perturbations",
BMVC 2020, arXiv:1906.01916.

Each step has as many unlabelled crops as labelled ones.  The teacher (the moving average of the
student's weights, which is also what is validated and saved) labels the plain crop; its labels
count where it is sure.  The student sees the crop in other colours, a box of it cut from another
crop of the batch, and learns these labels.  Their weight grows during the first quarter of the
training: before that the teacher knows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.training.augment import change_colors
from segstudio.training.data import Batch, iterate_batches
from segstudio.training.objective import Objective, Parts, with_stream

__all__ = ["TEACHER_DECAY", "MeanTeacher"]

TEACHER_DECAY = 0.99
_SURE = 0.9
"""Probability from which the teacher's label counts."""
_RAMP = 0.25
"""Share of the training in which the weight of the pseudo-labels grows."""


class MeanTeacher(Objective):
    """The supervised losses and the teacher's pseudo-labels; see the module."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        assert parts.plan.unlabelled is not None and parts.average is not None
        self._plain = with_stream(parts.plan, color_jitter=0.0, hue=0.0, gamma=0.0, blur=0.0)
        self._strong = with_stream(parts.plan, color_jitter=0.5, hue=0.05, gamma=0.5, blur=0.5)
        self._batches: Iterator[Batch] | None = None

    def backward(self, batch: Batch, backward: Callable[[Tensor], None]) -> Tensor:
        """Add the pseudo-labels' loss to the supervised one."""
        total = super().backward(batch, backward)
        loss = self._consistency(self._unlabelled(batch.step), batch.step)
        backward(loss)
        return total + loss.detach()

    def _unlabelled(self, step: int) -> Batch:
        parts = self.parts
        if self._batches is None:
            assert parts.plan.unlabelled is not None
            self._batches = iterate_batches(
                parts.plan.unlabelled,
                self._plain,
                first_step=step,
                steps=parts.steps,
                rank=parts.crew.rank,
                size=parts.crew.size,
                stream=1,
            )
        return next(self._batches)

    def _consistency(self, batch: Batch, step: int) -> Tensor:
        parts = self.parts
        assert parts.average is not None
        generator = np.random.default_rng([parts.plan.options.seed, 3, step, parts.crew.rank])
        parts.average.eval()
        with torch.no_grad(), parts.casting():
            plain = parts.average.logits(parts.normalise(batch.images))
        sureness, label = plain.float().softmax(1).max(1)
        colored = np.stack(
            [change_colors(image, self._strong, generator) for image in batch.images]
        )
        image = parts.normalise(colored)
        image, label, sureness = _mixed((image, label, sureness), generator)
        with parts.casting():
            logits = parts.network.logits(image)
        loss = F.cross_entropy(logits.float(), label, reduction="none")
        sure = (sureness >= _SURE).float()
        share = min(1.0, step / max(1.0, _RAMP * parts.steps))
        weight = parts.plan.options.unlabelled_weight * math.exp(-5 * (1 - share) ** 2)
        return weight * (loss * sure).mean() / parts.crew.size

    def close(self) -> None:
        """End the thread that makes batches."""
        if self._batches is not None:
            self._batches.close()  # type: ignore[attr-defined]


def _mixed(maps: tuple[Any, ...], generator: np.random.Generator) -> tuple[Any, ...]:
    """Replace a box of each image by that of the next image of the batch, in all maps alike.

    The box has half of the crop's area, as in CutMix for segmentation (French et al. 2020).
    """
    height, width = maps[0].shape[-2:]
    tall = min(height, max(1, round(height * generator.uniform(0.5, 1.0))))
    wide = min(width, max(1, round(0.5 * height * width / tall)))
    top = int(generator.integers(0, height - tall + 1))
    left = int(generator.integers(0, width - wide + 1))
    box = np.s_[..., top : top + tall, left : left + wide]
    found = []
    for entry in maps:
        mixed = entry.clone()
        mixed[box] = entry.roll(1, 0)[box]
        found.append(mixed)
    return tuple(found)
