"""A strip 20,000 pixels wide from TIFF to PNG by bands: memory goes with the width.

Strips of two heights are written as TIFF, predicted in windows and written as four PNG files, each
in a process of its own.  An image of 20,000 x 20,000 pixels is more of the same.  Also how fast a
PNG is written by bands, beside OpenCV's encoder.

Linux only (it reads /proc).  Run ``python tests/benchmarks/bench_windows.py``; one thread, 3 min.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data

from segstudio.core.types import quantise, quantise_entropy
from segstudio.datasets.encoding import encode_png
from segstudio.datasets.png_rows import writing_png_rows
from segstudio.datasets.rows import TiffRows, open_rows
from segstudio.inference.model import load_model

MODEL = "enet-camvid"
WIDTH, HEIGHTS, WINDOW = 20_000, (1280, 2560), "512x512:384"


def measure(folder: str, height: int) -> None:
    """Print seconds and the growth of the peak memory in MB."""
    torch.set_num_threads(1)
    place = Path(folder)
    model = load_model(MODEL, device="cpu", window=WINDOW)
    model.predict(np.zeros((64, 64, 3), np.uint8))
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before, started = _peak(), time.perf_counter()
    source = open_rows(place / f"{height}.tif", whole_pixels=1)
    assert isinstance(source, TiffRows)
    size = (source.height, source.width)
    layers = ("labels", "runner_up", "entropy", "confidence")
    files = [writing_png_rows(place / f"{layer}.png", size, np.uint8) for layer in layers]
    with files[0] as labels, files[1] as runner_up, files[2] as entropy, files[3] as confidence:
        for band in model.predict_rows(source):
            rows = band.prediction
            labels.write(rows.label_map)
            runner_up.write(rows.runner_up)
            entropy.write(quantise_entropy(rows.entropy, rows.classes))
            confidence.write(quantise(rows.confidence))
    print(time.perf_counter() - started, _peak() - before)


def _peak() -> float:
    """Return the peak of the resident memory, MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def strips(folder: Path) -> None:
    """Predict strips of several heights."""
    photograph = data.astronaut()
    print(f"{MODEL}, windows of {WINDOW}, {WIDTH} pixels wide")
    for height in HEIGHTS:
        across = np.tile(photograph, (1, WIDTH // photograph.shape[1] + 1, 1))[:, :WIDTH]
        image = np.tile(across, (height // len(across) + 1, 1, 1))[:height]
        Image.fromarray(image).save(
            folder / f"{height}.tif", compression="tiff_adobe_deflate", tiffinfo={278: 16}
        )
        code = f"import bench_windows; bench_windows.measure({str(folder)!r}, {height})"
        output = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            check=True,
            capture_output=True,
            text=True,
        )
        seconds, grown = (float(word) for word in output.stdout.split())
        speed = WIDTH * height / seconds / 1e6
        print(f"{height:5} rows   {seconds:6.1f} s   {speed:.2f} Mpixel/s   +{grown:.0f} MB")


def writing(folder: Path) -> None:
    """Write a label map and a map of noise by bands and at once."""
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 150, (64, 128)).astype(np.uint8)
    noise = np.clip(generator.normal(60, 12, (2048, 4096)), 0, 255).astype(np.uint8)
    maps = {"labels": np.kron(blocks, np.ones((32, 32), np.uint8)), "noise": noise}
    cv2.setNumThreads(1)
    for name, values in maps.items():
        started = time.perf_counter()
        with writing_png_rows(folder / "map.png", (2048, 4096), np.uint8, durable=False) as file:
            for top in range(0, 2048, 256):
                file.write(values[top : top + 256])
        by_bands = time.perf_counter() - started
        started = time.perf_counter()
        at_once = len(encode_png(values))
        seconds = time.perf_counter() - started
        size = (folder / "map.png").stat().st_size
        megabytes = values.nbytes / 1e6
        print(
            f"PNG of {name:6}   by bands {megabytes / by_bands:5.0f} MB/s, {size / 1e6:.2f} MB   "
            f"OpenCV {megabytes / seconds:5.0f} MB/s, {at_once / 1e6:.2f} MB"
        )


def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as name:
        strips(Path(name))
        writing(Path(name))


if __name__ == "__main__":
    main()
