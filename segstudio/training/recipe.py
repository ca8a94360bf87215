"""The options of a training: the seeds' recipe by default.

Random resize 0.5-2.0, crop, left-right flip, mean subtraction, pixel-wise cross-entropy with an
ignore index and the "poly" learning rate ``lr * (1 - t / T) ** 0.9`` (R. Strudel et al.:
"Segmenter", ICCV 2021, section 4.2; the poly schedule from L.-C. Chen et al.: "DeepLab", 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.options import option

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions:
    """How to train; every field is a flag of ``segstudio train``."""

    epochs: int = option(100, "Passes over the training samples.", minimum=1)
    batch: int = option(8, "Images per step.", minimum=1)
    crop_height: int = option(360, "Height of the training crops, pixels.", minimum=16)
    crop_width: int = option(480, "Width of the training crops, pixels.", minimum=16)
    optimizer: str = option("adamw", "Optimizer.", choices=("sgd", "adamw"))
    learning_rate: float = option(1e-3, "Learning rate after the warm-up.", minimum=0)
    weight_decay: float = option(
        0.01, "Weight decay (decoupled for AdamW, L2 for SGD).", minimum=0
    )
    momentum: float = option(0.9, "Momentum of SGD, first beta of AdamW.", minimum=0, maximum=1)
    power: float = option(0.9, "Power of the poly schedule.", minimum=0)
    warmup: int = option(0, "Steps of linear warm-up.", minimum=0)
    scale_minimum: float = option(0.5, "Smallest random resize.", minimum=0.1)
    scale_maximum: float = option(2.0, "Largest random resize.", minimum=0.1)
    color_jitter: float = option(
        0.0, "Strength of random brightness, contrast and saturation, 0 off.", minimum=0, maximum=1
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
    ema: float = option(
        0.0, "Decay of the moving average of weights that is validated and saved, 0 off.",
        minimum=0, maximum=0.9999,
    )
    precision: str = option(
        "auto",
        "Arithmetic of the forward pass: auto takes bf16 where the processor has it.",
        choices=("auto", "fp32", "bf16"),
    )
    compile: bool = option(False, "Compile the step with torch.compile: slow start, faster steps.")
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:N or mps.")
    seed: int = option(2026, "Seed of weights, order and augmentation.", minimum=0)
    validate_every: int = option(5, "Epochs between validations.", minimum=1)
    checkpoint_every: int = option(100, "Steps between resumable checkpoints.", minimum=1)
