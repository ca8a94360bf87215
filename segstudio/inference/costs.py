"""What a model costs on this machine: parameters, operations, time and memory.

Conventions, the same for every model:

- Operations are those of convolutions, matrix products and attention, as
  `torch.utils.flop_counter` counts them; a multiply-add counts as two.  Papers that count
  multiply-adds state half of it.
- Times are medians after a warm-up.  *predict* goes from an image to a label map with its
  uncertainty; *forward* is one pass of the network alone.
- Memory on a CUDA device is the most that PyTorch had allocated at once.  On the CPU it is the
  growth of a fresh process: how far its resident memory at its peak lay above where it was before
  the model was loaded.  Both include the weights; the CPU's also what loading took.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segstudio.core.errors import SegStudioError, UsageError, WorkerError
from segstudio.core.options import build_options, options_to_json
from segstudio.core.types import Image
from segstudio.inference.devices import choose_device, choose_precision
from segstudio.inference.fused import fuse_logits
from segstudio.inference.model import Model, load_model
from segstudio.inference.preprocess import resize_image, to_input
from segstudio.inference.windows import window_starts

if TYPE_CHECKING:
    from torch import Tensor

    from segstudio.architectures._base import SegmentationNetwork

__all__ = ["Costs", "measure_costs"]

_WARM_UP = 2
_FOLDER = 100
"""Images for which a network is compiled: a folder of them."""
_CPU_METHOD = "growth of a fresh process's resident memory at its peak, loading weights included"
_CUDA_METHOD = "most that PyTorch had allocated on the device at once, weights included"


@dataclass(frozen=True)
class Costs:
    """What one model costs for an image of one size.

    Attributes
    ----------
    architecture, backbone, variant : str
        Names; backbone is the encoder's, empty where it is the architecture's own; the variant is
        empty when there is only one.
    parameters, parameter_bytes : int or None
        Trainable parameters and the memory they take; None for a network that keeps its weights
        to itself (an exported graph).
    operations : int or None
        Of one pass; None where PyTorch does not see them.
    output_stride : int
        Input size over the size of the finest features that the head sees.
    size, input_size : (int, int)
        (H, W) of the image, and of what the network sees in one pass.
    passes : int
        Passes per image: more than one with a sliding window.
    device, precision : str
        As used.
    runs : int
        How many repetitions the medians are of.
    predict_seconds, forward_seconds : float
        Per image, and per pass.
    peak_memory : int or None
        Bytes; None where it cannot be measured.
    memory_method : str
        What ``peak_memory`` is.
    """

    architecture: str
    backbone: str
    variant: str
    parameters: int | None
    parameter_bytes: int | None
    operations: int | None
    output_stride: int
    size: tuple[int, int]
    input_size: tuple[int, int]
    passes: int
    device: str
    precision: str
    runs: int
    predict_seconds: float
    forward_seconds: float
    peak_memory: int | None
    memory_method: str

    @property
    def images_per_second(self) -> float:
        """Whole predictions per second."""
        return 1 / self.predict_seconds

    @property
    def passes_per_second(self) -> float:
        """Passes of the network alone per second."""
        return 1 / self.forward_seconds

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        values = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }
        return values | {
            "images_per_second": self.images_per_second,
            "passes_per_second": self.passes_per_second,
        }


def measure_costs(
    name_or_path: str | Path,
    size: tuple[int, int],
    *,
    device: str = "auto",
    precision: str = "auto",
    runs: int = 5,
    prepare: Callable[[], object] | None = None,
) -> Costs:
    """Measure a model on an image of noise.

    Parameters
    ----------
    name_or_path : str or Path
        As `segstudio.inference.model.load_model` takes it.
    size : (int, int)
        (H, W) of the image.
    device, precision : str
        See `segstudio.inference.devices`.
    runs : int
        Repetitions after the warm-up; the median counts.
    prepare : callable, optional
        A function of a module that the process which measures memory calls first: it loads the
        plugins.

    Raises
    ------
    UsageError
        When size or runs make no sense, or the device or precision cannot be used.
    SegStudioError
        When the model cannot be loaded or the image does not fit into memory.
    """
    if min(size) < 1 or runs < 1:
        raise UsageError("A measurement needs an image of 1 x 1 pixels or more, and a run or more.")
    place = choose_device(device)
    choose_precision(precision, place)
    on_cuda = place.type == "cuda"
    image = _noise(size)
    before = 0
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
    model = load_model(name_or_path, device=str(place), precision=precision)
    model.predict(image)
    # Before anything else runs, so that it is a prediction's memory.
    peak = torch.cuda.max_memory_allocated(place) - before if on_cuda else None
    batch, passes = _pass_input(model, image)
    # As a run over a folder of such images would be served.
    model.backend.wait_ready(model.input_counts([size] * _FOLDER))
    logits = model.backend(batch)
    predict_seconds, forward_seconds = _median_seconds(
        [lambda: model.predict(image), lambda: model.backend(batch)], runs, model.device
    )
    if place.type == "cpu":
        peak = _cpu_peak(str(name_or_path), model.precision, size, prepare)
    network = model.network
    weights = [entry for entry in network.parameters()]
    height, width = batch.shape[-2:]
    return Costs(
        architecture=model.checkpoint.architecture,
        backbone=_backbone(network),
        variant=_variant(network),
        parameters=network.parameter_count() or None,
        parameter_bytes=sum(entry.numel() * entry.element_size() for entry in weights) or None,
        operations=_operations(network, batch),
        output_stride=network.output_stride or round(height / logits.shape[-2]),
        size=size,
        input_size=(height, width),
        passes=passes,
        device=str(model.device),
        precision=model.precision,
        runs=runs,
        predict_seconds=predict_seconds,
        forward_seconds=forward_seconds,
        peak_memory=peak,
        memory_method="" if peak is None else _CUDA_METHOD if on_cuda else _CPU_METHOD,
    )


def _noise(size: tuple[int, int]) -> Image:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def _pass_input(model: Model, image: Image) -> tuple[Tensor, int]:
    """Return what the network sees in its first pass over an image, and how many there are."""
    resized = resize_image(image, model.preprocessing)
    batch = to_input(resized, model.preprocessing, model.device)
    passes = 1
    if model.window is not None:
        (height, width), (down, right) = model.window
        rows = window_starts(batch.shape[-2], height, down)
        columns = window_starts(batch.shape[-1], width, right)
        batch, passes = batch[..., :height, :width], len(rows) * len(columns)
    return batch.contiguous(memory_format=torch.channels_last), passes


@torch.inference_mode()
def _median_seconds(
    works: Sequence[Callable[[], object]], runs: int, device: torch.device
) -> list[float]:
    """Return the median duration of each; they take turns, so that a busy machine slows all."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(_WARM_UP + runs):
        for work, found in zip(works, seconds, strict=True):
            _wait_for(device)
            started = time.perf_counter()
            work()
            _wait_for(device)
            if turn >= _WARM_UP:
                found.append(time.perf_counter() - started)
    return [statistics.median(found) for found in seconds]


def _wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given; a GPU works on after the call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.no_grad()
def _operations(network: SegmentationNetwork, batch: Tensor) -> int | None:
    """Return the operations of one pass in fp32, a multiply-add as two."""
    # Fused attention kernels are not all known to the counter; the plain form is matrix products.
    # It needs much memory, and none where tensors are only shapes.
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: value.to("meta") for name, value in tensors.items()}
    with sdpa_kernel(SDPBackend.MATH):
        try:
            with FlopCounterMode(display=False) as counter:
                functional_call(network, shapes, (batch.to("meta"),))
        except (RuntimeError, TypeError):
            # A network that looks at values needs the real pass.
            try:
                with FlopCounterMode(display=False) as counter:
                    network(batch)
            except (torch.OutOfMemoryError, MemoryError):
                return None
    return int(counter.get_total_flops()) or None


_BACKBONES = {
    "deconvnet": "vgg16",
    "decouplednet": "vgg16",
    "deeplab-v1": "vgg16",
    "fcn-vgg": "vgg16",
    "g-frnet": "vgg16",
    "lraspp": "mobilenet-v3-large",
    "segformer": "mit-{variant}",
    "segmenter": "vit-{variant}/{patch}",
    "segnet": "vgg16",
    "setr": "vit-{variant}/{patch}",
    "upernet": "{encoder}",
}
"""Encoders of architectures whose options do not call them backbone."""


def _backbone(network: SegmentationNetwork) -> str:
    """Return the name of a network's encoder, empty where it is the architecture's own."""
    options = options_to_json(network.options)
    if "inner" in options:  # another network, at several scales
        return str(options["inner"])
    pattern = _BACKBONES.get(getattr(network, "name", ""), "{backbone}")
    return pattern.format(**{"backbone": "", **options})


def _variant(network: SegmentationNetwork) -> str:
    """Return the published name of a network's options, else what differs from the defaults."""
    for name, values in network.variants.items():
        if name and build_options(network.Options, values) == network.options:
            return name
    chosen, usual = options_to_json(network.options), options_to_json(network.Options())
    return ", ".join(f"{key}={value}" for key, value in chosen.items() if value != usual[key])


# -- memory on the CPU ----------------------------------------------------------------------------


def _cpu_peak(
    model: str, precision: str, size: tuple[int, int], prepare: Callable[[], object] | None
) -> int | None:
    """Measure in a fresh process; see `_weigh`.

    Raises
    ------
    WorkerError
        When the process died, most likely for want of memory.
    SegStudioError
        What it reported.
    """
    if _resident() is None:
        return None
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_weigh, args=(theirs, model, precision, size, prepare), daemon=True
    )
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        raise WorkerError(
            f"The process that measured the memory of {model} ended early (exit code "
            f"{process.exitcode}); there may be too little memory for an image of this size."
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, str):
        raise SegStudioError(answer)
    return answer


def _weigh(
    pipe: Any,
    model: str,
    precision: str,
    size: tuple[int, int],
    prepare: Callable[[], object] | None,
) -> None:
    """Send the growth of this process's peak by loading a model and predicting one image."""
    try:
        if prepare is not None:
            prepare()
        # What every model needs is loaded first: kernels, the libraries behind a convolution.
        fuse_logits(np.zeros((2, 4, 4), np.float32), 8, 8, align_corners=False)
        torch.nn.functional.conv2d(torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3))
        image = _noise(size)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, earlier_peak = _resident(), _resident_peak()
        load_model(model, device="cpu", precision=precision).predict(image)
        peak = _resident_peak()
        # Without a new start, a peak that is not higher tells nothing.
        known = before is not None and peak is not None and earlier_peak is not None
        pipe.send(peak - before if known and peak > earlier_peak else None)  # type: ignore[operator]
    except SegStudioError as error:
        pipe.send(str(error))


def _resident() -> int | None:
    """Return the bytes of memory that this process holds, None where the system does not say."""
    return _status("VmRSS")


def _resident_peak() -> int | None:
    return _status("VmHWM")


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None
