"""The pixel-wise losses of a training: cross-entropy and its variants, soft Dice.

- class weights, label smoothing, weights of single pixels
- online hard example mining: only the share of pixels whose loss is highest counts (Z. Wu, C. Shen,
  A. van den Hengel: "High-performance Semantic Segmentation Using Very Deep Fully Convolutional
  Networks", 2016, arXiv:1604.04339, section 2.3)
- soft Dice over the classes (F. Milletari, N. Navab, S.-A. Ahmadi: "V-Net", 3DV 2016)

A loss here is a step's *contribution*: parts of a step (passes that are accumulated, processes that
work side by side) may be added up, and their gradients with them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.training.recipe import TrainOptions

__all__ = ["PixelLoss", "soft_dice"]


class PixelLoss:
    """Cross-entropy over labelled pixels, with what the recipe adds to it.

    Parameters
    ----------
    options : TrainOptions
        Label smoothing, hard examples, Dice.
    weights : Tensor of shape (C,) or None
        Of the classes.
    ignore_index : int
        Pixels of this target cost nothing.
    """

    def __init__(self, options: TrainOptions, *, weights: Tensor | None, ignore_index: int) -> None:
        self.smoothing = options.label_smoothing
        self.hard_share = options.ohem
        self.dice = options.dice
        self.weights = weights
        self.ignore_index = ignore_index

    def mass(self, target: Tensor, pixel_weights: Tensor | None = None) -> Tensor:
        """Return what a sum over these pixels is divided by: their weights' sum.

        Parameters
        ----------
        target : Tensor of shape (N, H, W), int64
        pixel_weights : Tensor of shape (N, H, W), optional

        Returns
        -------
        Tensor of shape (), float32
            0 when every pixel is ignored.
        """
        if self.weights is None and pixel_weights is None:
            return (target != self.ignore_index).sum().float()
        return self.each_weight(target, pixel_weights).sum()

    def each_weight(self, target: Tensor, pixel_weights: Tensor | None = None) -> Tensor:
        """Return how much each pixel counts: (N, H, W) float32, 0 where it is ignored."""
        labelled = target != self.ignore_index
        share = labelled.float()
        if self.weights is not None:
            share = self.weights[target.masked_fill(~labelled, 0)] * labelled
        return share if pixel_weights is None else share * pixel_weights

    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        *,
        mass: Tensor,
        share: float = 1.0,
        pixel_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the contribution of some of a step's images.

        Parameters
        ----------
        logits : Tensor of shape (N, C, H, W)
        target : Tensor of shape (N, H, W), int64
        mass : Tensor of shape ()
            `mass` of all of the step's images: what this part's sum is divided by.
        share : float
            N over the step's number of images: the weight of the parts of the loss that are means
            of their own (hard examples, Dice).
        pixel_weights : Tensor of shape (N, H, W), optional
            0..1 of each pixel.

        Returns
        -------
        Tensor of shape (), float32
            0 when every pixel is ignored.
        """
        logits = logits.float()
        if self.hard_share:
            loss = share * self._hard(logits, target, pixel_weights)
        elif pixel_weights is not None:
            loss = (self._each(logits, target) * pixel_weights).sum() / mass.clamp(min=1e-6)
        else:
            total = F.cross_entropy(
                logits,
                target,
                weight=self.weights,
                ignore_index=self.ignore_index,
                label_smoothing=self.smoothing,
                reduction="sum",
            )
            loss = total / mass.clamp(min=1.0 if self.weights is None else 1e-6)
        if self.dice:
            dice = soft_dice(logits, target, ignore_index=self.ignore_index)
            loss = loss + self.dice * share * dice
        return loss

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each pixel, (N, H, W); 0 where it is ignored."""
        return F.cross_entropy(
            logits,
            target,
            weight=self.weights,
            ignore_index=self.ignore_index,
            label_smoothing=self.smoothing,
            reduction="none",
        )

    def _hard(self, logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        each = self._each(logits, target)
        if pixel_weights is not None:
            each = each * pixel_weights
        labelled = int((target != self.ignore_index).sum())
        if not labelled:
            return each.sum()
        kept = max(1, round(self.hard_share * labelled))
        return each.flatten().topk(kept).values.mean()


def soft_dice(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Return ``1 - mean_c 2 sum(p g) / (sum(p) + sum(g))`` over the classes that are there.

    Parameters
    ----------
    logits : Tensor of shape (N, C, H, W)
    target : Tensor of shape (N, H, W), int64

    Returns
    -------
    Tensor of shape ()
        0..1; 0 when every pixel is ignored.
    """
    labelled = (target != ignore_index)[:, None]
    probabilities = logits.softmax(1) * labelled
    truth = F.one_hot(target.masked_fill(~labelled[:, 0], 0), logits.shape[1])
    truth = truth.permute(0, 3, 1, 2) * labelled
    axes = (0, 2, 3)
    both = (probabilities * truth).sum(axes)
    sizes = probabilities.sum(axes) + truth.sum(axes)
    present = truth.sum(axes) > 0
    scores = torch.where(present, 2 * both / sizes.clamp(min=1e-6), torch.ones_like(both))
    return (1 - scores).sum() / present.sum().clamp(min=1)
