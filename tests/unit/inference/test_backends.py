"""Backends: the right one is chosen, the compiled one is the network, and a run never switches."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segstudio.architectures._base import Facts, Recognition, SegmentationNetwork, StateDict
from segstudio.architectures.unet import UNet
from segstudio.core.errors import CancelledError, UsageError, WriteError
from segstudio.inference.backends import choosing, compiling
from segstudio.inference.backends import openvino as compiled_backend
from segstudio.inference.backends.blobs import BlobStore
from segstudio.inference.backends.choosing import prepare_backend
from segstudio.inference.backends.compiling import CompileSettings, NotConvertibleError
from segstudio.inference.backends.eager import EagerBackend, cudnn_for
from segstudio.inference.backends.openvino import OpenVinoBackend, shapes_worth_compiling
from segstudio.inference.devices import automatic_precision

CPU = torch.device("cpu")
EXACT = CompileSettings("fp32", threads=1)
SHAPE = (24, 40)


@dataclass(frozen=True)
class TinyOptions:
    """No options."""


class Tiny(SegmentationNetwork):
    """Two convolutions, a norm and a dropout; ``fault`` makes it unfit for compiling."""

    name = "tiny"
    calls = 0
    Options = TinyOptions
    facts = Facts(title="Tiny", paper="", year=2026, output_stride=2)

    def __init__(self, fault: str = "") -> None:
        super().__init__(5)
        self.fault = fault
        self.narrow = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.classify = nn.Conv2d(8, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.drop(self.norm(self.narrow(image)).relu()))
        if self.fault == "looks at values" and logits[0, 0, 0, 0].item() > 0:
            return -logits
        if self.fault == "data" and logits[logits > 0].sum().item() > 1:
            return logits * 2
        if self.fault == "counts":
            Tiny.calls += 1
            return logits * Tiny.calls
        return logits

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        return None


def tiny(fault: str = "") -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Tiny(fault).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def images(count: int, shape: tuple[int, int] = SHAPE) -> Tensor:
    return torch.randn(count, 3, *shape, generator=torch.Generator().manual_seed(5))


def backend_of(
    network: SegmentationNetwork,
    *,
    settings: CompileSettings = EXACT,
    store: BlobStore | None = None,
    key: str | None = "key",
) -> OpenVinoBackend:
    eager = EagerBackend(network, device=CPU, precision="fp32")
    return OpenVinoBackend(network, eager, settings, key=key, store=store)


@pytest.fixture
def openvino() -> Iterator[None]:
    """Real compiling; what it prints, warns or changes is looked at by the tests."""
    pytest.importorskip("openvino")
    yield


class Stamped:
    """A compiled network that marks its answers; ``release`` lets compiling go on."""

    precision = "fp32"

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, image: Tensor) -> Tensor:
        return self.network(image) + 100

    def to_bytes(self) -> bytes:
        return b"stamped"


class Compiler:
    """Stands in for OpenVINO: records what it is asked for, waits and fails as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.started, self.may_finish = threading.Event(), threading.Event()
        self.may_finish.set()
        self.error: Exception | None = None

    def __call__(
        self, network: nn.Module, shape: tuple[int, int], settings: Any, *, go_on: Any
    ) -> Stamped | None:
        self.asked.append(shape)
        self.started.set()
        assert self.may_finish.wait(30)
        if self.error is not None:
            raise self.error
        return Stamped(network) if go_on() else None


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    stand_in = Compiler()
    monkeypatch.setattr(compiled_backend, "compile_network", stand_in)
    return stand_in


def is_compiled(backend: OpenVinoBackend, shape: tuple[int, int]) -> bool:
    with torch.inference_mode():
        return bool(backend(images(1, shape)).mean() > 50)


# -- choosing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "facts", "precision"),
    [
        ("cuda", {"capability": (8, 0)}, "bf16"),
        ("cuda", {"capability": (9, 0)}, "bf16"),
        ("cuda", {"capability": (7, 5)}, "fp16"),
        ("cpu", {"cpu_bf16": True}, "bf16"),
        ("cpu", {"cpu_bf16": False}, "fp32"),
        ("mps", {}, "fp32"),
    ],
)
def test_automatic_precision(device: str, facts: dict[str, Any], precision: str) -> None:
    assert automatic_precision(torch.device(device), **facts) == precision


@pytest.mark.parametrize(
    ("abilities", "fast"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True, "avx2": True}, True), ({}, False)],
)
def test_the_cpu_is_asked(
    monkeypatch: pytest.MonkeyPatch, abilities: dict[str, bool], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    assert automatic_precision(CPU) == ("bf16" if fast else "fp32")


def prepared(precision: str, network: SegmentationNetwork | None = None, streams: int = 1) -> Any:
    return prepare_backend(
        network or tiny(),
        device=CPU,
        precision=precision,
        cache_key="0",
        cache_folder=None,
        streams=streams,
    )


def test_fp32_means_pytorch_itself() -> None:
    backend = prepared("fp32")
    assert (backend.name, backend.precision, backend.notes) == ("eager fp32", "fp32", ())
    assert not backend.compiles and backend.record().shapes == ()


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_precisions_a_cpu_cannot_do(precision: str) -> None:
    with pytest.raises(UsageError, match="precision"):
        prepared(precision)


@pytest.mark.parametrize("fast", [False, True])
def test_auto_on_a_cpu_is_openvino_at_what_the_cpu_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    abilities = {"avx512_bf16": fast}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    monkeypatch.setattr(choosing, "_installed", lambda name: True)
    wanted = "bf16" if fast else "fp32"
    backend = prepared("auto", streams=2)
    assert (backend.name, backend.precision) == (f"openvino {wanted}", wanted)
    assert backend._settings == CompileSettings(wanted, torch.get_num_threads(), 2)
    assert backend._eager.precision == "fp32"  # single images are exact
    asked = prepared("bf16")
    assert (asked.name, asked._eager.precision) == ("openvino bf16", "bf16")


def test_a_network_that_needs_fp32_stays_exact_under_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_installed", lambda name: True)
    monkeypatch.setattr(Tiny, "needs_fp32", True)
    assert prepared("auto").name == "eager fp32"
    assert prepared("bf16").name == "openvino bf16"  # who asks for it gets it


def test_without_openvino_auto_is_eager_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_installed", lambda name: False)
    backend = prepared("auto")
    assert backend.name == f"eager {automatic_precision(CPU)}"
    assert "it is not installed" in backend.notes[0]
    assert backend.record().notes == backend.notes


def test_what_stands_for_a_network_on_disk() -> None:
    one = UNet(4, UNet.Options(width=8))
    keys = {
        choosing._identity(one, "a"),
        choosing._identity(one, "b"),
        choosing._identity(UNet(5, UNet.Options(width=8)), "a"),
        choosing._identity(UNet(4, UNet.Options(width=8, up="bilinear")), "a"),
    }
    assert len(keys) == 4 and None not in keys
    assert choosing._identity(one, "a") in keys
    # This file may change, and no version tells.
    assert choosing._identity(tiny(), "a") is None


def test_other_versions_are_another_network_and_a_frozen_program_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def frozen(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    network = UNet(4, UNet.Options(width=8))
    keys = {choosing._identity(network, "a")}
    for answer in (lambda name: "9.9", frozen):
        monkeypatch.setattr(importlib.metadata, "version", answer)
        keys.add(choosing._identity(network, "a"))
    assert len(keys) == 3 and None not in keys


def test_changed_code_is_another_network(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("one")
    before = choosing._sources(tmp_path)
    choosing._sources.cache_clear()
    (tmp_path / "page.py").write_text("two")
    assert choosing._sources(tmp_path) != before
    choosing._sources.cache_clear()


# -- PyTorch itself --------------------------------------------------------------------------------


def test_eager_fp32_is_the_network() -> None:
    network, batch = tiny(), images(2)
    with torch.inference_mode():
        exact = network(batch.contiguous(memory_format=torch.channels_last))
    found = EagerBackend(network, device=CPU, precision="fp32")(batch)
    assert torch.equal(found, exact)
    rough = EagerBackend(network, device=CPU, precision="bf16")(batch)
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


def test_cudnn_is_set_for_a_call_and_put_back() -> None:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    for precision in ("fp32", "bf16"):
        with pytest.raises(KeyError), cudnn_for(precision):
            assert (cudnn.benchmark, cudnn.allow_tf32) == (precision == "bf16",) * 2
            raise KeyError
        assert (cudnn.benchmark, cudnn.allow_tf32) == before


# -- which shapes are compiled, and when -----------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ({}, []),
        ({(9, 9): 7}, []),
        ({(9, 9): 8, (8, 8): 7}, [(9, 9)]),
        ({(9, 9): 7, (8, 8): 200, (7, 7): 8, (6, 6): 8}, [(8, 8), (6, 6), (7, 7)]),
        ({(side, side): 50 for side in range(1, 9)}, [(1, 1), (2, 2), (3, 3)]),
    ],
)
def test_shapes_worth_compiling(
    counts: dict[tuple[int, int], int], chosen: list[tuple[int, int]]
) -> None:
    assert shapes_worth_compiling(counts, 3) == chosen
    assert shapes_worth_compiling(dict(reversed(counts.items())), 3) == chosen


def test_a_run_waits_and_is_served_by_the_same_to_its_end(compiler: Compiler) -> None:
    backend = backend_of(tiny())
    assert not is_compiled(backend, SHAPE) and compiler.asked == []  # single images are eager
    backend.wait_ready({SHAPE: 20, (8, 8): 9, (10, 10): 1, (6, 6): 3})
    assert compiler.asked == [SHAPE, (8, 8)]
    assert is_compiled(backend, SHAPE) and is_compiled(backend, (8, 8))
    before = backend.record()
    assert before.shapes == ((8, 8), SHAPE)
    assert (before.name, before.other) == ("openvino fp32", "eager fp32")
    for _ in range(3):
        assert not any(is_compiled(backend, shape) for shape in ((10, 10), (6, 6)))
    backend.join()
    assert backend.record() == before
    # Another run: what it does not need gives way.
    backend.wait_ready({(8, 8): 9, (6, 6): 8})
    assert compiler.asked == [SHAPE, (8, 8), (6, 6)]
    assert not is_compiled(backend, SHAPE) and is_compiled(backend, (6, 6))


def test_it_compiles_in_the_background_while_some_are_served_uncompiled(
    compiler: Compiler,
) -> None:
    compiler.may_finish.clear()
    backend = backend_of(tiny())
    backend.start({SHAPE: 20})
    assert compiler.started.wait(30)
    with backend.uncompiled():
        assert not is_compiled(backend, SHAPE)
    compiler.may_finish.set()
    backend.wait_ready({SHAPE: 20})
    assert compiler.asked == [SHAPE] and is_compiled(backend, SHAPE)
    other: list[bool] = []
    with backend.uncompiled():
        assert not is_compiled(backend, SHAPE)
        thread = threading.Thread(target=lambda: other.append(is_compiled(backend, SHAPE)))
        thread.start()
        thread.join()
    assert other == [True] and is_compiled(backend, SHAPE)


def test_waiting_can_be_cancelled(compiler: Compiler) -> None:
    compiler.may_finish.clear()
    backend = backend_of(tiny())
    with pytest.raises(CancelledError):
        backend.wait_ready({SHAPE: 20}, cancelled=lambda: bool(compiler.asked))
    assert not is_compiled(backend, SHAPE)
    compiler.may_finish.set()
    backend.wait_ready({SHAPE: 20})
    assert is_compiled(backend, SHAPE)


@pytest.mark.parametrize("error", [NotConvertibleError("it is odd"), MemoryError("it is odd")])
def test_what_does_not_convert_is_eager_at_once_and_told(
    compiler: Compiler, error: Exception
) -> None:
    compiler.error = error
    backend = backend_of(tiny())
    backend.wait_ready({SHAPE: 20, (8, 8): 20, (10, 10): 20})
    assert len(compiler.asked) == 1
    record = backend.record()
    assert (record.name, record.precision, record.shapes) == ("eager fp32", "fp32", ())
    assert backend.name == "eager fp32" and "because it is odd." in record.notes[0]
    assert torch.equal(
        backend(images(2)), EagerBackend(tiny(), device=CPU, precision="fp32")(images(2))
    )


def test_closing_stops_and_frees(compiler: Compiler) -> None:
    compiler.may_finish.clear()
    backend = backend_of(tiny())
    backend.start({SHAPE: 20})
    assert compiler.started.wait(30)
    backend.close()
    backend.close()
    compiler.may_finish.set()
    backend.join()
    assert not backend._compiled and backend._queue == []
    backend.wait_ready({SHAPE: 20})
    assert compiler.asked == [SHAPE] and not is_compiled(backend, SHAPE)


# -- on disk ---------------------------------------------------------------------------------------


def test_the_store_keeps_the_last_used_and_drops_the_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1, 1000))

    def stamp(path: Path, times: Any = None) -> None:
        when = next(now) * 10**9
        real(path, ns=(when, when))

    import os

    real = os.utime
    monkeypatch.setattr(os, "utime", stamp)
    store = BlobStore(tmp_path / "compiled", limit=400)
    assert store.load("a") is None
    for key in "abc":
        store.save(key, key.encode() * 90)
        assert store.load(key) == key.encode() * 90  # and with that it is the last one used
    assert store.load("a") is not None
    store.save("d", b"d" * 90)
    assert [key for key in "abcd" if store.load(key)] == ["a", "c", "d"]
    store.save("huge", b"h" * 300)
    assert store.load("huge") is None and store.load("d") is not None
    path = tmp_path / "compiled" / "d.blob"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    assert store.load("d") is None and not path.exists()
    path.write_bytes(b"short")
    assert store.load("d") is None


def test_a_folder_that_cannot_be_written_is_a_note(compiler: Compiler, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError):
        BlobStore(tmp_path / "file").save("a", b"a")
    backend = backend_of(tiny(), store=BlobStore(tmp_path / "file"))
    backend.wait_ready({SHAPE: 8})
    assert is_compiled(backend, SHAPE)
    assert "compiled network is not kept: Cannot write" in backend.notes[0]


def test_a_network_that_nothing_stands_for_is_not_kept(compiler: Compiler, tmp_path: Path) -> None:
    backend_of(tiny(), store=BlobStore(tmp_path), key=None).wait_ready({SHAPE: 8})
    assert list(tmp_path.iterdir()) == []


def test_it_is_compiled_once_and_a_damaged_file_is_made_again(
    openvino: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, batch = BlobStore(tmp_path), images(1)
    first = backend_of(tiny(), store=store)
    first.wait_ready({SHAPE: 8})
    (path,) = tmp_path.iterdir()
    made = path.read_bytes()
    real: Callable[..., Any] = compiling.compile_network

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiled_backend, "compile_network", refuse)
    second = backend_of(tiny(), store=store)
    second.wait_ready({SHAPE: 8})
    assert second.record().shapes == (SHAPE,)
    # fp32 has to stay fp32: OpenVINO by itself reads a file as bf16 where the CPU has it.
    assert second._compiled[SHAPE].precision == "fp32"
    assert torch.equal(first(batch), second(batch))
    # Another precision or number of threads is another file.
    for other in (replace(EXACT, precision="bf16"), replace(EXACT, threads=2)):
        third = backend_of(tiny(), store=store, settings=other)
        third.wait_ready({SHAPE: 8})
        assert third.notes and "compiled again" in third.notes[0]
    monkeypatch.setattr(compiled_backend, "compile_network", real)
    path.write_bytes(made[:-7])
    fourth = backend_of(tiny(), store=store)
    fourth.wait_ready({SHAPE: 8})
    assert torch.equal(first(batch), fourth(batch)) and store.load(path.stem) not in (
        None,
        b"nonsense",
    )
    # Sound to us, but nothing that OpenVINO understands.
    store.save(path.stem, b"nonsense")
    fifth = backend_of(tiny(), store=store)
    fifth.wait_ready({SHAPE: 8})
    assert torch.equal(first(batch), fifth(batch)) and store.load(path.stem) not in (
        None,
        b"nonsense",
    )


# -- OpenVINO itself -------------------------------------------------------------------------------


def test_the_compiled_network_is_the_network(openvino: None) -> None:
    network, batch = UNet(4, UNet.Options(width=8)).eval(), images(3, (32, 48))
    exact = EagerBackend(network, device=CPU, precision="fp32")(batch)
    backend = backend_of(network)
    backend.wait_ready({(32, 48): 8})
    assert backend.record().shapes == ((32, 48),), backend.notes
    found = backend(batch)
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-3)
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    # An answer depends neither on the batch nor on the call, and later calls do not change it.
    kept = found.clone()
    singles = torch.cat([backend(image) for image in batch.flip(0).split(1)]).flip(0)
    assert torch.equal(found, singles) and torch.equal(found, kept)
    channels_last = batch.contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, backend(channels_last))


def test_it_may_be_called_from_several_threads(openvino: None) -> None:
    backend = backend_of(tiny(), settings=CompileSettings("fp32", threads=2, streams=2))
    backend.wait_ready({SHAPE: 8})
    batch = images(8)
    expected = backend(batch)
    found: dict[int, Tensor] = {}

    def work(first: int) -> None:
        for _ in range(20):
            for place in range(first, 8, 2):
                found[place] = backend(batch[place : place + 1])
                assert torch.equal(found[place][0], expected[place])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(torch.cat([found[place] for place in range(8)]), expected)


def test_openvino_runs_at_the_settings_it_was_given(openvino: None) -> None:
    settings = CompileSettings("fp32", threads=1, streams=1)
    found = compiling.compile_network(tiny(), SHAPE, settings, go_on=lambda: True)
    assert found is not None and found.precision == "fp32"
    ask = found._model.get_property
    assert ask("INFERENCE_NUM_THREADS") == 1 and ask("NUM_STREAMS") == 1


def test_compiling_leaves_network_process_and_user_alone(
    openvino: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    network = tiny()
    seen: list[str] = []
    network.register_forward_hook(lambda *_: seen.append(threading.current_thread().name))
    weights = {name: (id(entry), entry.clone()) for name, entry in network.named_parameters()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    streams = sys.stdout, sys.stderr
    backend = backend_of(network)
    eager = EagerBackend(network, device=CPU, precision="fp32")
    expected = eager(images(1))
    stop, wrong = threading.Event(), []

    def use() -> None:
        while not stop.is_set():
            if not torch.equal(eager(images(1)), expected):
                wrong.append(1)

    user = threading.Thread(target=use, name="user")
    user.start()
    try:
        backend.wait_ready({SHAPE: 8})
    finally:
        stop.set()
        user.join()
    assert backend.record().shapes == (SHAPE,) and not wrong
    assert torch.equal(torch.get_rng_state(), random) and torch.get_num_threads() == threads
    assert (sys.stdout, sys.stderr) == streams
    assert not network.training and len(network._forward_hooks) == 1 and "user" in seen
    for name, entry in network.named_parameters():
        assert id(entry) == weights[name][0] and torch.equal(entry, weights[name][1])
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_nothing_is_reported_to_anybody(openvino: None, monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = pytest.importorskip("openvino_telemetry")

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("telemetry was started")

    monkeypatch.setattr(telemetry.Telemetry, "__init__", refuse)
    assert compiling.compile_network(tiny(), SHAPE, EXACT, go_on=lambda: True) is not None


@pytest.mark.parametrize("fault", ["looks at values", "data", "counts"])
def test_networks_that_cannot_be_compiled_stay_eager_silently(
    openvino: None, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = backend_of(tiny(fault))
    backend.wait_ready({SHAPE: 8})
    assert backend.record().name == "eager fp32"
    assert "OpenVINO cannot run this network at 24 x 40" in backend.notes[0]
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")


def test_a_network_that_cannot_be_copied_stays_eager(openvino: None) -> None:
    network = tiny()
    network.session = threading.Lock()  # as a plugin's network may hold a library's handle
    backend = backend_of(network)
    backend.wait_ready({SHAPE: 8})
    assert backend.record().name == "eager fp32" and "pickle" in backend.notes[0]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_it_stops_between_steps(openvino: None, steps: int) -> None:
    answers = iter([True] * steps + [False] * 9)
    assert compiling.compile_network(tiny(), SHAPE, EXACT, go_on=lambda: next(answers)) is None
    assert len(list(answers)) == 8


@pytest.mark.heavy
def test_labels_of_a_trained_network_hardly_change(openvino: None, shared: Path) -> None:
    import cv2

    from segstudio.inference.model import load_model

    folder = shared / "camvid"
    model = load_model("enet-camvid", device="cpu", precision="fp32")
    backend = prepare_backend(
        model.network, device=CPU, precision="bf16", cache_key="", cache_folder=None
    )
    classes = len(model.label_space)
    mean, std = (torch.tensor(part) for part in (model.preprocessing.mean, model.preprocessing.std))
    backend.wait_ready({(360, 480): 20})
    confusion = np.zeros((2, classes, classes))
    equal = []
    for path in sorted((folder / "test").glob("*.png"))[::12]:
        pixels = torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy())
        batch = ((pixels - mean) / std).permute(2, 0, 1)[None].contiguous()
        target = cv2.imread(str(folder / "testannot" / path.name), cv2.IMREAD_UNCHANGED)
        labels = [side(batch).argmax(1)[0].numpy() for side in (_eager(model.network), backend)]
        equal.append((labels[0] == labels[1]).mean())
        known = target < classes
        for place, map_ in enumerate(labels):
            np.add.at(confusion[place], (target[known], map_[known]), 1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    union = confusion.sum(1) + confusion.sum(2) - hits
    exact, found = 100 * (hits / union).mean(1)
    said = f"{backend.name}: {100 * np.mean(equal):.3f} % equal, mIoU {exact:.3f} -> {found:.3f}"
    assert backend.record().name.startswith("openvino")
    assert np.mean(equal) >= 0.995 and abs(found - exact) < 0.1, said


def _eager(network: SegmentationNetwork) -> EagerBackend:
    return EagerBackend(network, device=CPU, precision="fp32")
