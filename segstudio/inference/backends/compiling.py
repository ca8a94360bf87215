"""From a network to one that OpenVINO has compiled for inputs of one shape.

The graph is captured by `torch.export` with the shape fixed.  A graph for all shapes exists for
some networks, but torch.export writes what it assumed of them (``h % 16 == 0``) into guards that
OpenVINO drops, and its results for other shapes are errors or wrong.

OpenVINO's own ``convert_model`` is not used: it reports its use to Google Analytics unless the
user has turned that off, and it changes functions of torch for the whole process meanwhile.
"""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segstudio.architectures._base import SegmentationNetwork
from segstudio.inference.backends.base import Shape
from segstudio.inference.backends.quiet import quiet_thread

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "CompileSettings",
    "CompiledNetwork",
    "NotConvertibleError",
    "compile_network",
    "load_compiled",
]

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_TOLERANCES = {"fp32": 1e-3, "bf16": 0.25, "fp16": 0.25}
"""Root mean square of the difference to the eager network over that of its logits.  Wrong graphs
are near 1 or above; the worst right one seen, an untrained ENet in bf16, was 0.1."""

_capturing = threading.Lock()
"""torch.export sets flags for the whole process while it runs."""


class NotConvertibleError(Exception):
    """A network that OpenVINO cannot run, or not rightly; the message continues "because"."""


@dataclass(frozen=True, slots=True)
class CompileSettings:
    """How OpenVINO is to run a network.

    Attributes
    ----------
    precision : str
        "fp32", "bf16" or "fp16".
    threads : int
        Of all streams together.
    streams : int
        Inputs that run at the same time.
    """

    precision: str
    threads: int
    streams: int = 1

    def properties(self) -> dict[str, Any]:
        """Return OpenVINO's names for these; nothing is left to its own choice."""
        return {
            # Given when a blob is read, too: otherwise OpenVINO runs fp32 blobs in bf16.
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": self.streams,
            # Threads tied to cores stand in the way of PyTorch's and of other programs'.
            "ENABLE_CPU_PINNING": False,
        }


class CompiledNetwork:
    """A network compiled for one input of one shape; may be called from several threads.

    Parameters
    ----------
    model : openvino.CompiledModel
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._idle: list[Any] = []
        hint = model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision = next(name for name, known in _HINTS.items() if known == hint)

    def __call__(self, image: Tensor) -> Tensor:
        """Return (1, C, h', w') float32 logits of a (1, 3, h, w) input on the CPU."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        outputs = request.infer([image.contiguous().numpy()], share_outputs=False)
        self._idle.append(request)
        return torch.from_numpy(outputs[0])

    def to_bytes(self) -> bytes:
        """Return what `load_compiled` reads."""
        data: bytes = self._model.export_model().getvalue()
        return data


def compile_network(
    network: SegmentationNetwork,
    shape: Shape,
    settings: CompileSettings,
    *,
    go_on: Callable[[], bool],
) -> CompiledNetwork | None:
    """Compile a network and hold the result against it.

    The network is not changed, nor is the random state; it may be used meanwhile.

    Parameters
    ----------
    network : SegmentationNetwork
        On the CPU, in evaluation mode.
    shape : Shape
    settings : CompileSettings
    go_on : callable
        Asked between the steps, of which each takes seconds.

    Returns
    -------
    CompiledNetwork or None
        None when ``go_on`` said no.

    Raises
    ------
    NotConvertibleError
        When it cannot be captured, translated or compiled, or differs from the network.
    """
    try:
        program = _captured(network, shape)
        if not go_on():
            return None
        graph = _translated(program, shape)
        if not go_on():
            return None
        del program
        model = _core().compile_model(graph, "CPU", settings.properties())
        compiled = CompiledNetwork(model)
        if not go_on():
            return None
        difference = _difference(network, compiled, shape)
    except Exception as error:
        raise NotConvertibleError(_first_line(error)) from error
    if not difference <= _TOLERANCES[compiled.precision]:
        raise NotConvertibleError(f"its logits differ by {difference:.2g} from the network's")
    return compiled


def load_compiled(data: bytes, settings: CompileSettings) -> CompiledNetwork | None:
    """Return the network that `CompiledNetwork.to_bytes` wrote, None when it cannot be read."""
    try:
        return CompiledNetwork(_core().import_model(data, "CPU", settings.properties()))
    except Exception:  # noqa: BLE001 - it is then compiled anew, which says what is wrong
        return None


def _core() -> Any:
    """Return OpenVINO's engine; it keeps its plugins for the whole process."""
    global _engine
    if _engine is None:
        import openvino

        _engine = openvino.Core()
    return _engine


_engine: Any = None


@torch.no_grad()
def _captured(network: SegmentationNetwork, shape: Shape) -> Any:
    """Return the exported program of a network for one shape, in the operators OpenVINO knows."""
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import ops_to_not_decompose

    # Capturing puts other tensors into the modules for a while: these are copies, but the weights
    # in them are the network's own.
    weights = itertools.chain(network.parameters(), network.buffers())
    shell = copy.deepcopy(network, {id(tensor): tensor for tensor in weights})
    operators = torch.export.default_decompositions()
    for operator in ops_to_not_decompose():
        if operator in operators:
            operators.pop(operator)
    with _capturing, quiet_thread():
        program = torch.export.export(shell, (_noise(shape, 0),), strict=False)
        return program.run_decompositions(operators)


def _translated(program: Any, shape: Shape) -> Any:
    """Return an exported program as OpenVINO's graph."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    decoder = TorchFXPythonDecoder(program.module(), dynamic_shapes=False)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))
    graph.reshape([1, 3, *shape])
    return graph


@torch.inference_mode()
def _difference(network: SegmentationNetwork, compiled: CompiledNetwork, shape: Shape) -> float:
    """Return the relative error on an input that is not the one of the capture."""
    image = _noise(shape, 1)
    exact = network(image.contiguous(memory_format=torch.channels_last)).float()
    found = compiled(image)
    if found.shape != exact.shape:
        raise NotConvertibleError(f"its logits have the shape {tuple(found.shape)}")
    spread = float((exact - exact.mean()).square().sum().sqrt())
    return float((found - exact).square().sum().sqrt()) / max(spread, float(np.finfo("f4").tiny))


def _noise(shape: Shape, seed: int) -> Tensor:
    """Return a (1, 3, h, w) input without touching the process's random state."""
    values = np.random.default_rng(seed).standard_normal((1, 3, *shape), np.float32)
    return torch.from_numpy(values)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
