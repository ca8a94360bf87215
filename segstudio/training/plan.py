"""What a training is asked to do, and what it tells while it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from segstudio.architectures._base import SegmentationNetwork
from segstudio.core.preprocessing import Preprocessing
from segstudio.training.data import LabelledImages, UnlabelledImages
from segstudio.training.recipe import TrainOptions

__all__ = [
    "MODES",
    "Report",
    "Teacher",
    "TrainNotice",
    "TrainPlan",
    "TrainProgress",
    "Validation",
]

MODES = ("supervised", "mean-teacher", "gan", "decoupled", "distillation")
"""How a network can learn; see `segstudio.training.modes`."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that another one learns from.

    Attributes
    ----------
    name : str
        What the card calls it.
    digest : str
        Of its weights: a resumed training must have the same teacher.
    network : SegmentationNetwork
        Its outputs are the training's classes, in their order.
    preprocessing : Preprocessing
        Mean, standard deviation and channel order of its input.
    """

    name: str
    digest: str
    network: SegmentationNetwork = field(repr=False)
    preprocessing: Preprocessing


@dataclass(frozen=True)
class TrainPlan:
    """What to train, on what, where to.

    Attributes
    ----------
    architecture : str
        Name in the registry.
    architecture_options : object
        Its Options.
    training : LabelledImages or CorrectedImages
    validation : LabelledImages or None
        None takes the last weights for the best ones.
    folder : Path
        Where checkpoints and the log go.
    options : TrainOptions
        The recipe.
    preprocessing : Preprocessing
        Becomes part of the checkpoint.
    card : dict
        Written to the checkpoint's card (data, command, licence note).
    initial : dict of str to Tensor, optional
        Weights to start from; None starts from the architecture's random ones.
    mode : str
        One of `MODES`.
    unlabelled : UnlabelledImages, optional
        What the semi-supervised modes learn from beside the label maps.  "decoupled" takes
        `LabelledImages` and looks only at which classes are in them: image-level labels.
    teacher : Teacher, optional
        Whom the mode "distillation" learns from.
    frozen : tuple of str
        Names of submodules whose weights stay as they are.
    freeze_norms : bool
        Whether running statistics of batch normalisation stay as they are.
    """

    architecture: str
    architecture_options: Any
    training: UnlabelledImages
    validation: LabelledImages | None
    folder: Path
    options: TrainOptions
    preprocessing: Preprocessing
    card: dict[str, Any]
    initial: dict[str, Tensor] | None = field(default=None, repr=False)
    mode: str = "supervised"
    unlabelled: UnlabelledImages | None = None
    teacher: Teacher | None = None
    frozen: tuple[str, ...] = ()
    freeze_norms: bool = False


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """News of a step; ``seconds_left`` is None before it can be told."""

    step: int
    steps: int
    epoch: int
    loss: float
    learning_rate: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Validation:
    """News of a validation; ``miou`` is pooled, 0..1."""

    epoch: int
    step: int
    miou: float
    best_miou: float


@dataclass(frozen=True, slots=True)
class TrainNotice:
    """A sentence for the user on something odd that does not stop the training."""

    text: str


Report = Callable[[TrainProgress | Validation | TrainNotice], None]
