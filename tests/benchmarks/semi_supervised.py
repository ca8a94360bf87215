"""CamVid with 1/8 of the masks: the semi-supervised modes against the supervised baseline.

    python tests/benchmarks/semi_supervised.py ../shared/data/camvid -o FOLDER [--only MODE ...]

All modes see the same 1/8 of the masks, the same number of steps and crops of the same size, start
from random weights and are scored with the weights of their last step: nothing is chosen on val.
DecoupledNet has a supervised baseline of its own, because it is another network.  So that one core
is enough for all five in about half an hour, the images are halved first (into FOLDER/images) and
the networks are small; figures are of the halved masks.

Each mode is one `segstudio train` in a folder of its own.  Stopped, it goes on where it was when
the script is started again; what is finished is not done again.  ``--only`` takes some of them, and
the table has all that are finished: mIoU on val, and the difference to the baseline with its 95 %
interval (paired bootstrap over the images).  ``FOLDER/results.json`` holds it with the processor's
and the wall's seconds, as far as they were spent in one go.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUNS = {
    "supervised": ("enet", "supervised", None),
    "mean-teacher": ("enet", "mean-teacher", "supervised"),
    "gan": ("enet", "gan", "supervised"),
    "decoupled-supervised": ("decouplednet", "supervised", None),
    "decoupled": ("decouplednet", "decoupled", "decoupled-supervised"),
}
"""Architecture, mode and baseline of each training."""
_ARCHITECTURE_OPTIONS = {"decouplednet": ("width=8", "fc_width=128")}


def main(arguments: list[str] | None = None) -> int:
    """Train what is not finished, then score and compare all that is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="MODE")
    parser.add_argument("--epochs", type=int, default=36, help="of the images with masks")
    parser.add_argument("--masks", type=int, default=8, help="every Nth mask")
    parser.add_argument("--shrink", type=int, default=2, help="1 takes the images as they are")
    parser.add_argument("--crop", type=int, nargs=2, default=(128, 160), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="score only the first N images of val")
    chosen = parser.parse_args(arguments)
    data = shrunk(chosen.dataset, chosen.output / "images", chosen.shrink)
    for name in chosen.only:
        status = train(name, data, chosen)
        if status:
            return status
    report(data, chosen)
    return 0


def shrunk(dataset: Path, folder: Path, factor: int) -> Path:
    """Write train and val of a folder in CamVid's layout at a fraction of their size."""
    import cv2

    if factor == 1:
        return dataset
    for split in ("train", "val"):
        for name, how in ((split, cv2.INTER_AREA), (f"{split}annot", cv2.INTER_NEAREST)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            for path in sorted((dataset / name).iterdir()):
                written = (folder / name / path.name).with_suffix(".png")
                if not written.exists():
                    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                    size = pixels.shape[1] // factor, pixels.shape[0] // factor
                    part = folder / f".{written.name}"
                    cv2.imwrite(str(part), cv2.resize(pixels, size, interpolation=how))
                    part.replace(written)
    return folder


def train(name: str, data: Path, chosen: argparse.Namespace) -> int:
    """Run one training to its end, or go on with it; return its exit status."""
    architecture, mode, _ = RUNS[name]
    folder = chosen.output / name
    command = [
        *(sys.executable, "-m", "segstudio", "train", str(data), "-o", str(folder)),
        *("-a", architecture, "--mode", mode, "--masks", str(chosen.masks)),
        *("--epochs", str(chosen.epochs), "--batch", str(chosen.batch)),
        *("--crop-height", str(chosen.crop[0]), "--crop-width", str(chosen.crop[1])),
        *("--optimizer", "adamw", "--learning-rate", str(chosen.learning_rate)),
        *("--weight-decay", "0.01", "--schedule", "cosine", "--warmup", "20"),
        *("--scale-minimum", "0.75", "--scale-maximum", "1.5", "--color-jitter", "0.3"),
        *("--class-weights", "enet", "--class-weight-power", "0.5", "--ema", "0.98"),
        *("--precision", "fp32", "--device", "cpu", "--seed", str(chosen.seed)),
        *("--validate-every", str(chosen.epochs), "--checkpoint-every", "50"),
    ]
    for option in _ARCHITECTURE_OPTIONS.get(architecture, ()):
        command += ["--set", option]
    times = folder / "times.json"
    fresh, finished = not (folder / "state.pt").exists(), times.exists()
    print(f"== {name}", file=sys.stderr, flush=True)
    before, started = _processor_seconds(), time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(chosen.threads)}
    status = subprocess.run(command, check=False, env=environment).returncode
    if status == 0 and not finished:
        spent = {
            "processor_seconds": _processor_seconds() - before if fresh else None,
            "wall_seconds": time.monotonic() - started if fresh else None,
        }
        times.write_text(json.dumps(spent) + "\n")
    return status


def _processor_seconds() -> float:
    """Return what finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def report(data: Path, chosen: argparse.Namespace) -> None:
    """Score what is finished on val, print each beside its baseline, write ``results.json``."""
    import numpy as np

    from segstudio.datasets.opening import open_dataset
    from segstudio.metrics.scores import bootstrap_interval, iou, mean_iou

    samples = open_dataset(data, split="val").select(limit=chosen.limit)
    finished = [name for name in RUNS if (chosen.output / name / "times.json").exists()]
    confusions = {name: _confusions(chosen.output / name, samples) for name in finished}
    rows: list[dict[str, Any]] = []
    for name, found in confusions.items():
        architecture, mode, baseline = RUNS[name]
        row: dict[str, Any] = {"name": name, "architecture": architecture, "mode": mode}
        row |= json.loads((chosen.output / name / "times.json").read_text())
        row["images"] = len(found)
        row["val_miou"] = float(mean_iou(found.sum(0)))
        row["class_iou"] = [
            None if np.isnan(value) else float(value) for value in iou(found.sum(0))
        ]
        if baseline in confusions:
            other = confusions[baseline]
            row["baseline"] = baseline
            row["difference"] = row["val_miou"] - float(mean_iou(other.sum(0)))
            interval = bootstrap_interval(found, mean_iou, other=other)
            row["interval"] = [float(value) for value in interval]
        rows.append(row)
    options = {key: str(value) for key, value in sorted(vars(chosen).items())}
    document = {"options": options, "results": rows}
    (chosen.output / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"{'mode':22} {'network':14} {'val mIoU':>8}  {'gain':>6}  {'95 % interval':17} seconds")
    for row in rows:
        text = f"{row['name']:22} {row['architecture']:14} {100 * row['val_miou']:8.2f}"
        if "difference" in row:
            low, high = (100 * value for value in row["interval"])
            text += f"  {100 * row['difference']:+6.2f}  {f'[{low:+.2f}, {high:+.2f}]':17}"
        else:
            text += f"  {'-':>6}  {'-':17}"
        seconds = row["processor_seconds"]
        print(text + (f" {seconds:7.0f}" if seconds is not None else "       -"))


def _confusions(folder: Path, samples: Any) -> Any:
    """Return the (S, C, C + 1) confusions of a training's weights over samples."""
    import numpy as np

    from segstudio.inference.model import load_model
    from segstudio.metrics.confusion import confusion_matrix

    model = load_model(folder / "best.safetensors", device="cpu", precision="fp32")
    space = model.label_space
    assert space is not None
    return np.stack(
        [
            confusion_matrix(
                samples.read_target(sample, space),
                model.predict(samples.read_image(sample)).label_map.astype(space.dtype),
                len(space),
                ignore_index=space.ignore_index,
            )
            for sample in samples.samples
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
