"""Runs exported segmentation networks: an .onnx file with a small card beside it.

An ONNX file holds a graph of operators and its weights, but nothing about its use.  The card,
NAME.toml beside NAME.onnx, says how images become input and what the outputs mean; README.md in
this folder has its keys.  The graph runs in onnxruntime on the CPU (``pip install
segstudio[onnx]``), whose operators are fixed: a file cannot bring code along.

Importing this file loads neither torch nor onnxruntime; both come when a network is opened.
"""

from __future__ import annotations

import functools
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.api import (
    READERS,
    CheckpointReader,
    LabelSpace,
    NotACheckpointError,
    Preprocessing,
    ReadNetwork,
    SegStudioError,
    build_options,
    load_label_space,
    option,
)

SEGSTUDIO_API = 1

_OLDEST = (1, 24, 4)
"""The first onnxruntime that was seen to refuse weights outside the folder of their network; older
ones read any file that a network names."""
_LAYOUTS = ("NCHW", "NHWC")
_RESIZES = ("", "none", "exact", "keep-ratio", "short-side", "short-side-at-least")
_KINDS = ("logits", "probabilities", "labels")
_INPUT_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_SURE = 20.0
"""Logit of the class that a network of kind "labels" chose; all others have 0."""
_FAINTEST = 1e-12
"""Probabilities below this count as this, so that they have a logarithm."""


@READERS.register("onnx")
class OnnxReader(CheckpointReader):
    """Exported networks with a card."""

    suffixes = (".onnx",)
    description = "Exported networks (ONNX) with a TOML card beside them, run by onnxruntime."

    def read(self, path: Path) -> ReadNetwork:
        """Open an exported network and its card; see `CheckpointReader.read`."""
        card = _read_card(path.with_suffix(".toml"), path)
        session = _open_session(path)
        ports = _find_ports(session, card, path)
        network = _network_class()(session, card, ports, path)
        return ReadNetwork(
            network, card.label_space, _preprocessing(card, ports.size), card=card.facts
        )


# -- the card -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InputCard:
    """The table [input]: from an image to the network."""

    pixel_max: float = option(1.0, "What a white pixel becomes before mean and std: 1 or 255.")
    mean: tuple[float, ...] = option((), "Taken off each channel.")
    std: tuple[float, ...] = option((), "What each channel is divided by.")
    channel_order: str = option("rgb", "Order of the channels.", choices=("rgb", "bgr"))
    layout: str = option("NCHW", "Order of the input's dimensions.", choices=_LAYOUTS)
    name: str = option("", "Name of the input; needed only where there are several.")
    resize: str = option("", "Resize rule.", choices=_RESIZES)
    size: tuple[int, ...] | None = option(None, "Sizes of the resize rule.")
    antialias: bool = option(False, "Whether shrinking averages over all pixels.")
    divisor: int = option(1, "Height and width are padded to a multiple of it.", minimum=1)
    window: tuple[int, ...] | None = option(None, "Sliding window (height, width).")
    stride: tuple[int, ...] | None = option(None, "Stride of the window (down, right).")


@dataclass(frozen=True)
class OutputCard:
    """The table [output]: what the network gives."""

    kind: str = option("logits", "What the values are.", choices=_KINDS)
    layout: str = option("NCHW", "Order of the output's dimensions.", choices=_LAYOUTS)
    name: str = option("", "Name of the output; needed only where there are several.")
    align_corners: bool = option(False, "How the output is brought to the image's size.")
    upsample_to_input: bool = option(True, "Whether it is brought to the input's size first.")


@dataclass(frozen=True)
class Card:
    """What stands in a card, checked."""

    path: Path
    title: str
    label_space: LabelSpace
    input: InputCard
    output: OutputCard
    facts: dict[str, Any]


def _read_card(path: Path, network: Path) -> Card:
    """Read a card.

    Raises
    ------
    NotACheckpointError
        When there is none, or a value of it is wrong; the message names file and key.
    """
    if not path.is_file():
        raise NotACheckpointError(
            f"{network} has no card: put {path.name} beside it, which says how images become input "
            "and what the classes are; plugins/README.md has its keys."
        )
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotACheckpointError(f"{path} cannot be read as TOML ({error}).") from error
    known = ("title", "label_space", "classes", "input", "output", "facts")
    for key in data:
        if key not in known:
            raise _wrong(path, f"there is no key {key!r}, only {', '.join(known)}")
    title, facts = data.get("title", network.stem), data.get("facts", {})
    if not isinstance(title, str) or not isinstance(facts, dict):
        raise _wrong(path, "title has to be text and facts a table")
    card = Card(
        path=path,
        title=title,
        label_space=_label_space(path, data, title),
        input=_table(path, "input", InputCard, data, needed=("pixel_max", "mean", "std")),
        output=_table(path, "output", OutputCard, data, needed=()),
        facts={"title": title, **facts},
    )
    given = card.input
    if not given.pixel_max > 0:
        raise _wrong(path, "input.pixel_max has to be above 0")
    if not (_numbers(given.mean, 3) and _numbers(given.std, 3) and min(given.std) > 0):
        raise _wrong(path, "input.mean and input.std have to be three numbers each, std above 0")
    for key in ("size", "window", "stride"):
        pair = getattr(given, key)
        if pair is not None and ([type(side) for side in pair] != [int, int] or min(pair) < 1):
            raise _wrong(path, f"input.{key} has to be two whole numbers from 1")
    window, stride = given.window, given.stride
    if stride and (not window or stride[0] > window[0] or stride[1] > window[1]):
        raise _wrong(path, "input.stride needs an input.window that is at least as large")
    return card


def _wrong(path: Path, reason: str) -> NotACheckpointError:
    return NotACheckpointError(f"{path} is not a card that can be used: {reason}.")


def _table(path: Path, name: str, kind: type, data: Any, *, needed: tuple[str, ...]) -> Any:
    values = data.get(name, {})
    if not isinstance(values, dict):
        raise _wrong(path, f"{name} has to be a table, [{name}]")
    for key in needed:
        if key not in values:
            raise _wrong(path, f"{name}.{key} is missing")
    try:
        return build_options(kind, values)
    except SegStudioError as error:
        raise _wrong(path, f"in [{name}], {str(error).rstrip('.')}") from error
    except TypeError as error:  # one number in place of several
        raise _wrong(path, f"in [{name}], a list is expected ({error})") from error


def _label_space(path: Path, data: dict[str, Any], title: str) -> LabelSpace:
    """Return the label space that a card names, or the one that it lists."""
    named, classes = data.get("label_space"), data.get("classes")
    if (named is None) == (classes is None):
        raise _wrong(
            path, "it needs either label_space, a name or a JSON file, or classes, a list of names"
        )
    try:
        if named is not None:
            beside = path.parent / str(named)
            return load_label_space(beside if beside.is_file() else str(named))
        document = {"name": path.stem, "title": title, "classes": classes}
        return LabelSpace.from_json(document, "its class list")
    except SegStudioError as error:
        raise _wrong(path, str(error).rstrip(".")) from error


def _numbers(values: tuple[Any, ...], count: int) -> bool:
    return len(values) == count and all(
        type(value) in (int, float) and math.isfinite(value) for value in values
    )


def _preprocessing(card: Card, fixed: tuple[int, int] | None) -> Preprocessing:
    """Return what is done to images, given the (H, W) of a network that takes only one size.

    Raises
    ------
    NotACheckpointError
        When the card asks for another size than the network takes.
    """
    given = card.input
    resize = given.resize or ("exact" if fixed and given.window is None else "none")
    size = fixed if resize == "exact" and given.size is None else given.size
    if resize != "none" and size is None:
        raise _wrong(card.path, f"the resize rule {resize!r} needs input.size")
    sent = given.window if given.window is not None else size if resize == "exact" else None
    if fixed is not None and sent != fixed:
        raise _wrong(
            card.path,
            f"its network takes {fixed[0]} x {fixed[1]} pixels only; leave out resize and size, or "
            "give this as the window",
        )
    unit = 255 / given.pixel_max  # SegStudio's means are on the scale of 0..255
    values = {
        "mean": [value * unit for value in given.mean],
        "std": [value * unit for value in given.std],
        "resize": resize,
        "size": size,
        "align_corners": card.output.align_corners,
        "upsample_to_input": card.output.upsample_to_input,
    }
    same = ("channel_order", "antialias", "divisor", "window", "stride")
    return Preprocessing.from_json({**values, **{key: getattr(given, key) for key in same}})


# -- the network ----------------------------------------------------------------------------------


def _open_session(path: Path) -> Any:
    """Return the onnxruntime session of a file.

    Raises
    ------
    NotACheckpointError
        When onnxruntime is missing or too old, or refuses the file.
    """
    import torch

    advice = "install it with pip install 'segstudio[onnx]'"
    try:
        import onnxruntime
    except ImportError as error:
        raise NotACheckpointError(
            f"{path} needs onnxruntime, which is not installed; {advice}."
        ) from error
    numbers = onnxruntime.__version__.split("+")[0].split(".")[:3]
    if tuple(int(part) for part in numbers if part.isdigit()) < _OLDEST:
        raise NotACheckpointError(
            f"{path} needs onnxruntime {'.'.join(map(str, _OLDEST))} or newer, which keeps a file "
            f"from reading others, but {onnxruntime.__version__} is installed; {advice}."
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(
            str(path.absolute()), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise NotACheckpointError(f"{path} {_reason(str(error))}.") from error


def _reason(answer: str) -> str:
    """Say what onnxruntime says, without the places in its source."""
    if "xternal data" in answer or "Data of TensorProto" in answer or "Location of ext" in answer:
        if "escapes" in answer or "bsolute path" in answer or "should be" in answer:
            return "is refused: it wants to read its weights from outside its folder"
        return "keeps weights in a file beside it that is missing or damaged"
    if "INVALID_PROTOBUF" in answer or "No graph was found" in answer:
        return "is damaged, or no ONNX file at all"
    text = " ".join(answer.split()).rpartition(" : ")[2]
    return f"cannot be run by onnxruntime ({text[:200].rstrip('.')})"


@dataclass(frozen=True)
class _Ports:
    """The input and the output that are used.

    ``size`` is the only (H, W) that the input takes, None when any goes; ``outputs`` the number of
    classes, None when the file leaves it open.
    """

    input: str
    type: type
    one_by_one: bool
    size: tuple[int, int] | None
    output: str
    outputs: int | None


def _find_ports(session: Any, card: Card, path: Path) -> _Ports:
    """Find input and output and compare them with the card.

    Raises
    ------
    NotACheckpointError
        When they are not those of a segmentation network, or not what the card says.
    """
    source = _named(session.get_inputs(), card.input.name, "input", card)
    result = _named(session.get_outputs(), card.output.name, "output", card)
    if len(session.get_inputs()) > 1:
        raise NotACheckpointError(f"{path} takes more than an image; it cannot be used here.")
    shape, rank = source.shape, len(result.shape)
    channels, *sides = _picture(shape, card.input.layout) if len(shape) == 4 else (0, 0, 0)
    if channels not in (3, None) or source.type not in _INPUT_TYPES:
        raise _wrong(
            card.path,
            f"the input {source.name} is {_text(shape)} of {source.type}, no {card.input.layout} "
            "image of three channels",
        )
    labels = card.output.kind == "labels"
    outputs = _picture(result.shape, card.output.layout)[0] if rank == 4 else None
    if labels:
        fits = rank == 3 or (rank == 4 and outputs in (1, None))
    else:
        fits = rank == 4 and "int" not in result.type
    if not fits:
        raise _wrong(
            card.path,
            f"the output {result.name} is {_text(result.shape)} of {result.type}, which are no "
            f"{card.output.kind}",
        )
    height, width = sides
    return _Ports(
        input=source.name,
        type=_INPUT_TYPES[source.type],
        one_by_one=isinstance(shape[0], int),
        size=(height, width) if height and width else None,
        output=result.name,
        outputs=None if labels else outputs,
    )


def _named(ports: list[Any], name: str, what: str, card: Card) -> Any:
    names = [port.name for port in ports]
    if not name and len(ports) == 1:
        return ports[0]
    if name not in names:
        raise _wrong(card.path, f"{what}.name has to be one of {', '.join(names)}")
    return ports[names.index(name)]


def _picture(shape: list[Any], layout: str) -> tuple[int | None, int | None, int | None]:
    """Return (channels, height, width) of a shape, None for what is open."""
    _, *rest = (size if isinstance(size, int) and size > 0 else None for size in shape)
    channels, height, width = rest if layout == "NCHW" else (rest[2], rest[0], rest[1])
    return channels, height, width


def _text(shape: Any) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"


@functools.cache
def _network_class() -> Any:
    """Return the network's class, made when the first file is opened: its base loads torch."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor

    from segstudio.api import Facts, Recognition, SegmentationNetwork

    class OnnxNetwork(SegmentationNetwork):
        """A graph that onnxruntime runs; it has no parameters that torch could train."""

        name = "onnx"
        facts = Facts("ONNX network", "", 0, 0)
        trainable = False

        @dataclass(frozen=True)
        class Options:
            """There is nothing to choose."""

        def __init__(self, session: Any, card: Card, ports: _Ports, path: Path) -> None:
            super().__init__(ports.outputs or len(card.label_space))
            self.session, self.card, self.ports, self.path = session, card, ports, path
            self.facts = Facts(card.title, "", 0, 0)
            self.align_corners = card.output.align_corners

        @classmethod
        def recognise(cls, state_dict: Any) -> Recognition | None:
            """Return None: a graph is no state dict."""
            return None

        def forward(self, image: Tensor) -> Tensor:
            """Return logits; an input of another size than a fixed one is resized to it."""
            size = self.ports.size
            if size is not None and image.shape[-2:] != size:
                image = F.interpolate(image, size, mode="bilinear", align_corners=False)
            pixels = image.detach().float().cpu().numpy()
            parts = np.split(pixels, len(pixels)) if self.ports.one_by_one else [pixels]
            logits = np.concatenate([self._run(part) for part in parts])
            return torch.from_numpy(logits).to(image.device)

        def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            if self.ports.type is np.uint8:
                pixels = np.rint(pixels).clip(0, 255)
            array: NDArray[Any] = pixels.astype(self.ports.type)
            if self.card.input.layout == "NHWC":
                array = array.transpose(0, 2, 3, 1)
            array = np.ascontiguousarray(array)
            try:
                (found,) = self.session.run([self.ports.output], {self.ports.input: array})
            except Exception as error:
                raise SegStudioError(
                    f"{self.path} failed on an input of {_text(pixels.shape)} "
                    f"({_reason(str(error))}); its card may need another divisor or size."
                ) from error
            return _to_logits(found, self.card, self.classes)

    return OnnxNetwork


def _to_logits(found: NDArray[Any], card: Card, classes: int) -> NDArray[np.float32]:
    """Return the (N, C, h, w) logits of an output of any kind.

    Raises
    ------
    SegStudioError
        When the values are not what the card says.
    """
    if card.output.kind == "labels":
        return _one_hot(found, card, classes)
    if card.output.layout == "NHWC":
        found = found.transpose(0, 3, 1, 2)
    if found.shape[1] != classes:
        raise _wrong(card.path, f"the output is {_text(found.shape)}, not of {classes} classes")
    scores = np.ascontiguousarray(found, np.float32)
    if card.output.kind == "logits":
        return scores
    if not (scores.min() >= -1e-3 and scores.max() <= 1.001):
        raise _wrong(card.path, "the output is not within 0..1, so output.kind may be logits")
    return np.log(scores.clip(_FAINTEST, None))


def _one_hot(found: NDArray[Any], card: Card, classes: int) -> NDArray[np.float32]:
    labels = found.astype(np.int64)
    axis = 1 if card.output.layout == "NCHW" else -1
    single = labels.ndim == 3 or labels.shape[axis] == 1
    if not single or labels.min() < 0 or labels.max() >= classes:
        raise _wrong(
            card.path,
            f"the output is {_text(found.shape)} with values up to {labels.max()}, which are no "
            f"labels of {classes} classes",
        )
    labels = labels if labels.ndim == 3 else labels.squeeze(axis)
    chosen = labels[:, None] == np.arange(classes)[None, :, None, None]
    return chosen.astype(np.float32) * np.float32(_SURE)
