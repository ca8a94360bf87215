"""How a network can learn: from label maps alone, from unlabelled images or a teacher too."""

from __future__ import annotations

from segstudio.core.errors import UsageError
from segstudio.training.modes.decoupled import Decoupled
from segstudio.training.modes.distillation import Distillation
from segstudio.training.modes.gan import GenerativeAdversary
from segstudio.training.modes.mean_teacher import TEACHER_DECAY, MeanTeacher
from segstudio.training.objective import Objective, Parts
from segstudio.training.plan import MODES, TrainPlan

__all__ = ["build_objective", "moving_average_of"]

_OBJECTIVES: dict[str, type[Objective]] = {
    "supervised": Objective,
    "mean-teacher": MeanTeacher,
    "gan": GenerativeAdversary,
    "decoupled": Decoupled,
    "distillation": Distillation,
}


def build_objective(parts: Parts) -> Objective:
    """Return what a plan's mode minimises.

    Raises
    ------
    UsageError
        When there is no such mode, or it lacks its unlabelled images or its teacher.
    """
    mode = parts.plan.mode
    if mode not in _OBJECTIVES:
        raise UsageError(f"A mode of training is {', '.join(MODES)}, not {mode!r}.")
    if mode == "distillation" and parts.plan.teacher is None:
        raise UsageError("The mode distillation needs a teacher.")
    if mode not in ("supervised", "distillation") and parts.plan.unlabelled is None:
        raise UsageError(f"The mode {mode} needs unlabelled images beside the labelled ones.")
    return _OBJECTIVES[mode](parts)


def moving_average_of(plan: TrainPlan) -> float:
    """Return the decay of the moving average of weights, 0 for none: a teacher is always one."""
    if plan.mode == "mean-teacher":
        return plan.options.ema or TEACHER_DECAY
    return plan.options.ema
