"""How to fine-tune, and which images judge the result; nothing here loads a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from segstudio.core.options import option
from segstudio.training.recipe import TrainOptions

__all__ = ["FinetuneOptions", "is_held_out"]


@dataclass(frozen=True)
class FinetuneOptions:
    """How to fine-tune; every field is a flag of ``segstudio finetune``."""

    pixels: str = option(
        "weighted",
        "Pixels to learn from: weighted (corrected ones fully, others by 1 - entropy), corrected "
        "(only those) or all (a person has looked at the whole image).",
        choices=("weighted", "corrected", "all"),
    )
    freeze: str = option(
        "norms",
        "What stays as it is: norms (statistics of batch normalisation), encoder (and its "
        "weights) or none.",
        choices=("norms", "encoder", "none"),
    )
    epochs: int = option(10, "Passes over the corrected images.", minimum=1)
    batch: int = option(4, "Images per step.", minimum=1)
    learning_rate: float = option(5e-4, "Learning rate of AdamW.", minimum=0)
    crop_height: int = option(224, "Height of the training crops, pixels.", minimum=16)
    crop_width: int = option(288, "Width of the training crops, pixels.", minimum=16)
    held_out: float = option(
        0.25, "Share of the images that only judge the result.", minimum=0.05, maximum=0.9
    )
    seed: int = option(2026, "Seed of order and augmentation.", minimum=0)
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:N or mps.")
    precision: str = option(
        "auto",
        "Arithmetic of the forward pass.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )

    def recipe(self) -> TrainOptions:
        """Return the recipe of the training: short, gentle, averaged."""
        return TrainOptions(
            epochs=self.epochs,
            batch=self.batch,
            crop_height=self.crop_height,
            crop_width=self.crop_width,
            optimizer="adamw",
            learning_rate=self.learning_rate,
            weight_decay=0.01,
            schedule="cosine",
            warmup=10,
            clip_norm=1.0,
            scale_minimum=0.75,
            scale_maximum=1.5,
            color_jitter=0.2,
            ema=0.98,
            auxiliary_weight=0.0,
            checkpoint_every=20,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
        )


def is_held_out(sample_id: str, share: float) -> bool:
    """Tell by a sample's id alone whether it judges: more corrections never move it."""
    digest = hashlib.sha256(sample_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
