"""The losses against slow loops, and that parts of a step add up to the whole."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from segstudio.training.losses import PixelLoss, soft_dice
from segstudio.training.recipe import TrainOptions

IGNORE = 255


def example() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(4, 3, 6, 5)
    target = torch.randint(0, 3, (4, 6, 5))
    target[:, 0] = IGNORE
    target[3] = IGNORE
    return logits, target


def whole(loss: PixelLoss, *pair: torch.Tensor, weights: torch.Tensor | None = None) -> float:
    mass = loss.mass(pair[1], weights)
    return float(loss(pair[0], pair[1], mass=mass, pixel_weights=weights))


def build(class_weights: torch.Tensor | None = None, **options: float) -> PixelLoss:
    return PixelLoss(TrainOptions(**options), weights=class_weights, ignore_index=IGNORE)


def test_it_is_torch_own_mean_with_class_weights_and_smoothing() -> None:
    logits, target = example()
    weights = torch.tensor([0.5, 1.0, 3.0])
    plain = F.cross_entropy(logits, target, ignore_index=IGNORE)
    assert whole(build(), logits, target) == pytest.approx(float(plain), rel=1e-6)
    weighted = F.cross_entropy(logits, target, weights, ignore_index=IGNORE)
    assert whole(build(weights), logits, target) == pytest.approx(float(weighted), rel=1e-6)
    smooth = F.cross_entropy(logits, target, ignore_index=IGNORE, label_smoothing=0.1)
    found = whole(build(label_smoothing=0.1), logits, target)
    assert found == pytest.approx(float(smooth), rel=1e-6)


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 1.0, 3.0])])
def test_parts_of_a_step_add_up(class_weights: torch.Tensor | None) -> None:
    logits, target = example()
    loss = build(class_weights)
    mass = loss.mass(target)
    parts = [
        loss(logits[part], target[part], mass=mass, share=0.25)
        for part in (slice(0, 1), slice(1, 4))
    ]
    assert float(sum(parts)) == pytest.approx(whole(loss, logits, target), rel=1e-6)


def test_pixel_weights_are_those_of_a_loop() -> None:
    logits, target = example()
    weights = torch.rand(4, 6, 5)
    logs = logits.log_softmax(1)
    total, mass = 0.0, 0.0
    for image in range(4):
        for row in range(6):
            for column in range(5):
                label = int(target[image, row, column])
                if label != IGNORE:
                    weight = float(weights[image, row, column])
                    total -= weight * float(logs[image, label, row, column])
                    mass += weight
    assert whole(build(), logits, target, weights=weights) == pytest.approx(total / mass, rel=1e-5)
    assert whole(build(), logits, target, weights=torch.ones(4, 6, 5)) == pytest.approx(
        whole(build(), logits, target), rel=1e-6
    )


def test_hard_examples_are_the_worst_labelled_pixels() -> None:
    logits, target = example()
    each = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").flatten()
    labelled = int((target != IGNORE).sum())
    worst = each.sort(descending=True).values[: round(0.25 * labelled)]
    assert whole(build(ohem=0.25), logits, target) == pytest.approx(float(worst.mean()), rel=1e-6)
    assert whole(build(ohem=1.0), logits, target) == pytest.approx(
        whole(build(), logits, target), rel=1e-6
    )


def test_dice_is_nothing_when_right_and_all_when_wrong() -> None:
    target = torch.tensor([[[0, 1], [1, IGNORE]]])
    sure = 60.0 * F.one_hot(target.clamp(max=2), 3).permute(0, 3, 1, 2).float()
    assert float(soft_dice(sure, target, ignore_index=IGNORE)) == pytest.approx(0, abs=1e-6)
    assert float(soft_dice(-sure, target, ignore_index=IGNORE)) > 0.4
    assert float(soft_dice(sure.roll(1, 1), target, ignore_index=IGNORE)) == pytest.approx(1)
    even = torch.zeros(1, 3, 2, 2)
    # Of class 0: p = 1/3 on three labelled pixels, one of them right; of class 1: two.
    wanted = 1 - ((2 / 3) / (1 + 1) + (4 / 3) / (1 + 2)) / 2
    assert float(soft_dice(even, target, ignore_index=IGNORE)) == pytest.approx(wanted)
    assert whole(build(dice=2.0), even, target) == pytest.approx(math.log(3) + 2 * wanted)


@pytest.mark.parametrize("options", [{}, {"ohem": 0.5}, {"dice": 1.0}])
def test_nothing_labelled_costs_nothing(options: dict[str, float]) -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    target = torch.full((1, 4, 4), IGNORE)
    loss = build(**options)
    value = loss(logits, target, mass=loss.mass(target))
    value.backward()
    assert float(value.detach()) == 0 and logits.grad is not None and not logits.grad.any()
