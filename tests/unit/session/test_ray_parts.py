"""The parts of the Ray engine that need no cluster: its words, its room, and a worker by itself."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.cli.common import RunOptions
from segstudio.core.errors import NotACheckpointError, UsageError, WorkerError
from segstudio.core.types import Sample
from segstudio.datasets.opening import open_dataset
from segstudio.project.signature import sign_file
from segstudio.session.engines.base import Outcome, build_model, predict_sample
from segstudio.session.engines.ray import RayEngine
from segstudio.session.engines.ray_cluster import (
    Cluster,
    Places,
    RayOptions,
    _explain,
    _silence,
    find_places,
    parse_engine,
)
from segstudio.session.engines.ray_files import is_same_file, read_files, read_task
from segstudio.session.engines.ray_worker import RayWorker, Setup, Task, Unseen
from segstudio.session.runner import RunRequest

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install ray"
)


# -- words ----------------------------------------------------------------------------------------


@needs_ray
def test_engines_are_local_or_ray_with_options() -> None:
    assert parse_engine("local") is None
    assert parse_engine("ray") == RayOptions()
    assert parse_engine("ray:cpus=4,workers=8") == RayOptions(4, 8)
    for wrong in ("ray:cpus=-1", "ray:gpus=2", "ray:4"):
        with pytest.raises(UsageError):
            parse_engine(wrong)


def test_another_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="An engine is local or ray, not 'dask'"):
        RunOptions(engine="dask").check()


def test_what_to_do_without_ray_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"Ray is not installed here; install segstudio\[ray\]"):
        RunOptions(engine="ray").check()


# -- room ------------------------------------------------------------------------------------------


def node(cpus: float, gpus: float = 0, *, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return {"Alive": alive, "Resources": resources}


HEAD, SMALL, LARGE = node(0), node(2), node(64)
GPUS = node(48, 8)


@pytest.mark.parametrize(
    ("nodes", "device", "options", "places"),
    [
        ([SMALL], "auto", RayOptions(), Places(2, 0, 1)),
        ([SMALL], "auto", RayOptions(cpus=1), Places(1, 0, 2)),
        ([HEAD, LARGE, LARGE], "auto", RayOptions(), Places(4, 0, 32)),
        ([LARGE, SMALL], "cpu", RayOptions(), Places(2, 0, 33)),
        ([LARGE, SMALL], "cpu", RayOptions(cpus=16), Places(16, 0, 4)),
        ([HEAD, GPUS, GPUS], "auto", RayOptions(), Places(6, 1, 16)),
        ([GPUS, LARGE], "cuda", RayOptions(), Places(6, 1, 8)),
        ([node(128, 2)], "auto", RayOptions(), Places(8, 1, 2)),
        ([node(2, 4)], "auto", RayOptions(), Places(1, 1, 2)),
        ([GPUS, LARGE], "cpu", RayOptions(workers=3), Places(4, 0, 3)),
        ([LARGE, node(64, alive=False)], "auto", RayOptions(), Places(4, 0, 16)),
    ],
)
def test_there_is_a_worker_per_gpu_or_per_some_cpus(
    nodes: Any, device: str, options: RayOptions, places: Places
) -> None:
    assert find_places(nodes, device, options) == places


def test_no_room_is_told() -> None:
    for nodes in ([], [HEAD], [node(8, alive=False)]):
        with pytest.raises(WorkerError, match="No machine of the Ray cluster has 1 CPU for a"):
            find_places(nodes, "auto", RayOptions())
    with pytest.raises(WorkerError, match="has 1 CPU and a GPU for a worker"):
        find_places([LARGE], "cuda", RayOptions())
    with pytest.raises(WorkerError, match="has 8 CPUs for a worker"):
        find_places([SMALL], "auto", RayOptions(cpus=8))
    with pytest.raises(UsageError, match="use --device auto, cpu or cuda, not cuda:1"):
        find_places([GPUS], "cuda:1", RayOptions())


# -- reaching a cluster ----------------------------------------------------------------------------


@needs_ray
def test_a_cluster_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(WorkerError) as caught:
        Cluster()
    assert str(caught.value) == (
        f"The Ray cluster at {address} cannot be reached: connection refused; see that it runs and "
        "that RAY_ADDRESS is right."
    )


@needs_ray
@pytest.mark.parametrize("address", ["ray://head:10001", "nonsense"])
def test_addresses_that_cannot_be_used_are_told(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(WorkerError, match=f"The Ray cluster at {address} cannot be reached"):
        Cluster()


@needs_ray
def test_stdout_is_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    import ray

    def tell(line: str) -> str:  # equal ones are left out by Ray itself
        data = {"lines": [line], "pid": "raylet", "is_err": False}
        ray._private.worker.print_to_stdstream(data, ignore_prefix=False)
        return capsys.readouterr().out

    assert "One worker died" in tell("One worker died"), "what Ray does by itself"
    restore = _silence(ray)
    assert tell("Another has died") == ""
    restore()
    assert "All are dead" in tell("All are dead")


def test_other_versions_of_ray_are_told() -> None:
    text = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1\n"
        "This process on node 10.0.0.1 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert _explain("head:6379", RuntimeError(text)) == (
        "The Ray cluster at head:6379 runs Ray 2.50.0 on Python 3.12.1, and here are Ray 2.60.0 "
        "and Python 3.11.7; install the same on both."
    )


# -- a worker by itself ----------------------------------------------------------------------------


@pytest.fixture
def samples(dataset_folder: Path) -> tuple[Sample, ...]:
    return open_dataset(dataset_folder).samples


@pytest.fixture
def request_of(dataset_folder: Path) -> Any:
    def build(model: Path, **options: Any) -> RunRequest:
        return RunRequest(open_dataset(dataset_folder), (str(model),), dataset_folder, **options)

    return build


def setup_of(request: RunRequest) -> Setup:
    """Return what an engine would tell its workers."""
    engine = RayEngine(request, build_model(request, request.models[0]), RayOptions())
    return replace(engine._setup, request=replace(engine._setup.request, device="cpu"))


def assert_same(found: Any, other: Outcome) -> None:
    assert found.error == other.error and found.signature == other.signature
    for one, two in zip(
        found.layers.by_name().values(), other.layers.by_name().values(), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_a_worker_answers_as_this_machine_does(
    request_of: Any, tiny_model: Path, samples: Any
) -> None:
    request = request_of(tiny_model)
    worker = RayWorker()
    assert worker.load(setup_of(request)) is None
    tasks = [
        Task(samples[0].image_path),
        Task(samples[1].image_path.with_name("elsewhere.png")),
        read_task(samples[2]),
    ]
    answers = dict(worker.predict(tasks))
    assert answers.keys() == {0, 1, 2} and answers[1] == Unseen()
    model = build_model(request, str(tiny_model))
    for position in (0, 2):
        assert_same(answers[position], predict_sample(model, samples[position]))


def test_a_worker_predicts_early_images_as_if_nothing_were_compiled(
    request_of: Any, tiny_model: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = RayWorker()
    assert worker.load(setup_of(request_of(tiny_model))) is None
    assert worker._engine is not None
    told: list[str] = []

    @contextlib.contextmanager
    def uncompiled(self: Any) -> Iterator[None]:
        told.append("uncompiled")
        yield

    monkeypatch.setattr(type(worker._engine._model.backend), "uncompiled", uncompiled)
    tasks = [Task(sample.image_path, early=place == 1) for place, sample in enumerate(samples)]
    assert len(list(worker.predict(tasks))) == len(samples)
    assert told == ["uncompiled"]


def test_images_that_are_sent_fail_in_the_words_of_their_own_place(
    request_of: Any, tiny_model: Path, samples: Any
) -> None:
    request = request_of(tiny_model)
    worker = RayWorker()
    worker.load(setup_of(request))
    samples[0].image_path.write_bytes(b"no image")
    ((_, answer),) = worker.predict([read_task(samples[0])])
    expected = predict_sample(build_model(request, str(tiny_model)), samples[0]).error
    assert isinstance(answer, Outcome) and answer.error == expected is not None


def test_a_model_with_all_that_says_what_it_is_travels(
    request_of: Any, tmp_path: Path, samples: Any
) -> None:
    import torch

    from segstudio.architectures.enet import ENet

    folder = tmp_path / "foreign"
    folder.mkdir()
    torch.manual_seed(3)
    torch.save(ENet(4).state_dict(), folder / "model.pth")
    names = {"name": "mine", "classes": ["a", "b", "c", "d"]}
    (folder / "label_space.json").write_text(json.dumps(names))
    (folder / "notes.md").write_text("not needed")
    (folder / "large.json").write_bytes(b" " * 4_000_001)
    request = request_of(folder)
    setup = setup_of(request)
    expected = predict_sample(build_model(request, str(folder)), samples[0])
    files = read_files(setup.source)
    assert {Path(file.path).name for file in files} == {"model.pth", "label_space.json"}
    shutil.rmtree(folder)
    worker = RayWorker()
    assert worker.load(setup) == f"{folder} does not exist there."
    assert worker.load(setup, files) is None
    ((_, answer),) = worker.predict([Task(samples[0].image_path)])
    assert_same(answer, expected)


def test_another_file_of_that_name_is_not_taken(
    request_of: Any, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    shutil.copy(tiny_model, path)
    setup = setup_of(request_of(path))
    files = read_files(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    worker = RayWorker()
    reason = worker.load(setup)
    assert reason is not None and reason.startswith(f"{path} gives another model on ")
    assert reason.endswith("than where the run was started: weights.")
    assert worker.load(setup, files) is None


def test_a_model_that_is_gone_cannot_be_sent(tmp_path: Path) -> None:
    with pytest.raises(NotACheckpointError, match=r"gone\.safetensors does not exist"):
        read_files(tmp_path / "gone.safetensors")


def test_the_same_file_is_known_by_size_and_about_the_same_time(samples: Any) -> None:
    signature = sign_file(samples[0].image_path)
    assert is_same_file(samples[0], signature) and is_same_file(samples[0], None)
    rounded = replace(signature, mtime_ns=signature.mtime_ns // 10**9 * 10**9)
    assert is_same_file(samples[0], rounded)
    assert not is_same_file(samples[0], replace(signature, mtime_ns=signature.mtime_ns - 10**10))
    assert not is_same_file(samples[0], replace(signature, size=signature.size + 1))
    samples[0].image_path.unlink()
    assert is_same_file(samples[0], replace(signature, size=0)), "nothing better is here"
