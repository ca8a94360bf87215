"""The books of the Ray engine, with a stand-in for Ray that answers at once and dies when told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import WorkerError
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.project.signature import sign_file
from segstudio.session.engines import ray as engine_module
from segstudio.session.engines import ray_crew
from segstudio.session.engines.base import Layers, Outcome
from segstudio.session.engines.ray import RayEngine
from segstudio.session.engines.ray_cluster import RayOptions
from segstudio.session.engines.ray_worker import Facts, Task, Unseen, look_here
from segstudio.session.runner import RunRequest


class _RayError(Exception):
    pass


class _TaskError(_RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("a long traceback")
        self.cause = cause


class _Killed(_RayError):
    pass


class _NoMemory(_RayError):
    pass


@dataclass(eq=False)
class _Answer:
    call: Callable[[], Any]


@dataclass(eq=False)
class _Stream:
    actor: _Actor
    tasks: list[Task]
    position: int = 0

    def __next__(self) -> _Answer:
        if self.actor.dead is None and self.position == len(self.tasks):
            raise StopIteration
        position = self.position
        self.position += 1

        def answer() -> Any:
            if self.actor.dead is None:
                try:
                    return position, self.actor.ray.behave(self.tasks[position], self.actor)
                except _RayError as error:
                    self.actor.dead = error
            assert self.actor.dead is not None
            raise self.actor.dead

        return _Answer(answer)


class _Call:
    def __init__(self, begin: Callable[..., Any]) -> None:
        self._begin = begin

    def options(self, **options: Any) -> _Call:
        assert options == {"num_returns": "streaming"}
        return self

    def remote(self, *arguments: Any) -> Any:
        return self._begin(*arguments)


@dataclass(eq=False)
class _Actor:
    ray: _Ray
    number: int
    dead: Exception | None = None
    streams: list[_Stream] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.look = _Call(lambda: _Answer(lambda: self._alive(self.ray.facts)))
        self.load = _Call(lambda *given: _Answer(lambda: self._alive(self.ray.load(*given))))
        self.predict = _Call(self._predict)

    def _alive(self, answer: Any) -> Any:
        if self.dead is not None:
            raise self.dead
        return answer

    def _predict(self, tasks: list[Task]) -> _Stream:
        self.ray.given.append([task.image_path.name for task in tasks])
        self.streams.append(_Stream(self, tasks))
        return self.streams[-1]


class _Ray:
    """What the engine uses of Ray; ``behave`` says what becomes of a task."""

    exceptions = SimpleNamespace(
        RayError=_RayError, RayTaskError=_TaskError, OutOfMemoryError=_NoMemory
    )

    def __init__(self) -> None:
        self.facts = look_here()
        self.cpus = 2
        self.actors: list[_Actor] = []
        self.killed: list[_Actor] = []
        self.given: list[list[str]] = []
        self.loads: list[tuple[Any, ...]] = []
        self.refusals: list[str] = []
        self.most = 0
        self.silent = False
        self.behave: Callable[[Task, _Actor], Any] = lambda task, actor: outcome(task)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": self.cpus}}]

    def remote(self, kind: type) -> Any:
        def create() -> _Actor:
            self.actors.append(_Actor(self, len(self.actors)))
            return self.actors[-1]

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=create))

    def load(self, *given: Any) -> str | None:
        self.loads.append(given)
        return self.refusals.pop(0) if self.refusals else None

    def put(self, value: Any) -> Any:
        return value

    def wait(self, waiting: list[Any], num_returns: int, timeout: float) -> Any:
        assert waiting, "Ray refuses to wait for nothing"
        alive = [actor for actor in self.actors if actor not in self.killed]
        streams = [stream for actor in alive for stream in actor.streams]
        self.most = max(self.most, sum(len(entry.tasks) - entry.position for entry in streams))
        return ([], waiting) if self.silent else (waiting[:num_returns], waiting[num_returns:])

    def get(self, answer: _Answer) -> Any:
        return answer.call()

    def kill(self, actor: _Actor) -> None:
        self.killed.append(actor)
        actor.dead = actor.dead or _Killed("killed")


def outcome(task: Task) -> Outcome:
    zeros = np.zeros((4, 4), np.uint8)
    zeros.flags.writeable = False  # as Ray's memory is
    signature = task.signature or sign_file(task.image_path)
    sample = Sample("0", task.image_path)
    return Outcome(sample, Layers(zeros, zeros, zeros, zeros), None, None, 0.1, signature)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"x" * (number + 1))
        found.append(Sample(path.name, path))
    return found


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> _Ray:
    ray = _Ray()
    cluster = SimpleNamespace(ray=ray, name="head:6379", close=lambda: None)
    monkeypatch.setattr(engine_module, "Cluster", lambda: cluster)
    monkeypatch.setattr(engine_module, "find_source", lambda *_: Path("/models/tiny.safetensors"))
    monkeypatch.setattr(engine_module, "run_identity", lambda *_: "{}")
    monkeypatch.setattr(ray_crew, "read_files", lambda source: f"the files of {source}")
    return ray


@pytest.fixture
def engine(ray: _Ray, tmp_path: Path) -> RayEngine:
    request = RunRequest(Dataset(tmp_path, "plain", ()), ("tiny",), tmp_path)
    model: Any = SimpleNamespace(precision="fp32", backend=SimpleNamespace(compiles=False))
    return RayEngine(request, model, RayOptions(cpus=1))


def names(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(entry.sample.sample_id for entry in outcomes)


def once(samples: list[Sample]) -> Counter[str]:
    return Counter(sample.sample_id for sample in samples)


def run(engine: RayEngine, samples: list[Sample], **options: Any) -> list[Outcome]:
    with closing(engine), closing(engine.outcomes(samples, **options)) as outcomes:
        return list(outcomes)


def test_each_sample_comes_back_once_as_it_went(engine: Any, ray: Any, samples: Any) -> None:
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    assert {entry.sample for entry in outcomes} == set(samples)
    assert len(ray.actors) == len(ray.killed) == 2, "both workers are used, and dismissed"
    for entry in outcomes:
        assert entry.layers is not None and entry.layers.labels.flags.owndata


def test_the_first_images_are_told_from_the_others_also_when_they_are_sent(
    engine: Any, ray: Any, samples: Any
) -> None:
    seen: dict[str, set[tuple[bool, bool]]] = {}

    def behave(task: Task, actor: Any) -> Any:
        name = task.image_path.name
        seen.setdefault(name, set()).add((task.early, task.data is not None))
        return outcome(task) if task.data is not None else Unseen()

    ray.behave = behave
    assert names(run(engine, samples, early={"0.png", "1.png"})) == once(samples)
    assert {name for name, how in seen.items() if (True, True) in how} == {"0.png", "1.png"}
    assert all(len({early for early, _ in how}) == 1 for how in seen.values())


def test_workers_load_at_the_word_that_makes_them_the_same(ray: _Ray, tmp_path: Path) -> None:
    def word(request_word: str, precision: str, compiles: bool) -> str:
        request = RunRequest(
            Dataset(tmp_path, "plain", ()), ("tiny",), tmp_path, precision=request_word
        )
        backend = SimpleNamespace(compiles=compiles)
        model: Any = SimpleNamespace(precision=precision, backend=backend)
        made = RayEngine(request, model, RayOptions(cpus=1), {(8, 8): 9})
        assert made._setup.counts == {(8, 8): 9}
        return made._setup.request.precision

    # What is not compiled for is exact under auto, and in 16 bits under bf16.
    assert word("auto", "bf16", True) == "auto" and word("bf16", "bf16", True) == "bf16"
    assert word("auto", "fp32", False) == "fp32" and word("auto", "bf16", False) == "bf16"


def test_what_is_on_its_way_does_not_grow_with_the_samples(
    engine: Any, ray: Any, samples: Any
) -> None:
    most = {}
    for times in (1, 50):
        ray.most = 0
        many = [replace(entry, sample_id=f"{n}/{entry}") for n in range(times) for entry in samples]
        with closing(engine.outcomes(many)) as outcomes:
            assert sum(1 for _ in outcomes) == 40 * times
        most[times] = ray.most
    assert most[50] <= most[1] == 2 * 2 * 2, "two chunks of two samples with each of two workers"


def test_a_slow_consumer_stops_the_giving(engine: Any, ray: Any, samples: Any) -> None:
    with closing(engine), closing(engine.outcomes(samples)) as outcomes:
        next(outcomes)
        given = sum(len(chunk) for chunk in ray.given)
    assert given == 8


def test_chunks_are_small_where_answers_are_large(
    engine: Any, ray: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_crew, "_CHUNK_BYTES", 100)
    assert names(run(engine, samples)) == once(samples)
    assert {len(chunk) for chunk in ray.given[:4]} == {2}, "nothing is known of them at first"
    assert {len(chunk) for chunk in ray.given[4:]} == {1}, "four layers of 16 bytes, twice: 128"


def test_chunks_shrink_towards_the_end(engine: Any, ray: Any, samples: Any) -> None:
    run(engine, samples[:5])
    assert [len(chunk) for chunk in ray.given] == [2, 1, 1, 1]


# -- death --------------------------------------------------------------------------------------


def test_what_a_dead_worker_had_goes_to_others(engine: Any, ray: Any, samples: Any) -> None:
    def behave(task: Task, actor: _Actor) -> Outcome:
        if actor.number in {0, 3} and task.image_path.name in {"1.png", "20.png"}:
            raise _Killed("no more")
        return outcome(task)

    ray.behave = behave
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    assert all(entry.error is None for entry in outcomes)
    assert len(ray.actors) == 3 and set(ray.killed) == set(ray.actors)


def test_an_unknown_error_of_a_worker_counts_as_its_death(
    engine: Any, ray: Any, samples: Any
) -> None:
    def behave(task: Task, actor: _Actor) -> Outcome:
        if actor.number == 0:
            raise _TaskError(RuntimeError("CUDA error: device-side assert\nmore"))
        return outcome(task)

    ray.behave = behave
    assert names(run(engine, samples)) == once(samples)


def test_one_image_that_kills_its_workers_fails_alone(engine: Any, ray: Any, samples: Any) -> None:
    deaths: list[int] = []

    def behave(task: Task, actor: _Actor) -> Outcome:
        if task.image_path.name == "7.png":
            deaths.append(actor.number)
            raise _NoMemory("long advice")
        return outcome(task)

    ray.behave = behave
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    (failed,) = (entry for entry in outcomes if entry.error is not None)
    assert failed.error == (
        f"{samples[7].image_path} was not predicted: 3 workers died over it, for the last: its "
        "machine ran out of memory."
    )
    assert len(deaths) == len(set(deaths)) == 3
    tried = [chunk for chunk in ray.given if "7.png" in chunk]
    assert len(tried) == 3 and tried[1:] == [["7.png"]] * 2, "alone, so that no other is blamed"


def test_workers_that_die_one_after_the_other_end_the_run(
    engine: Any, ray: Any, samples: Any
) -> None:
    def behave(task: Task, actor: _Actor) -> Outcome:
        raise _TaskError(ValueError("no such kernel"))

    ray.behave = behave
    with pytest.raises(WorkerError, match=r"die one after the other: ValueError: no such kernel;"):
        run(engine, samples)
    assert len(ray.actors) <= 9 + 2 * 2 + 2 and set(ray.killed) == set(ray.actors)


def test_a_cluster_that_is_lost_ends_the_run_in_a_sentence(
    engine: Any, ray: Any, samples: Any
) -> None:
    def wait(*_: Any, **__: Any) -> Any:
        raise _RayError("the head does not answer\nstack")

    ray.wait = wait
    with pytest.raises(WorkerError, match=r"at head:6379 is lost: the head does not answer; fini"):
        run(engine, samples)


# -- starting ------------------------------------------------------------------------------------


def test_a_model_that_is_not_there_is_sent_once(engine: Any, ray: Any, samples: Any) -> None:
    ray.refusals = ["it does not exist there."] * 2
    assert names(run(engine, samples)) == once(samples)
    assert [len(given) for given in ray.loads] == [1, 1, 2, 2]
    setup, files = ray.loads[-1]
    assert files == "the files of /models/tiny.safetensors"
    assert setup.request.device == "cpu" and setup.request.precision == "fp32"
    assert setup.request.dataset.samples == () and setup.request.models == ()


def test_a_model_that_cannot_be_loaded_even_so_ends_the_run(
    engine: Any, ray: Any, samples: Any
) -> None:
    ray.refusals = ["it does not exist there."] * 2 + ["No architecture knows it."]
    host = ray.facts.host
    with pytest.raises(WorkerError, match=f"on {host} cannot load the model: No architecture know"):
        run(engine, samples)


@pytest.mark.parametrize("other", [{"segstudio": "9.9"}, {"torch": "1.0"}])
def test_other_versions_are_refused(
    engine: Any, ray: Any, samples: Any, other: dict[str, str]
) -> None:
    here = look_here()
    ray.facts = replace(Facts("node7", here.segstudio, here.torch), **other)
    with pytest.raises(WorkerError, match="worker on node7 has SegStudio") as caught:
        run(engine, samples)
    assert next(iter(other.values())) in str(caught.value)


def test_a_machine_without_segstudio_is_told(engine: Any, ray: Any, samples: Any) -> None:
    def die(_: Any) -> Any:
        raise _RayError("The actor died ...\nModuleNotFoundError: No module named 'segstudio'")

    ray.get = die
    with pytest.raises(WorkerError, match=r"cannot import SegStudio \(No module named 'segstudio'"):
        run(engine, samples)


def test_workers_that_never_start_are_told(
    engine: Any, ray: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_crew, "_START_SECONDS", 0.01)
    ray.silent = True
    with pytest.raises(WorkerError, match="No worker of the Ray cluster at head:6379 was ready"):
        run(engine, samples)


# -- images that workers do not see --------------------------------------------------------------


def test_images_are_sent_to_workers_that_cannot_read_them(
    engine: Any, ray: Any, samples: Any
) -> None:
    asked: list[str] = []

    def behave(task: Task, actor: _Actor) -> Any:
        if task.data is None:
            asked.append(task.image_path.name)
            return Unseen()
        assert task.data == task.image_path.read_bytes()
        return outcome(task)

    ray.behave = behave
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    assert all(entry.signature == sign_file(entry.sample.image_path) for entry in outcomes)
    assert len(asked) == 8, "from then on the folder is known, and they are sent at once"


def test_a_workers_own_file_of_that_name_is_not_taken_for_ours(
    engine: Any, ray: Any, samples: Any
) -> None:
    def behave(task: Task, actor: _Actor) -> Outcome:
        found = outcome(task)
        if task.data is None:
            size = found.signature.size + 1  # type: ignore[union-attr]
            return replace(found, signature=replace(found.signature, size=size))
        return found

    ray.behave = behave
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    assert all(entry.signature == sign_file(entry.sample.image_path) for entry in outcomes)


def test_an_image_that_is_gone_fails_as_it_does_here(engine: Any, ray: Any, samples: Any) -> None:
    samples[3].image_path.unlink()
    ray.behave = lambda task, actor: outcome(task) if task.image_path.exists() else Unseen()
    outcomes = run(engine, samples)
    assert names(outcomes) == once(samples)
    (failed,) = (entry for entry in outcomes if entry.error is not None)
    assert failed.error == f"{samples[3].image_path} does not exist."
    assert sum(len(chunk) for chunk in ray.given) == 40, "its folder is not held to be unreadable"


def test_failures_name_the_image_as_the_user_does(
    engine: Any, ray: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(samples[0].image_path.parent)
    ray.behave = lambda task, actor: replace(
        outcome(task), layers=None, error=f"{task.image_path} is no image.", signature=None
    )
    (failed,) = run(engine, [Sample("0.png", Path("0.png"))])
    assert failed.error == "0.png is no image."


# -- stopping -------------------------------------------------------------------------------------


def test_nothing_is_given_after_cancelling(
    engine: Any, ray: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Outcome] = []
    with closing(engine.outcomes(samples, cancelled=lambda: len(done) >= 3)) as outcomes:
        for entry in outcomes:
            done.append(entry)
    given = {name for chunk in ray.given for name in chunk}
    assert names(done) == Counter(given), "what was with the workers is still taken"
    assert 3 <= len(done) < 20
    assert set(ray.killed) == set(ray.actors)


def test_workers_that_are_stuck_do_not_hold_up_the_end(
    engine: Any, ray: Any, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_crew, "_STOP_SECONDS", 0.5)

    def cancelled() -> Iterator[bool]:
        while not ray.given:
            yield False
        ray.silent = True
        while True:
            yield True

    states = cancelled()
    outcomes = run(engine, samples, cancelled=lambda: next(states))
    assert len(outcomes) <= 2 and ray.given, "those that came before it was asked"
    assert set(ray.killed) == set(ray.actors)
