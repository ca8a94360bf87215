"""The training loop: it learns, resumes bit for bit, stops politely and says what went wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segstudio.architectures._base import ARCHITECTURES
from segstudio.checkpoints.native import load_native
from segstudio.core.errors import CancelledError, NotACheckpointError, TrainingError, UsageError
from segstudio.training import trainer
from segstudio.training.building import class_weights
from segstudio.training.trainer import TrainPlan, TrainProgress, Validation, train

MakePlan = Callable[..., TrainPlan]
News = TrainProgress | Validation


def weights(path: Path) -> dict[str, torch.Tensor]:
    checkpoint = load_native(path)
    assert checkpoint is not None
    return checkpoint.state_dict


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "state.pt", weights_only=True)  # type: ignore[no-any-return]


def assert_equal_states(one: Any, two: Any, at: str = "state") -> None:
    """Compare nested dictionaries of tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), at
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), at
        for key in one:
            assert_equal_states(one[key], two[key], f"{at}.{key}")
    elif isinstance(one, list):
        for index, (left, right) in enumerate(zip(one, two, strict=True)):
            assert_equal_states(left, right, f"{at}.{index}")
    else:
        assert one == two, at


def figures(news: list[News]) -> list[float]:
    """Return losses and validation scores in order."""
    return [n.loss if isinstance(n, TrainProgress) else n.miou for n in news]


def stop_after(step: int) -> tuple[list[News], Callable[[], bool]]:
    """Return a list of news and a question that is answered yes after so many steps."""
    news: list[News] = []
    return news, lambda: any(isinstance(n, TrainProgress) and n.step >= step for n in news)


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "sgd", "ema": 0.9, "warmup": 3}])
def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(
    make_plan: MakePlan, recipe: dict[str, Any]
) -> None:
    whole, broken = make_plan("whole", **recipe), make_plan("broken", **recipe)
    straight: list[News] = []
    best = train(whole, straight.append)
    parts: list[News] = []
    for step in (1, 4, 5):  # in the first epoch, in the middle of one, in the next
        part, cancelled = stop_after(step)
        with pytest.raises(CancelledError, match=f"stopped at step {step} of 9") as caught:
            train(broken, part.append, cancelled=cancelled)
        assert str(broken.folder) in str(caught.value)
        assert state(broken.folder)["step"] == step
        parts += part
    assert train(broken, parts.append) == broken.folder / "best.safetensors"
    assert_equal_states(state(whole.folder), state(broken.folder))
    assert_equal_states(weights(best), weights(broken.folder / "best.safetensors"))
    assert figures(straight) == figures(parts) and len(straight) == 9 + 3


def test_it_learns_and_keeps_the_best(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=16, color_jitter=0.0, learning_rate=5e-3, validate_every=4)
    news: list[News] = []
    best = train(plan, news.append)
    losses = [entry.loss for entry in news if isinstance(entry, TrainProgress)]
    validations = [entry for entry in news if isinstance(entry, Validation)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert [entry.best_miou for entry in validations] == list(
        np.maximum.accumulate([entry.miou for entry in validations])
    )
    assert validations[-1].best_miou > 0.4
    checkpoint = load_native(best)
    assert checkpoint is not None and checkpoint.label_space == plan.training.label_space
    assert (
        checkpoint.preprocessing == plan.preprocessing
        and checkpoint.architecture == plan.architecture
    )
    assert checkpoint.card["validation_miou"] == validations[-1].best_miou
    assert checkpoint.card["data"] == ["blocks"] and checkpoint.card["recipe"]["epochs"] == 16
    lines = [json.loads(line) for line in (plan.folder / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if "loss" in line] == list(range(1, 17))
    assert [n.epoch for n in validations] == [4, 8, 12, 16]
    progress = [entry for entry in news if isinstance(entry, TrainProgress)]
    assert progress[0].seconds_left is None and progress[-1].seconds_left == 0
    assert progress[-1].step == progress[-1].steps == 48


def test_without_validation_the_last_weights_are_the_best(make_plan: MakePlan) -> None:
    plan = make_plan(validation=False, epochs=1)
    news: list[News] = []
    best = train(plan, news.append)
    assert all(isinstance(entry, TrainProgress) for entry in news)
    found, last = weights(best), state(plan.folder)["network"]
    assert all(torch.equal(value, last[key]) for key, value in found.items())


def test_a_finished_training_has_nothing_left_to_do(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1)
    best = train(plan, lambda entry: None)
    before = best.read_bytes()
    news: list[News] = []
    assert train(plan, news.append) == best
    assert news == [] and best.read_bytes() == before


def test_other_options_are_refused_and_harmless_ones_are_not(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1)
    train(plan, lambda entry: None)
    before = (plan.folder / "state.pt").read_bytes()
    for other in ({"epochs": 2}, {"learning_rate": 0.5}, {"seed": 3}, {"batch": 1}):
        changed = dataclasses.replace(plan, options=dataclasses.replace(plan.options, **other))
        with pytest.raises(UsageError, match="holds a training with other options") as caught:
            train(changed, lambda entry: None)
        assert str(plan.folder) in str(caught.value)
    assert (plan.folder / "state.pt").read_bytes() == before
    same = dataclasses.replace(plan.options, checkpoint_every=7, validate_every=2)
    train(dataclasses.replace(plan, options=same), lambda entry: None)


@pytest.mark.parametrize("damage", [b"", b"not a state", None])
def test_a_damaged_state_is_one_sentence(make_plan: MakePlan, damage: bytes | None) -> None:
    plan = make_plan(epochs=1)
    train(plan, lambda entry: None)
    path = plan.folder / "state.pt"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    with pytest.raises(NotACheckpointError, match="remove it to start again") as caught:
        train(plan, lambda entry: None)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_state_that_would_run_code_is_not_opened(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(epochs=1)
    plan.folder.mkdir()
    torch.save({"identity": "x", "evil": Evil(tmp_path / "ran")}, plan.folder / "state.pt")
    with pytest.raises(NotACheckpointError, match="is damaged"):
        train(plan, lambda entry: None)
    assert not (tmp_path / "ran").exists()


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_loss_that_is_not_finite_names_the_samples(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(epochs=2)
    before: list[News] = []
    page = ARCHITECTURES.get(plan.architecture)
    real = page.forward

    def forward(self: Any, image: torch.Tensor) -> torch.Tensor:
        out = real(self, image)
        return out * float("nan") if len(before) >= 4 else out

    monkeypatch.setattr(page, "forward", forward)
    quiet = dataclasses.replace(plan, validation=None)
    with pytest.raises(TrainingError, match=r"loss became nan at step 4 on the samples \d\.png, "):
        train(quiet, before.append)
    # The step did no harm: the state before it is kept, with finite weights.
    kept = state(plan.folder)
    assert kept["step"] == 4
    assert all(value.isfinite().all() for value in kept["network"].values())


def test_a_folder_with_nothing_but_ignored_pixels_is_a_sentence(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1, validation=False)
    for index in range(len(plan.training)):
        plan.training.read(index)[1][:] = 255
    with pytest.raises(TrainingError, match="nothing to learn"):
        train(plan, lambda entry: None)


def test_a_batch_with_nothing_but_ignored_pixels_costs_nothing(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1, batch=1, validation=False)
    plan.training.read(0)[1][:] = 255
    losses: list[float] = []
    train(plan, lambda entry: losses.append(entry.loss))  # type: ignore[union-attr]
    assert 0.0 in losses and all(np.isfinite(losses))


def test_the_learning_rate_is_poly_after_a_warm_up(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=4, warmup=2, learning_rate=0.01, validation=False)
    news: list[News] = []
    train(plan, news.append)
    rates = [entry.learning_rate for entry in news if isinstance(entry, TrainProgress)]
    assert len(rates) == 12
    wanted = [0.005, 0.01, *(0.01 * (1 - step / 12) ** 0.9 for step in range(2, 12))]
    assert rates == pytest.approx(wanted, rel=1e-12)


def test_norms_and_biases_are_not_decayed(make_plan: MakePlan) -> None:
    run = trainer._Training(make_plan(weight_decay=0.1), lambda entry: None)
    decayed, plain = run.optimizer.param_groups
    assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0.0
    assert all(entry.ndim > 1 for entry in decayed["params"])
    assert all(entry.ndim <= 1 for entry in plain["params"])
    count = len(decayed["params"]) + len(plain["params"])
    assert count == len(list(run.network.parameters()))


def test_class_weights_are_those_of_the_papers() -> None:
    counts = np.array([[800, 150, 50, 0], [1000, 1000, 200, 0]])
    enet = 1 / np.log(1.02 + np.array([0.8, 0.15, 0.05]))
    found = class_weights(counts, "enet", 1.0)
    np.testing.assert_allclose(found[:3], enet / enet.mean())
    median = np.median([0.8, 0.15, 0.25]) / np.array([0.8, 0.15, 0.25])
    np.testing.assert_allclose(class_weights(counts, "median", 1.0)[:3], median / median.mean())
    assert found[3] == 1.0
    softened = np.sqrt(enet)
    np.testing.assert_allclose(class_weights(counts, "enet", 0.5)[:3], softened / softened.mean())
    assert class_weights(counts, "enet", 0.0).tolist() == [1.0] * 4


def test_class_weights_reach_the_loss(make_plan: MakePlan) -> None:
    losses = []
    for kind in ("none", "median"):
        plan = make_plan(kind, class_weights=kind, epochs=1, batch=5, validation=False)
        plan.training.read(0)[1][:] = 1  # one class far more frequent than the others
        plan.training.read(1)[1][:] = 1
        run = trainer._Training(plan, lambda entry: None)
        assert (run.weights is None) == (kind == "none")
        batch = next(trainer.iterate_batches(plan.training, plan.options, first_step=0, steps=1))
        losses.append(run._train_step(batch))
    assert losses[0] != losses[1]


def test_initial_weights_are_taken(make_plan: MakePlan) -> None:
    plan = make_plan(epochs=1)
    best = weights(train(plan, lambda entry: None))
    other = dataclasses.replace(plan, folder=plan.folder.parent / "tuned", initial=best)
    run = trainer._Training(other, lambda entry: None)
    found = run.network.state_dict()
    assert all(torch.equal(found[key], value) for key, value in best.items())


def test_a_device_that_is_not_there_is_one_sentence(make_plan: MakePlan) -> None:
    for device in ("cuda:97", "no-such-device"):
        with pytest.raises(UsageError, match=f"no device '{device}' on this machine"):
            train(make_plan(device=device), lambda entry: None)


def test_bf16_trains_too(make_plan: MakePlan) -> None:
    news: list[News] = []
    train(make_plan(precision="bf16", epochs=1, validation=False), news.append)
    assert all(math.isfinite(n.loss) for n in news if isinstance(n, TrainProgress))
