"""Runs on a real Ray of two workers on this machine.

A plugin that the workers load holds every prediction until a file appears, so that a worker can be
killed, and a run cancelled, while both are known to compute.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.engines.base import Outcome, build_model
from segstudio.session.engines.ray import RayEngine
from segstudio.session.engines.ray_cluster import RayOptions
from segstudio.session.events import PredictionReady, RunEvent, SampleFailed
from segstudio.session.plugins import load_plugins, user_plugin_folder
from segstudio.session.runner import RunRequest, run_models

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install ray"
)

PLUGIN = '''
"""Swaps the first two classes, once there is a file called open."""
import os, time
from pathlib import Path
from segstudio.inference.refiners.base import REFINERS, Refiner

@REFINERS.register("gate")
class Gate(Refiner):
    name, description = "gate", "swaps classes"

    def refine_checked(self, image, probabilities):
        folder = Path(os.environ["SEGSTUDIO_TEST_GATE"])
        (folder / f"{os.getpid()}.computing").touch()
        while not (folder / "open").exists():
            time.sleep(0.01)
        return probabilities[[1, 0, *range(2, len(probabilities))]]
'''


@dataclass(frozen=True)
class Gate:
    """Where the plugin's files are, and the plugin itself."""

    folder: Path
    plugins: Path

    def open(self) -> None:
        (self.folder / "open").touch()

    def computing(self) -> set[int]:
        """Process ids of the workers that have begun to predict."""
        return {int(path.stem) for path in self.folder.glob("*.computing")} - {os.getpid()}

    def wait_for_workers(self, count: int, running: Future[Any]) -> set[int]:
        deadline = time.monotonic() + 120
        while len(self.computing()) < count:
            assert not running.done(), running.result()
            assert time.monotonic() < deadline, "the workers do not begin"
            threading.Event().wait(0.02)
        return self.computing()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A Ray that is there before the engine, and whose workers find the plugin."""
    import ray

    folder = tmp_path_factory.mktemp("gate")
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SEGSTUDIO_TEST_GATE", str(folder))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        plugins = user_plugin_folder()
        plugins.mkdir(parents=True)
        (plugins / "gate.py").write_text(PLUGIN)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            yield Gate(folder, plugins)
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def gate(cluster: Gate, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The gate, shut, with the plugin loaded here as well."""
    for path in cluster.folder.iterdir():
        path.unlink()
    monkeypatch.setenv("SEGSTUDIO_TEST_GATE", str(cluster.folder))
    load_plugins(folders=[cluster.plugins], reload=True)
    return cluster


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight small images, and one that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(3)
    for number in range(8):
        cells = generator.integers(0, 255, (6, 8, 3)).astype(np.uint8)
        image = cv2.resize(cells, (64 + 8 * number, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "none.png").write_bytes(b"no image")
    return folder


def run(images: Path, model: Path, project: Path, **options: Any) -> list[RunEvent]:
    project.mkdir()
    events: list[RunEvent] = []
    request = RunRequest(open_dataset(images), (str(model),), project, **options)
    run_models(request, events.append)
    return events


def files_of(project: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in (project / "runs").rglob("*.png")
    }


def identities(project: Path) -> dict[str, str]:
    with closing(Store(ProjectLayout(project).database)) as store:
        return {entry.run: entry.identity for entry in store.runs()}


def test_a_run_whose_worker_is_killed_is_that_of_this_machine(
    gate: Gate, images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import ray

    here, there = tmp_path / "here", tmp_path / "there"
    options = {"engine": "ray:cpus=1", "refine": "gate"}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, images, tiny_model, there, **options)
        try:
            victim = min(gate.wait_for_workers(2, running))
            os.kill(victim, signal.SIGKILL)
        finally:
            gate.open()
        events = running.result()
    ready = Counter(event.sample_id for event in events if isinstance(event, PredictionReady))
    assert ready == Counter(f"{number}.png" for number in range(8))
    (failed,) = (event for event in events if isinstance(event, SampleFailed))
    assert failed.sample_id == "none.png" and "is not an image" in failed.error

    run(images, tiny_model, here, refine="gate")
    assert identities(there) == identities(here)
    assert len(files_of(here)) == 4 * 8 and files_of(there) == files_of(here)
    assert ray.is_initialized(), "what was there before is left alone"


@pytest.mark.heavy
def test_a_run_that_is_cancelled_ends_though_its_workers_are_stuck(
    gate: Gate, images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    request = RunRequest(open_dataset(images), (str(tiny_model),), tmp_path, refine="gate")
    engine = RayEngine(request, build_model(request, str(tiny_model)), RayOptions(cpus=1))
    stop = threading.Event()

    def collect() -> list[Outcome]:
        with closing(engine), closing(engine.outcomes(samples, cancelled=stop.is_set)) as outcomes:
            return list(outcomes)

    samples = [entry for entry in request.dataset.samples if entry.sample_id != "none.png"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(collect)
        try:
            workers = gate.wait_for_workers(2, running)
            stop.set()
            assert running.result(timeout=60) == []
        finally:
            stop.set()
            gate.open()
    assert gate.computing() == workers, "nobody was hired any more"


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="the way to hide files is Linux's")
def test_workers_that_see_no_file_of_ours_give_the_same(
    gate: Gate,
    images: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate.open()
    run(images, tiny_model, tmp_path / "here", refine="gate")
    # A path through this process's working directory means another place in every other one.
    shutil.copy(tiny_model, images / "tiny.safetensors")
    monkeypatch.chdir(images)
    hidden = Path("/proc/self/cwd")
    options = {"engine": "ray:cpus=1", "refine": "gate"}
    run(hidden, hidden / "tiny.safetensors", tmp_path / "there", **options)
    assert identities(tmp_path / "there") == identities(tmp_path / "here")
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def command(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segstudio", "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.heavy
def test_the_command_starts_a_ray_of_its_own_and_ends_it(
    images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = (images, "-m", tiny_model, "--project", tmp_path / "project", "--engine", "ray")
    with tempfile.TemporaryDirectory(prefix="sr-") as temporary:  # the path of a socket is short
        done = command(*arguments, RAY_TMPDIR=temporary)
    assert done.returncode == 1, done.stderr  # none.png
    assert len(files_of(tmp_path / "project")) == 4 * 8
    assert "ray" not in done.stdout.replace(str(tmp_path), "").lower()
    assert "ray" not in done.stderr.replace(str(tmp_path), "").lower()
    mark = temporary.encode()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)]


@pytest.mark.heavy
def test_the_command_runs_on_the_cluster_of_its_address_and_leaves_it(
    gate: Gate, images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    arguments = (images, "-m", tiny_model, "--project", tmp_path / "project")
    done = command(*arguments, "--engine", "ray:cpus=1", RAY_ADDRESS=address)
    assert done.returncode == 1, done.stderr
    assert len(files_of(tmp_path / "project")) == 4 * 8
    assert ray.nodes()[0]["Alive"]


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""
