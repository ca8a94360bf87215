"""Distillation: the loss is the paper's, the student nears its teacher, and a run resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segstudio.architectures._base import SegmentationNetwork
from segstudio.core.errors import CancelledError, UsageError
from segstudio.core.preprocessing import Preprocessing
from segstudio.training.data import Batch
from segstudio.training.plan import Teacher, TrainPlan
from segstudio.training.trainer import _Training, train

MakePlan = Callable[..., TrainPlan]
OTHER = Preprocessing(mean=(10.0, 20.0, 30.0), std=(50.0, 60.0, 70.0), channel_order="bgr")


def taught(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork], folder: str, **recipe: Any
) -> TrainPlan:
    """Return a plan of which the teacher is a random network with another normalisation."""
    plan = make_plan(folder, **recipe)
    torch.manual_seed(7)
    network = tiny_net(3)
    for entry in network.parameters():
        entry.data *= 4  # sure of something
    teacher = Teacher("teacher.safetensors", "abc", network, OTHER)
    return dataclasses.replace(plan, mode="distillation", teacher=teacher)


def batch_of(plan: TrainPlan, training: _Training) -> Batch:
    generator = np.random.default_rng(3)
    maps = generator.integers(0, 3, (2, 32, 32)).astype(np.uint8)
    maps[:, :9] = 255
    images = generator.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    return Batch(0, images, maps, ("a", "b"))


def test_the_loss_is_that_of_the_paper(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork]
) -> None:
    plan = taught(make_plan, tiny_net, "run", distillation=0.3, temperature=2.0)
    training = _Training(plan, lambda news: None)
    batch = batch_of(plan, training)
    training.network.eval()  # no dropout, so that the logits can be had again
    found = float(training.objective.backward(batch, lambda loss: None))
    pixels = torch.from_numpy(batch.images).permute(0, 3, 1, 2).double()
    usual = plan.preprocessing
    assert plan.teacher is not None

    def normalised(entry: Preprocessing) -> torch.Tensor:
        ordered = pixels.flip(1) if entry.channel_order == "bgr" else pixels
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in (entry.mean, entry.std))
        return (ordered - mean) / std

    student = training.network.double().logits(normalised(usual))
    teacher = plan.teacher.network.double().eval().logits(normalised(OTHER))
    target = torch.from_numpy(batch.label_maps.astype(np.int64))
    labelled = target != 255
    hard = -student.log_softmax(1).gather(1, target.clamp(max=2)[:, None])[:, 0]
    soft = -((teacher / 2).softmax(1) * (student / 2).log_softmax(1)).sum(1)
    wanted = 0.7 * hard[labelled].mean() + 0.3 * 4 * soft[labelled].mean()
    assert found == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_the_student_nears_its_teacher_and_the_teacher_stays(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork]
) -> None:
    plan = taught(make_plan, tiny_net, "run", distillation=1.0, epochs=8, learning_rate=2e-2)
    assert plan.teacher is not None
    before = {key: value.clone() for key, value in plan.teacher.network.state_dict().items()}
    losses: list[float] = []
    train(plan, lambda news: losses.append(getattr(news, "loss", np.nan)))
    steps = [value for value in losses if np.isfinite(value)]
    # The entropy of the teacher's probabilities stays of the loss.
    assert np.mean(steps[-6:]) < 0.8 * np.mean(steps[:6])
    after = plan.teacher.network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_broken_distillation_goes_on_bit_for_bit(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork]
) -> None:
    def weights(folder: Path) -> dict[str, torch.Tensor]:
        state = torch.load(folder / "state.pt", weights_only=True)
        found: dict[str, torch.Tensor] = state["network"]
        return found

    whole = taught(make_plan, tiny_net, "whole", epochs=2)
    broken = taught(make_plan, tiny_net, "broken", epochs=2)
    train(whole, lambda news: None)
    seen: list[int] = []
    with pytest.raises(CancelledError):
        train(
            broken,
            lambda news: seen.append(getattr(news, "step", 0)),
            cancelled=lambda: seen[-1] >= 3,
        )
    train(broken, lambda news: None)
    one, two = weights(whole.folder), weights(broken.folder)
    assert all(torch.equal(two[key], value) for key, value in one.items())


def test_another_teacher_is_another_training(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork]
) -> None:
    plan = taught(make_plan, tiny_net, "run", epochs=1)
    train(plan, lambda news: None)
    assert plan.teacher is not None
    other = dataclasses.replace(plan, teacher=dataclasses.replace(plan.teacher, digest="def"))
    with pytest.raises(UsageError, match="teacher was"):
        train(other, lambda news: None)


def test_the_mode_needs_its_teacher(
    make_plan: MakePlan, tiny_net: type[SegmentationNetwork]
) -> None:
    plan = dataclasses.replace(taught(make_plan, tiny_net, "run"), teacher=None)
    with pytest.raises(UsageError, match="needs a teacher"):
        _Training(plan, lambda news: None)
