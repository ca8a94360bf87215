"""The options of a training: the seeds' recipe by default.

Random resize 0.5-2.0, crop, left-right flip, mean subtraction, pixel-wise cross-entropy with an
ignore index, SGD with momentum and weight decay and the "poly" learning rate
``lr * (1 - t / T) ** 0.9`` (R. Strudel et al.: "Segmenter", ICCV 2021, section 4.2; the poly
schedule from L.-C. Chen et al.: "DeepLab", 2018).  `RECIPES` has the other one, for transformers
that start from scratch: AdamW, warm-up, cosine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from segstudio.core.errors import UsageError
from segstudio.core.options import option
from segstudio.core.registry import did_you_mean

__all__ = ["RECIPES", "TrainOptions", "with_recipe"]


@dataclass(frozen=True)
class TrainOptions:
    """How to train; every field is a flag of ``segstudio train``."""

    epochs: int = option(100, "Passes over the training samples.", minimum=1)
    batch: int = option(8, "Images per pass of the network, on each device.", minimum=1)
    accumulate: int = option(
        1, "Passes whose gradients are added up before the weights change.", minimum=1
    )
    crop_height: int = option(360, "Height of the training crops, pixels.", minimum=16)
    crop_width: int = option(480, "Width of the training crops, pixels.", minimum=16)
    optimizer: str = option("sgd", "Optimizer.", choices=("sgd", "adamw"))
    learning_rate: float = option(0.01, "Learning rate after the warm-up.", minimum=0)
    weight_decay: float = option(1e-4, "Weight decay (decoupled for AdamW, L2 for SGD).", minimum=0)
    momentum: float = option(0.9, "Momentum of SGD, first beta of AdamW.", minimum=0, maximum=1)
    schedule: str = option(
        "poly", "How the learning rate falls after the warm-up.", choices=("poly", "cosine")
    )
    power: float = option(0.9, "Power of the poly schedule.", minimum=0)
    warmup: int = option(0, "Steps of linear warm-up.", minimum=0)
    clip_norm: float = option(0.0, "Largest norm of a step's gradient, 0 off.", minimum=0)
    scale_minimum: float = option(0.5, "Smallest random resize.", minimum=0.1)
    scale_maximum: float = option(2.0, "Largest random resize.", minimum=0.1)
    color_jitter: float = option(
        0.0, "Strength of random brightness, contrast and saturation, 0 off.", minimum=0, maximum=1
    )
    hue: float = option(
        0.0, "Largest random turn of the colour circle, in turns, 0 off.", minimum=0, maximum=0.5
    )
    gamma: float = option(
        0.0, "Largest random gamma: from 1 / (1 + x) to 1 + x, 0 off.", minimum=0, maximum=4
    )
    blur: float = option(0.0, "Chance of a Gaussian blur.", minimum=0, maximum=1)
    copy_paste: float = option(
        0.0,
        "Chance that half of the classes of another crop are pasted over a crop.",
        minimum=0,
        maximum=1,
    )
    class_weights: str = option(
        "none",
        "Weights of classes in the loss: enet is 1 / ln(1.02 + p), median is median frequency.",
        choices=("none", "enet", "median"),
    )
    class_weight_power: float = option(
        1.0, "Exponent on the class weights, below 1 softens them.", minimum=0, maximum=1
    )
    label_smoothing: float = option(0.0, "Label smoothing.", minimum=0, maximum=0.5)
    ohem: float = option(
        0.0,
        "Online hard example mining: the share of pixels, those of highest loss, that counts; "
        "0 off.",
        minimum=0,
        maximum=1,
    )
    dice: float = option(0.0, "Weight of a soft Dice loss beside the cross-entropy.", minimum=0)
    auxiliary_weight: float | None = option(
        None,
        "Weight of the losses on intermediate logits (PSPNet, DeepLabV3, FCN, G-FRNet, networks "
        "over several scales); none takes the published one, 0 turns them off.",
        minimum=0,
    )
    unlabelled_weight: float = option(
        1.0, "Weight of what the semi-supervised modes learn from unlabelled images.", minimum=0
    )
    distillation: float = option(
        0.5,
        "Share of the loss that is the teacher's (mode distillation); the masks have the rest.",
        minimum=0,
        maximum=1,
    )
    temperature: float = option(
        1.0, "What logits are divided by before the teacher is compared.", minimum=0.1, maximum=20
    )
    ema: float = option(
        0.0,
        "Decay of the moving average of weights that is validated and saved, 0 off.",
        minimum=0,
        maximum=0.9999,
    )
    precision: str = option(
        "auto",
        "Arithmetic of the forward pass: auto takes bf16 where the processor has it.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    compile: bool = option(False, "Compile the step with torch.compile: slow start, faster steps.")
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:N or mps.")
    seed: int = option(2026, "Seed of weights, order and augmentation.", minimum=0)
    validate_every: int = option(5, "Epochs between validations.", minimum=1)
    patience: int = option(
        0, "Stop after so many validations without a better mIoU, 0 never.", minimum=0
    )
    checkpoint_every: int = option(100, "Steps between resumable checkpoints.", minimum=1)


RECIPES: Mapping[str, Mapping[str, Any]] = {
    "seeds": {},
    "adamw": {
        "optimizer": "adamw",
        "learning_rate": 6e-4,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "warmup": 400,
    },
}
"""Values that take the place of `TrainOptions`' defaults, by name."""


def with_recipe(options: TrainOptions, name: str, explicit: Collection[str]) -> TrainOptions:
    """Return options with a recipe's values, but for those that the user named.

    Parameters
    ----------
    options : TrainOptions
    name : str
        One of `RECIPES`.
    explicit : collection of str
        Fields that stay as they are.

    Raises
    ------
    UsageError
        When there is no such recipe.
    """
    if name not in RECIPES:
        raise UsageError(f"There is no recipe {name!r}: {did_you_mean(name, list(RECIPES))}")
    values = {key: value for key, value in RECIPES[name].items() if key not in explicit}
    return dataclasses.replace(options, **values)
