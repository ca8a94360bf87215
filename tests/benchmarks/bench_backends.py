"""Networks on a CPU: PyTorch in float32 against what ``--precision auto`` takes, in one run.

Run ``python tests/benchmarks/bench_backends.py [NAME ...]``; four sides in turns, five rounds, with
torch's number of threads on every side (OMP_NUM_THREADS sets it).  Some minutes.  The weights are
random: speed does not depend on them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.core.options import build_options
from segstudio.inference.backends.base import Backend
from segstudio.inference.backends.choosing import prepare_backend
from segstudio.inference.backends.compiling import CompileSettings
from segstudio.inference.backends.eager import EagerBackend
from segstudio.inference.backends.openvino import OpenVinoBackend

SIZE = (512, 512)
ROUNDS = 5
CPU = torch.device("cpu")
NETWORKS = {
    "SegFormer-B0": ("segformer", {"variant": "b0"}),
    "FCN R50-d8": ("fcn", {"backbone": "resnet50c"}),
    "DeepLabV3+ R50-d8": ("deeplabv3plus", {"backbone": "resnet50c"}),
}


def build(name: str) -> SegmentationNetwork:
    """Return a network of 150 classes with seeded weights."""
    architecture, options = NETWORKS[name]
    page = ARCHITECTURES.get(architecture)
    torch.manual_seed(0)
    return page(150, build_options(page.Options, options)).eval()


def seconds(backend: Backend, batch: torch.Tensor) -> float:
    start = time.perf_counter()
    backend(batch)
    return time.perf_counter() - start


def prepared(network: SegmentationNetwork, word: str, folder: Path) -> Backend:
    return prepare_backend(
        network, device=CPU, precision=word, cache_key="bench", cache_folder=folder
    )


def compare(name: str) -> None:
    network = build(name)
    batch = torch.randn(1, 3, *SIZE)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        auto = prepared(network, "auto", folder)
        first = seconds(auto, batch)
        waits = []
        for _ in range(2):
            start = time.perf_counter()
            auto.wait_ready({SIZE: 100})
            waits.append(time.perf_counter() - start)
            auto.close()
            auto = prepared(network, "auto", folder)
        auto.wait_ready({SIZE: 100})
        sides = {
            "eager fp32": prepared(network, "fp32", folder),
            "eager bf16": EagerBackend(network, device=CPU, precision="bf16"),
            "openvino fp32": OpenVinoBackend(
                network,
                EagerBackend(network, device=CPU, precision="fp32"),
                CompileSettings("fp32", torch.get_num_threads()),
                key=None,
                store=None,
            ),
            f"auto ({auto.record().name})": auto,
        }
        for side in sides.values():
            side.wait_ready({SIZE: 100})
            side(batch)
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, backend in sides.items():
                taken[side].append(seconds(backend, batch))
    exact = taken["eager fp32"]
    print(
        f"{name}, {torch.get_num_threads()} threads, {SIZE[0]}x{SIZE[1]}: first image {first:.1f} s"
        f", compiled after {waits[0]:.1f} s, from disk after {waits[1]:.1f} s"
    )
    for side, times in taken.items():
        # Sides of one round are near in time, so the load of the machine is alike.
        ratio = statistics.median(one / other for one, other in zip(exact, times, strict=True))
        print(
            f"  {side:28} median {1e3 * statistics.median(times):6.0f} ms, "
            f"best {1e3 * min(times):6.0f} ms; {ratio:5.1f}x eager fp32 by rounds, "
            f"{min(exact) / min(times):5.1f}x by the best",
            flush=True,
        )


def main() -> None:
    for name in sys.argv[1:] or NETWORKS:
        compare(name)


if __name__ == "__main__":
    main()
