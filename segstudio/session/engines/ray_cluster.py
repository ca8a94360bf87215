"""Reaching a Ray cluster, or starting a small one here, without its noise; and its room."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from segstudio.core.errors import UsageError, WorkerError
from segstudio.core.options import option, options_from_text

__all__ = ["Cluster", "Places", "RayOptions", "find_places", "parse_engine"]

_ADDRESS = "RAY_ADDRESS"
_PROBE_SECONDS = 5.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the cluster
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do by itself, and warns about
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would upload the folder that one happens to be in
}
_MOST_CPUS, _MOST_CPUS_WITH_GPU = 4, 8
"""Of one worker: threads share a model's memory, and few images are slow to read."""


@dataclass(frozen=True)
class RayOptions:
    """What ``--engine ray:NAME=VALUE`` can say."""

    cpus: int = option(0, "CPUs of each worker; 0 chooses.", minimum=0)
    workers: int = option(0, "Number of workers; 0 takes all that the cluster has.", minimum=0)


def parse_engine(text: str) -> RayOptions | None:
    """Return the options of "ray" or "ray:cpus=4,workers=8", None for "local".

    Raises
    ------
    UsageError
        When it is neither, or Ray is asked for and not installed.
    """
    name, _, options = text.partition(":")
    if text == "local":
        return None
    if name != "ray":
        raise UsageError(f"An engine is local or ray, not {text!r}.")
    found: RayOptions = options_from_text(RayOptions, options)
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "Ray is not installed here; install segstudio[ray], or use --engine local."
        )
    return found


@dataclass(frozen=True, slots=True)
class Places:
    """Room for workers on a cluster.

    Attributes
    ----------
    cpus, gpus : int
        What each worker takes.
    workers : int
        How many of them.
    """

    cpus: int
    gpus: int
    workers: int


def find_places(nodes: Sequence[Mapping[str, Any]], device: str, options: RayOptions) -> Places:
    """Return the workers that a cluster has room for: one per GPU, or per some CPUs.

    Parameters
    ----------
    nodes : sequence of mapping
        As ``ray.nodes()`` describes them.
    device : str
        "auto" takes GPUs where the cluster has any, else CPUs.
    options : RayOptions

    Raises
    ------
    UsageError
        When the device is another than "auto", "cpu" or "cuda".
    WorkerError
        When there is no room for a single one.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise UsageError(
            f"A Ray cluster chooses its devices itself; use --device auto, cpu or cuda, not "
            f"{device}."
        )
    rooms = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in nodes
        if node["Alive"]
    ]
    rooms = [room for room in rooms if room[0]]
    with_gpu = [room for room in rooms if room[1]]
    gpus = 0 if device == "cpu" or (device == "auto" and not with_gpu) else 1
    if gpus:
        share = min((room[0] // room[1] for room in with_gpu), default=0)
        cpus = options.cpus or max(1, min(share, _MOST_CPUS_WITH_GPU))
        workers = sum(min(room[0] // cpus, room[1]) for room in with_gpu)
    else:
        share = min((room[0] for room in rooms), default=0)
        cpus = options.cpus or max(1, min(share, _MOST_CPUS))
        workers = sum(room[0] // cpus for room in rooms)
    if not workers:
        needs = f"{cpus} CPU{'' if cpus == 1 else 's'}{' and a GPU' if gpus else ''}"
        raise WorkerError(
            f"No machine of the Ray cluster has {needs} for a worker; ask for less with "
            "--engine ray:cpus=1 or --device cpu."
        )
    return Places(cpus, gpus, options.workers or workers)


class Cluster:
    """A connection to Ray; one that was there before is used and left alone.

    The cluster is that of ``RAY_ADDRESS``: HOST:PORT, or "auto" for the one that this machine
    belongs to.  Without it Ray is started on this machine for as long as it is needed: a cluster
    that merely happens to run here may be somebody else's.

    Raises
    ------
    WorkerError
        When it cannot be reached, or has other versions.
    """

    def __init__(self) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import ray

        self.ray: Any = ray
        self._ours = not ray.is_initialized()
        self._restore: Callable[[], None] = lambda: None
        self.name = "this machine"
        if not self._ours:
            return
        logging.getLogger("ray").setLevel(logging.ERROR)
        self._restore = _silence(ray)
        try:
            with _same_handlers():
                self._connect(os.environ.get(_ADDRESS, ""))
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str) -> None:
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        here = address in {"", "local"}
        self.name = "this machine" if here else address
        try:
            if here:
                self.ray.init(address="local", include_dashboard=False, **quiet)
            else:
                _probe(address)
                self.ray.init(address=address, **quiet)
        except (OSError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
            raise WorkerError(_explain(self.name, error)) from error

    def close(self) -> None:
        """Give up the connection, and end the cluster that was started for it."""
        if self._ours:
            self._ours = False
            with _same_handlers():
                self.ray.shutdown()
            self._restore()


def _probe(address: str) -> None:
    """Knock at HOST:PORT: Ray itself tries for minutes, and ends the process at last.

    Raises
    ------
    OSError
        When nobody answers.
    ValueError
        When it is the address of a Ray Client server, through which this does not work.
    """
    if address.startswith("ray://"):
        raise ValueError("Ray Client has no stream of answers; start the run on a machine of it")
    found = re.fullmatch(r"\[?([^/\[\]]+?)\]?:(\d+)", address)
    if found is not None:
        socket.create_connection((found[1], int(found[2])), timeout=_PROBE_SECONDS).close()


def _explain(name: str, error: Exception) -> str:
    """Say in one sentence why a cluster cannot be used."""
    text = " ".join(str(error).split()).rstrip(".")
    versions = re.search(r"Ray: (\S+) Python: (\S+) This process .*?Ray: (\S+) Python: (\S+)", text)
    if versions is not None:
        return (
            f"The Ray cluster at {name} runs Ray {versions[1]} on Python {versions[2]}, and here "
            f"are Ray {versions[3]} and Python {versions[4]}; install the same on both."
        )
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror.lower()
    if name == "this machine":
        return f"Ray cannot be started on this machine: {text}."
    return (
        f"The Ray cluster at {name} cannot be reached: {text}; see that it runs and that "
        f"{_ADDRESS} is right."
    )


def _silence(ray: Any) -> Callable[[], None]:
    """Keep Ray from writing to stdout, where results go; return what undoes that.

    It prints every death of a worker there and has no switch for it.
    """
    module: Any = getattr(getattr(ray, "_private", None), "worker", None)
    plain = getattr(module, "print_to_stdstream", None)
    if plain is None:
        return lambda: None
    module.print_to_stdstream = lambda *_, **__: None

    def restore() -> None:
        module.print_to_stdstream = plain

    return restore


@contextmanager
def _same_handlers() -> Iterator[None]:
    """Take back the signal handlers that Ray sets: who runs the engine decides what SIGTERM is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
