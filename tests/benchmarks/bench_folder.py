"""A folder of photographs: image after image the plain way, against `run_models`, in one run.

Linux and macOS.  ``python tests/benchmarks/bench_folder.py [--images 24] [--rounds 1]``; a few
minutes on two cores.  Photographs are those of ``../shared/data/coco``, or made up where that is
missing.  Wall times on a machine that others use say little; processor seconds say more.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from segstudio.architectures.segformer import SegFormer, SegFormerOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import LabelSpace
from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.base import Dataset
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import open_rows
from segstudio.inference.model import Model, load_model
from segstudio.inference.plain import plain_run
from segstudio.inference.sharing import set_threads, usable_threads
from segstudio.metrics.confusion import warm_kernels
from segstudio.session.engines.local import LocalEngine
from segstudio.session.runner import RunRequest, run_models

CLASSES = 150
WORDS = ("fp32", "auto")
"""Values of --precision."""
COCO = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco" / "images"


def photographs(folder: Path, count: int) -> Dataset:
    """Put photographs, or pictures of their size, into a folder."""
    folder.mkdir()
    if COCO.is_dir():
        for path in sorted(COCO.iterdir())[:count]:
            (folder / path.name).symlink_to(path)
    else:
        generator = np.random.default_rng(0)
        for number in range(count):
            coarse = generator.integers(0, 256, (60, 80, 3)).astype(np.uint8)
            picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{number:02}.jpg"), picture)
    return open_dataset(folder)


def save_segformer(path: Path) -> None:
    """Save a SegFormer-B0 with random weights that sees images at 512 pixels."""
    torch.manual_seed(0)
    space = LabelSpace.from_json({"name": "b", "classes": [f"c{n}" for n in range(CLASSES)]})
    weights = state_dict_of(SegFormer(CLASSES, SegFormerOptions()))
    rule = Preprocessing(resize="keep-ratio", size=(2048, 512))
    save_native(path, NativeCheckpoint("segformer", {"variant": "b0"}, space, rule, weights))


def naive(model: Model, dataset: Dataset, folder: Path) -> None:
    """Do one image after the other."""
    for sample in dataset.samples:
        plain_run(model, sample.image_path, folder)


def bare(model: Model, dataset: Dataset) -> tuple[float, float]:
    """Return processor seconds per image of the forward pass and of the fused post-processing."""
    set_threads(1)
    forward = fused = 0.0
    for sample in dataset.samples:
        source = open_rows(sample.image_path)
        prepared = model.prepare(source.read_rows(0, source.height))
        assert prepared is not None
        started = time.process_time()
        (logits,) = model.run([prepared])
        between = time.process_time()
        model.finish(prepared, logits)
        forward += between - started
        fused += time.process_time() - between
    return forward / len(dataset), fused / len(dataset)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds on the wall and of the processor that a call takes."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Print both sides, their ratio, and how far the pipeline is from its parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    threads = usable_threads()
    warm_kernels()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        dataset = photographs(root / "images", arguments.images)
        weights = root / "segformer.safetensors"
        save_segformer(weights)
        models: dict[str, dict[tuple[str, ...], Model]] = {word: {} for word in WORDS}

        def run(precision: str, project: str) -> None:
            request = RunRequest(
                dataset, (str(weights),), _made(root / project), device="cpu", precision=precision
            )
            run_models(request, lambda event: None, models=models[precision])

        plain = load_model(weights, device="cpu", precision="fp32")
        naive(plain, dataset.select(limit=1), _made(root / "naive-warm"))
        # The first run compiles, which later runs find on the disk and this process in memory.
        first = {word: timed(partial(run, word, f"warm-{word}"))[0] for word in WORDS}
        sides: dict[str, list[tuple[float, float]]] = {side: [] for side in ("naive", *WORDS)}
        for number in range(arguments.rounds):
            out = _made(root / f"naive-{number}")
            sides["naive"].append(timed(partial(naive, plain, dataset, out)))
            for word in WORDS:
                sides[word].append(timed(partial(run, word, f"{word}-{number}")))
        parts = {word: bare(*models[word].values(), dataset) for word in WORDS}
        set_threads(threads)
        limits = LocalEngine(plain).limits(len(dataset))
        used = next(iter(models["auto"].values())).backend.record()
    print(f"{len(dataset)} images, {threads} threads, {limits.workers} images side by side")
    print(f"load average {os.getloadavg()[0]:.1f} (of this and all other programs)")
    print(f"auto is {used.name} for inputs of {used.shapes}, {used.other} for others")
    best = {side: tuple(map(min, zip(*times, strict=True))) for side, times in sides.items()}
    for side, (wall, processor) in best.items():
        rate = len(dataset) / wall
        print(f"{side:<6} {wall:6.1f} s wall ({rate:.2f} images/s), {processor:6.1f} s processor")
    for word in WORDS:
        ratios = [a / b for a, b in zip(best["naive"], best[word], strict=True)]
        ideal = sum(parts[word]) * len(dataset)
        wall, processor = best[word]
        print(
            f"{word}: {ratios[0]:.2f} x naive on the wall, {ratios[1]:.2f} in processor seconds; "
            f"first run {first[word]:.1f} s\n"
            f"  bare forward {parts[word][0]:.3f} s + fused {parts[word][1]:.3f} s of one core "
            f"per image; the run takes {wall / (ideal / threads):.2f} x (parts / cores) on the "
            f"wall, {processor / ideal:.2f} x parts in processor seconds"
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
