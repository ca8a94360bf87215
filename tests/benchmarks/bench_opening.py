"""Opening large datasets: seconds and memory of 100,000 samples in five formats.

``python tests/benchmarks/bench_opening.py [COUNT] [--keep FOLDER]`` lays out COUNT (100,000) empty
files per format in a temporary folder and opens each in a fresh process, beside a bare ``os.walk``
of the same folder.  Nothing is decoded when a dataset is opened, so empty files cost what real ones
do.  With ``--keep`` the files stay in FOLDER, and those that are there already are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

_OPEN = """
import json, re, sys, time
sys.path.insert(0, sys.argv[2])
from segstudio.datasets.base import FORMATS
from segstudio.datasets.opening import open_dataset
FORMATS.names()  # the modules are loaded
# ru_maxrss is handed on by the process that started this one, which may have been larger.
status = lambda: open("/proc/self/status").read()
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", status()).group(1)) / 1024
before, wall, cpu = peak(), time.perf_counter(), time.process_time()
dataset = open_dataset(sys.argv[1])
print(json.dumps([dataset.format, len(dataset), time.perf_counter() - wall,
                  time.process_time() - cpu, peak() - before]))
"""
_WALK = """
import json, os, sys, time
wall, cpu = time.perf_counter(), time.process_time()
count = sum(len(files) for _, _, files in os.walk(sys.argv[1]))
print(json.dumps(["os.walk", count, time.perf_counter() - wall, time.process_time() - cpu, 0]))
"""


def touch(folder: Path, names: list[str]) -> None:
    """Make empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    root = str(folder)
    for name in names:
        os.close(os.open(f"{root}/{name}", os.O_CREAT | os.O_WRONLY))


def make_folder(root: Path, count: int) -> None:
    """Write a plain folder in a hundred sub-folders."""
    for part in range(100):
        touch(root / f"{part:03}", [f"{n:06}.jpg" for n in range(part, count, 100)])


def make_paired(root: Path, count: int) -> None:
    """Write images and masks of equal names."""
    for top, ending in (("images", "jpg"), ("masks", "png")):
        touch(root / top / "train", [f"{n:06}.{ending}" for n in range(count)])


def make_voc(root: Path, count: int) -> None:
    """Write VOC's folders and a list."""
    names = [f"2007_{n:06}" for n in range(count)]
    touch(root / "JPEGImages", [f"{name}.jpg" for name in names])
    touch(root / "SegmentationClass", [f"{name}.png" for name in names])
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("\n".join(names))


def make_cityscapes(root: Path, count: int) -> None:
    """Write fifty cities with the four files per image that Cityscapes has."""
    endings = ("color.png", "instanceIds.png", "labelIds.png", "polygons.json")
    for city in range(50):
        stems = [f"city{city:02}_{n:06}_000019" for n in range(city, count, 50)]
        touch(root / f"leftImg8bit/train/city{city:02}", [f"{s}_leftImg8bit.png" for s in stems])
        names = [f"{stem}_gtFine_{ending}" for stem in stems for ending in endings]
        touch(root / f"gtFine/train/city{city:02}", names)


def make_coco(root: Path, count: int) -> None:
    """Write COCO's images and two small polygons each."""
    names = [f"{n:012}.jpg" for n in range(count)]
    touch(root / "train2017", names)
    images = [
        {"id": n, "file_name": name, "height": 480, "width": 640} for n, name in enumerate(names)
    ]
    square = [[10, 10, 90, 10, 90, 90, 10, 90]]
    annotations = [
        {"id": n, "image_id": n // 2, "category_id": 1, "iscrowd": 0, "segmentation": square}
        for n in range(2 * count)
    ]
    document = {
        "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]
    }  # fmt: skip
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(document))


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "folder": make_folder,
    "paired": make_paired,
    "voc": make_voc,
    "cityscapes": make_cityscapes,
    "coco": make_coco,
}


def measure(program: str, folder: Path) -> list[object]:
    """Run a program on a folder and return what it prints."""
    here = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", program, str(folder), here]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[object] = json.loads(done.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--keep", type=Path, help="a folder for what is laid out")
    chosen = parser.parse_args(arguments)
    print(f"{chosen.count} samples      wall s  processor s     MB   os.walk, processor s")
    for name, make in MAKERS.items():
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary) if chosen.keep is None else chosen.keep / name
            if chosen.keep is None or not place.exists():
                make(place, chosen.count)
            measure(_OPEN, place)  # what the disk knows is known to all
            runs = [measure(_OPEN, place) for _ in range(3)]
            best = min(runs, key=lambda run: run[3])  # type: ignore[arg-type,return-value]
            walk = measure(_WALK, place)
            assert best[0] == name and best[1] == chosen.count, best
            wall, processor, memory = best[2:]
            print(f"{name:14} {wall:12.2f} {processor:12.2f} {memory:6.0f} {walk[3]:12.2f}")


if __name__ == "__main__":
    main()
