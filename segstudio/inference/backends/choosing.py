"""Which backend a device and a precision get."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import platform
from collections.abc import Callable
from pathlib import Path

import torch

import segstudio
from segstudio.architectures._base import SegmentationNetwork
from segstudio.checkpoints.structure import file_digest
from segstudio.inference.backends.base import Backend
from segstudio.inference.backends.blobs import BlobStore, blob_key
from segstudio.inference.backends.compiling import CompileSettings, best_precision
from segstudio.inference.backends.eager import EagerBackend
from segstudio.inference.backends.openvino import OpenVinoBackend
from segstudio.inference.devices import automatic_precision, choose_precision

__all__ = ["build_backend", "default_backend_folder", "prepare_backend"]

_MOST_STREAMS = 8
"""Inputs that a compiled network takes side by side in a run."""
_LIBRARIES = ("openvino", "torch", "timm", "torchvision")
"""Whose versions a compiled network depends on."""


def default_backend_folder() -> Path:
    """Return where compiled networks are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("segstudio", appauthor=False)) / "compiled"


def prepare_backend(
    network: SegmentationNetwork,
    *,
    device: torch.device,
    precision: str,
    cache_key: str,
    cache_folder: Path | None,
    streams: int = 1,
    openvino_precision: Callable[[], str] | None = None,
    eager_precision: str | None = None,
) -> Backend:
    """Return what applies a network on a device; this is quick, compiling comes later.

    "fp32", "bf16" and "fp16" mean PyTorch itself at that precision.  "auto" on a CPU is OpenVINO
    at the best precision that the CPU is fast at, where it is installed and runs the network;
    otherwise, and on other devices, PyTorch at `automatic_precision`.

    Parameters
    ----------
    network : SegmentationNetwork
        In evaluation mode; moved to the device, its weights put channels last.
    device : torch.device
    precision : str
        "auto", "fp32", "bf16" or "fp16".
    cache_key : str
        Stands for the weights: the SHA-256 of the checkpoint file.
    cache_folder : Path or None
        Where compiled networks are kept, `default_backend_folder`; None for nowhere.
    streams : int
        Inputs that a run has on their way through the network at the same time.
    openvino_precision : callable, optional
        Tells the precision for OpenVINO; None asks OpenVINO, when it is installed.
    eager_precision : str, optional
        Of PyTorch, where it has to serve under "auto"; None takes `automatic_precision`.

    Raises
    ------
    UsageError
        When the precision is unknown or the device cannot do it.
    """
    network = network.to(device).to(memory_format=torch.channels_last)
    if precision != "auto":
        return EagerBackend(network, device=device, precision=choose_precision(precision, device))
    eager_precision = eager_precision or automatic_precision(device)
    if device.type != "cpu":
        return EagerBackend(network, device=device, precision=eager_precision)
    if openvino_precision is None:
        openvino_precision = best_precision
    try:
        chosen = openvino_precision()
    except Exception as error:  # noqa: BLE001 - not installed, or broken in any way it likes
        note = "OpenVINO, which runs networks several times faster on a CPU, is not used: " + (
            f"{error}." if _installed("openvino") else "it is not installed."
        )
        return EagerBackend(network, device=device, precision=eager_precision, notes=(note,))
    return OpenVinoBackend(
        network,
        EagerBackend(network, device=device, precision=eager_precision),
        CompileSettings(chosen, torch.get_num_threads(), streams),
        key=_identity(network, cache_key),
        store=None if cache_folder is None else BlobStore(cache_folder),
    )


def build_backend(
    network: SegmentationNetwork,
    checkpoint: Path,
    *,
    device: torch.device,
    precision: str,
) -> Backend:
    """Return the backend of a model: exact unless its user asks for less.

    "auto" is fp32 in PyTorch, so that labels reproduce from machine to machine.  "bf16" on a CPU
    is OpenVINO at that precision where it is installed and runs the network, PyTorch elsewhere.

    Parameters
    ----------
    network : SegmentationNetwork
        See `prepare_backend`, for the other parameters and the errors as well.
    checkpoint : Path
        The file of its weights.
    """
    chosen = choose_precision(precision, device)
    if chosen != "bf16" or device.type != "cpu":
        return prepare_backend(
            network, device=device, precision=chosen, cache_key="", cache_folder=None
        )
    return prepare_backend(
        network,
        device=device,
        precision="auto",
        cache_key=file_digest(checkpoint),
        cache_folder=default_backend_folder(),
        streams=min(_MOST_STREAMS, torch.get_num_threads()),
        openvino_precision=_brain_float,
        eager_precision="bf16",
    )


def _brain_float() -> str:
    """Return bf16, or raise where OpenVINO is not installed."""
    importlib.import_module("openvino")
    return "bf16"


def _identity(network: SegmentationNetwork, cache_key: str) -> str | None:
    """Return what stands for a network with its weights, code, libraries and processor.

    None for a network of a plugin: nothing tells when its code has changed.
    """
    kind = type(network)
    if not all(part.__module__.startswith("segstudio.") for part in (kind, type(network.options))):
        return None
    versions = [_version(name) for name in _LIBRARIES]
    processor = (platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability())
    return blob_key(
        cache_key,
        kind.__qualname__,
        network.classes,
        repr(network.options),
        segstudio.__version__,
        _sources(Path(inspect.getfile(SegmentationNetwork)).parent),
        versions,
        processor,
    )


@functools.cache
def _sources(folder: Path) -> str:
    """Return a digest of the architectures' code, which changes between versions, too.

    A frozen program has no sources beside it, nor do they change.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _version(name: str) -> str:
    """Return a library's version; a frozen program, whose libraries never change, has none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
