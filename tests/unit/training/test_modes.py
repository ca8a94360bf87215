"""The semi-supervised modes: they resume bit for bit, and each does what its paper says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segstudio.architectures.decouplednet import Classifier, DecoupledNetOptions
from segstudio.core.errors import CancelledError, UsageError
from segstudio.training import trainer
from segstudio.training.data import LabelledImages, UnlabelledImages, iterate_batches
from segstudio.training.modes.gan import Generator, fake_loss, real_loss
from segstudio.training.modes.mean_teacher import _mixed
from segstudio.training.plan import TrainPlan, TrainProgress
from segstudio.training.trainer import train

MakePlan = Callable[..., TrainPlan]
MakeData = Callable[..., LabelledImages]


def semi(
    make_plan: MakePlan, make_data: MakeData, folder: str, mode: str, **recipe: Any
) -> TrainPlan:
    """Return a plan of a mode with a second folder of images."""
    plan = make_plan(folder, **{"epochs": 2, **recipe})
    labelled = make_data("more", count=4)
    data = (
        labelled
        if mode == "decoupled"
        else UnlabelledImages(
            [dataset for dataset, _ in labelled._entries[:1]], labelled.label_space
        )
    )
    plan = dataclasses.replace(plan, mode=mode, unlabelled=data)
    if mode == "decoupled":
        options = DecoupledNetOptions(width=2, fc_width=4)
        plan = dataclasses.replace(
            plan, architecture="decouplednet", architecture_options=options, validation=None
        )
    return plan


def saved(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "state.pt", weights_only=True)  # type: ignore[no-any-return]


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{at}/{key}").items()}
    return {at: value}


def test_each_half_of_decouplednet_has_its_own_learning_rate(
    make_plan: MakePlan, make_data: MakeData
) -> None:
    plan = semi(make_plan, make_data, "run", "decoupled", epochs=2, learning_rate=0.01)
    rates: list[float] = []

    def note(news: Any) -> None:
        if isinstance(news, TrainProgress):
            rates.append(news.learning_rate)

    train(plan, note)
    # Six steps, poly with power 0.9 over three of them, twice.
    wanted = [0.01 * (1 - step / 3) ** 0.9 for step in range(3)]
    assert rates == pytest.approx(wanted * 2)


@pytest.mark.parametrize("mode", ["mean-teacher", "gan", "decoupled"])
def test_a_mode_resumes_bit_for_bit(make_plan: MakePlan, make_data: MakeData, mode: str) -> None:
    whole, broken = (semi(make_plan, make_data, name, mode) for name in ("whole", "broken"))
    losses: list[float] = []
    train(whole, lambda news: losses.append(getattr(news, "loss", 0.0)))
    seen: list[int] = []

    def note(news: Any) -> None:
        if isinstance(news, TrainProgress):
            seen.append(news.step)

    with pytest.raises(CancelledError):
        train(broken, note, cancelled=lambda: seen[-1] >= 4)
    train(broken, note)
    assert seen == [1, 2, 3, 4, 5, 6] and all(np.isfinite(losses))
    one, two = flat(saved(whole.folder)), flat(saved(broken.folder))
    assert one.keys() == two.keys()
    for key, value in one.items():
        same = (
            torch.equal(value, two[key]) if isinstance(value, torch.Tensor) else (value == two[key])
        )
        assert same, key


def test_a_mode_needs_its_images_and_its_network(make_plan: MakePlan, make_data: MakeData) -> None:
    plan = make_plan()
    for mode in ("mean-teacher", "gan", "decoupled"):
        with pytest.raises(UsageError, match="needs unlabelled images"):
            train(dataclasses.replace(plan, mode=mode), lambda news: None)
    with pytest.raises(
        UsageError, match=r"supervised, mean-teacher, gan, decoupled, distillation, not 'magic'"
    ):
        train(dataclasses.replace(plan, mode="magic"), lambda news: None)
    wrong = semi(make_plan, make_data, "run", "decoupled")
    wrong = dataclasses.replace(
        wrong, architecture=plan.architecture, architecture_options=plan.architecture_options
    )
    with pytest.raises(UsageError, match="trains the architecture decouplednet"):
        train(wrong, lambda news: None)


def first_batch(plan: TrainPlan, step: int = 0) -> Any:
    return next(iterate_batches(plan.training, plan.options, first_step=step, steps=step + 1))


def test_the_teacher_is_the_average_and_only_sure_labels_count(
    make_plan: MakePlan, make_data: MakeData
) -> None:
    plan = semi(make_plan, make_data, "run", "mean-teacher")
    run = trainer._Training(plan, lambda news: None)
    assert run.average is not None and run.ema == 0.99
    batch = first_batch(plan, 5)
    with torch.no_grad():
        run.average.classify.weight.zero_()  # type: ignore[union-attr,operator]
        run.average.classify.bias.copy_(torch.tensor([0.0, 0.0, 0.0]))  # type: ignore[union-attr,operator]
    assert float(run.objective._consistency(batch, 5).detach()) == 0  # nobody is sure
    with torch.no_grad():
        run.average.classify.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))  # type: ignore[union-attr,operator]
    early, late = (float(run.objective._consistency(batch, step).detach()) for step in (0, 5))
    assert late > 50 * early > 0  # the weight grows
    run.objective.close()


def test_a_box_is_exchanged_in_all_maps_alike() -> None:
    image = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 8, 10)
    label = torch.arange(3).view(3, 1, 1).expand(3, 8, 10)
    mixed, labels = _mixed((image, label), np.random.default_rng(0))
    assert torch.equal(mixed[:, 0].long(), labels)
    for index in range(3):
        shares = [(labels[index] == value).float().mean() for value in (index, (index - 1) % 3)]
        assert sum(shares) == 1 and 0.3 < shares[1] < 0.7


def test_fake_is_a_class_of_its_own() -> None:
    logits = torch.randn(2, 4, 3, 3)
    with_fake = torch.cat([logits, torch.zeros(2, 1, 3, 3)], 1).softmax(1)
    torch.testing.assert_close(fake_loss(logits), -with_fake[:, 4].log().mean())
    torch.testing.assert_close(real_loss(logits), -(1 - with_fake[:, 4]).log().mean())


def test_the_generator_learns_to_be_taken_for_real(
    make_plan: MakePlan, make_data: MakeData
) -> None:
    plan = semi(make_plan, make_data, "run", "gan")
    torch.manual_seed(0)
    assert Generator((30, 45))(torch.randn(2, 100)).shape == (2, 3, 30, 45)
    run = trainer._Training(plan, lambda news: None)
    before = {key: value.clone() for key, value in run.network.state_dict().items()}

    def realness() -> float:
        torch.manual_seed(7)
        with torch.no_grad():
            return float(real_loss(run.network.eval().logits(run.objective._generated(4))))

    first = realness()
    for step in range(8):
        run.objective.after_step(first_batch(plan, step))
    assert realness() < first
    assert all(torch.equal(value, before[key]) for key, value in run.network.state_dict().items())
    assert all(entry.requires_grad for entry in run.network.parameters())


def test_generated_images_leave_the_running_statistics_alone(
    make_plan: MakePlan, make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = semi(make_plan, make_data, "run", "gan")
    found = []
    for bright in (0.0, 1e4):
        run = trainer._Training(plan, lambda news: None)
        fake = torch.full((2, 3, 32, 32), bright)
        monkeypatch.setattr(run.objective, "_generated", lambda count, fake=fake: fake)
        run.objective.backward(first_batch(plan), lambda loss: None)
        norm = run.network.encoder[1]  # type: ignore[index]
        assert norm.momentum == 0.1
        found.append(norm.running_mean.clone())
        run.objective.close()
    assert torch.equal(*found) and found[0].abs().sum() > 0


def test_saliency_is_the_gradient_of_the_score() -> None:
    torch.manual_seed(0)
    classifier = Classifier(6, 5, 3)
    features = torch.randn(2, 6, 4, 3, requires_grad=True)
    scores, first, second = classifier(features)
    (wanted,) = torch.autograd.grad(scores[:, 1].sum(), features)
    torch.testing.assert_close(classifier.gradient(1, first, second) / (4 * 3), wanted)


def test_decoupled_halves_do_not_touch_each_other(make_plan: MakePlan, make_data: MakeData) -> None:
    plan = semi(make_plan, make_data, "run", "decoupled")
    run = trainer._Training(plan, lambda news: None)
    which = {"encoder", "classifier_of_images"}
    for step, wanted in ((0, which), (5, {"bridge", "decoder", "foreground"})):
        before = {key: value.clone() for key, value in run.network.state_dict().items()}
        run._train_step(first_batch(plan, step))
        after = run.network.state_dict()
        changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
        assert changed == wanted
    run.objective.close()


def test_image_level_labels_are_the_classes_of_the_image(
    make_plan: MakePlan, make_data: MakeData
) -> None:
    plan = semi(make_plan, make_data, "run", "decoupled")
    plan.training.read(0)[1][:] = 2
    run = trainer._Training(plan, lambda news: None)
    assert run.objective._labels["3.png"].sum() >= 2
    batch = first_batch(plan)
    run.objective._labels = dict.fromkeys(batch.sample_ids, torch.tensor([0.0, 0.0, 1.0]))
    scores = run.network.train().class_scores(run.normalise(batch.images))  # type: ignore[operator]
    labels = torch.tensor([[0.0, 0.0, 1.0]] * 2)
    loss = run.objective._which_classes(batch)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(scores, labels))
