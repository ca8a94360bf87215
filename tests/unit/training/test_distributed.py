"""Two processes side by side take the step that one process with the doubled batch takes."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from segstudio.training.distributed import Crew
from segstudio.training.plan import TrainPlan
from segstudio.training.trainer import train

MakePlan = Callable[..., TrainPlan]

_SCRIPT = """
import dataclasses, importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("helpers", sys.argv[1])
helpers = importlib.util.module_from_spec(spec)
sys.modules["helpers"] = helpers
spec.loader.exec_module(helpers)
from segstudio.training.trainer import train
helpers.ARCHITECTURES.register(helpers.NAME)(helpers.TinyNet)
folder = Path(sys.argv[2])
data = helpers.make_data.__wrapped__(folder)()
plan = helpers.make_plan.__wrapped__(lambda *a: data, folder)("two", batch=1, **RECIPE)
plan = dataclasses.replace(plan, architecture_options=helpers.TinyOptions(norm=False, dropout=0.0))
train(plan, print)
"""
RECIPE = {"epochs": 1, "class_weights": "enet", "optimizer": "sgd", "learning_rate": 0.1}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def states(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "state.pt", weights_only=True)["network"]  # type: ignore[no-any-return]


def test_two_processes_equal_one_with_the_doubled_batch(
    make_plan: MakePlan, tmp_path: Path
) -> None:
    helpers = Path(__file__).with_name("conftest.py")
    script = _SCRIPT.replace("**RECIPE", f"**{RECIPE!r}")
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(helpers), str(tmp_path)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    plan = make_plan("one", batch=2, **RECIPE)
    options = dataclasses.replace(plan.architecture_options, norm=False, dropout=0.0)
    plan = dataclasses.replace(plan, architecture_options=options)
    train(plan, lambda news: None)
    ended = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    # Only the first one tells news and writes.
    assert ended[0][0].count("TrainProgress") == 3 and ended[1][0] == ""
    assert "validation_miou" in (tmp_path / "two" / "log.jsonl").read_text()
    one, two = states(tmp_path / "one"), states(tmp_path / "two")
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-7)


def test_accumulated_gradients_are_those_of_a_larger_batch(make_plan: MakePlan) -> None:
    found = []
    for folder, batch, accumulate in (("large", 4, 1), ("small", 1, 4)):
        recipe = {**RECIPE, "batch": batch, "accumulate": accumulate}
        plan = make_plan(folder, validation=False, **recipe)
        options = dataclasses.replace(plan.architecture_options, norm=False, dropout=0.0)
        train(dataclasses.replace(plan, architecture_options=options), lambda news: None)
        found.append(states(plan.folder))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-5, atol=1e-7)


def test_one_process_exchanges_nothing() -> None:
    crew, value = Crew(), torch.tensor(3.0)
    assert crew.sum(value) is value and crew.leads
    assert crew.any(True, value.device) and not crew.any(False, value.device)


def test_processes_that_cannot_meet_are_one_sentence(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segstudio.core.errors import TrainingError

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(TrainingError, match="start them with torchrun"):
        train(make_plan(), lambda news: None)
