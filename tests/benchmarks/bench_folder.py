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
import torch.nn.functional as F

from segstudio.architectures.segformer import SegFormer, SegFormerOptions
from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
from segstudio.core.label_space import LabelSpace
from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.base import Dataset
from segstudio.datasets.opening import open_dataset
from segstudio.datasets.rows import open_rows
from segstudio.inference.model import Model, load_model
from segstudio.inference.sharing import set_threads, usable_threads
from segstudio.metrics.confusion import warm_kernels
from segstudio.session.engines.local import LocalEngine
from segstudio.session.runner import RunRequest, run_models

CLASSES = 150
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


@torch.inference_mode()
def naive(model: Model, dataset: Dataset, folder: Path) -> None:
    """Read, resize, forward, interpolate, softmax, entropy, argmax, write: one after the other."""
    rule = model.preprocessing
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (rule.mean, rule.std))
    for sample in dataset.samples:
        image = cv2.cvtColor(cv2.imread(str(sample.image_path)), cv2.COLOR_BGR2RGB)
        height, width = image.shape[:2]
        scale = 512 / min(height, width)
        size = (int(width * scale + 0.5), int(height * scale + 0.5))
        resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        batch = (torch.from_numpy(resized).permute(2, 0, 1)[None].float() - mean) / std
        logits = model.network(batch)
        full = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)[0]
        p = full.softmax(0)
        entropy = -(p * p.clamp_min(1e-38).log()).sum(0) / np.log(CLASSES)
        best = p.topk(2, 0)
        layers = (best.indices[0], entropy * 255, best.values[0] * 255, best.indices[1])
        for name, layer in zip("lecr", layers, strict=True):
            place = folder / f"{sample.sample_id}.{name}.png"
            cv2.imwrite(str(place), layer.to(torch.uint8).numpy())


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
        models: dict[tuple[str, ...], Model] = {}
        first = dataset.select(limit=1)

        def run(chosen: Dataset, project: str) -> None:
            folder = root / project
            folder.mkdir()
            request = RunRequest(chosen, (str(weights),), folder, device="cpu", precision="fp32")
            run_models(request, lambda event: None, models=models)

        plain = load_model(weights, device="cpu", precision="fp32")
        run(first, "warm")
        naive(plain, first, _made(root / "naive-warm"))
        sides: dict[str, list[tuple[float, float]]] = {"naive": [], "run_models": []}
        for number in range(arguments.rounds):
            out = _made(root / f"naive-{number}")
            sides["naive"].append(timed(partial(naive, plain, dataset, out)))
            sides["run_models"].append(timed(partial(run, dataset, f"run-{number}")))
        parts = bare(plain, dataset.select(limit=6))
        set_threads(threads)
        limits = LocalEngine(plain).limits(len(dataset))
    print(f"{len(dataset)} images, {threads} threads, {limits.workers} images side by side")
    print(f"load average {os.getloadavg()[0]:.1f} (of this and all other programs)")
    best = {side: tuple(map(min, zip(*times, strict=True))) for side, times in sides.items()}
    for side, (wall, processor) in best.items():
        rate = len(dataset) / wall
        print(f"{side:<11} {wall:6.1f} s wall ({rate:.2f} images/s), {processor:6.1f} s processor")
    ratios = [a / b for a, b in zip(best["naive"], best["run_models"], strict=True)]
    print(f"ratio       {ratios[0]:.2f} on the wall, {ratios[1]:.2f} in processor seconds")
    ideal = sum(parts) * len(dataset)
    print(f"bare forward {parts[0]:.3f} s + bare fused {parts[1]:.3f} s of one core per image")
    wall, processor = best["run_models"]
    print(
        f"run_models over its parts: wall {wall / (ideal / threads):.2f} x (parts / cores), "
        f"processor {processor / ideal:.2f} x parts"
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    main()
