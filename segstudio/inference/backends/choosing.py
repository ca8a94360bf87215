"""Which backend a device and a precision get."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import platform
from pathlib import Path

import torch

import segstudio
from segstudio.architectures._base import SegmentationNetwork
from segstudio.checkpoints.structure import file_digest
from segstudio.inference.backends.base import Backend
from segstudio.inference.backends.blobs import BlobStore, blob_key
from segstudio.inference.backends.compiling import CompileSettings
from segstudio.inference.backends.eager import EagerBackend
from segstudio.inference.backends.openvino import OpenVinoBackend
from segstudio.inference.devices import choose_precision

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
) -> Backend:
    """Return what applies a network on a device; this is quick, compiling comes later.

    "fp32" is PyTorch itself, exactly.  On a CPU "auto" and "bf16" are OpenVINO, where it is
    installed and runs the network, at the precision of `choose_precision`; under "auto" inputs that
    are not compiled for are exact, and so is a network that needs fp32.  On other devices all of
    them are PyTorch.

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

    Raises
    ------
    UsageError
        When the precision is unknown or the device cannot do it.
    """
    chosen = choose_precision(precision, device, exact=network.needs_fp32)
    network = network.to(device).to(memory_format=torch.channels_last)
    eager = EagerBackend(network, device=device, precision=chosen)
    if not _compiles(network, device, precision):
        return eager
    if not _installed("openvino"):
        note = (
            "OpenVINO, which runs networks several times faster on a CPU, is not used: it is not "
            "installed."
        )
        return EagerBackend(network, device=device, precision=chosen, notes=(note,))
    if precision == "auto":
        # What is not worth compiling, single images above all, is few: it may as well be exact.
        eager = EagerBackend(network, device=device, precision="fp32")
    return OpenVinoBackend(
        network,
        eager,
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
    """Return the backend of a model whose weights are in a file.

    Parameters
    ----------
    network : SegmentationNetwork
        See `prepare_backend`, for the other parameters and the errors as well.
    checkpoint : Path
        The file of its weights.
    """
    digest = file_digest(checkpoint) if _compiles(network, device, precision) else ""
    return prepare_backend(
        network,
        device=device,
        precision=precision,
        cache_key=digest,
        cache_folder=default_backend_folder(),
        streams=min(_MOST_STREAMS, torch.get_num_threads()),
    )


def _compiles(network: SegmentationNetwork, device: torch.device, precision: str) -> bool:
    if device.type != "cpu" or precision == "fp32":
        return False
    return precision != "auto" or not network.needs_fp32


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
