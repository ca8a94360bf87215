"""CamVid with 1/8 of the masks: the semi-supervised modes against the supervised baseline.

    python tests/benchmarks/semi_supervised.py ../shared/data/camvid -o FOLDER [--epochs N] [...]

Each mode is one `segstudio train` in a folder of its own: started again, the script goes on where
it was stopped.  All modes see the same 1/8 of the masks, the same number of steps and the same
validation images; DecoupledNet has a supervised baseline of its own, because it is another network.
The table is printed and written to ``results.json``: mIoU on val of the best checkpoint, and the
difference to the baseline with its 95 % interval (paired bootstrap over the images).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

RUNS = {
    "enet-supervised": ("enet", "supervised", "enet-supervised"),
    "enet-mean-teacher": ("enet", "mean-teacher", "enet-supervised"),
    "enet-gan": ("enet", "gan", "enet-supervised"),
    "decouplednet-supervised": ("decouplednet", "supervised", "decouplednet-supervised"),
    "decouplednet-decoupled": ("decouplednet", "decoupled", "decouplednet-supervised"),
}
"""Architecture, mode and baseline of each training."""


def main() -> int:
    """Train what is not finished, then score and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--masks", type=int, default=8, help="every Nth mask")
    parser.add_argument("--crop", type=int, nargs=2, default=(224, 288))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--limit", type=int, help="score only the first N images of val")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    arguments = parser.parse_args()
    for name in arguments.only:
        status = train(name, arguments)
        if status:
            return status
    report(arguments)
    return 0


def train(name: str, arguments: argparse.Namespace) -> int:
    """Run one training to its end, or go on with it."""
    architecture, mode, _ = RUNS[name]
    command = [
        *(sys.executable, "-m", "segstudio", "train", str(arguments.dataset)),
        *("-o", str(arguments.output / name), "-a", architecture, "--mode", mode),
        *("--masks", str(arguments.masks), "--epochs", str(arguments.epochs)),
        *("--batch", str(arguments.batch), "--optimizer", "adamw", "--learning-rate", "1e-3"),
        *("--weight-decay", "0.01", "--crop-height", str(arguments.crop[0])),
        *("--crop-width", str(arguments.crop[1]), "--class-weights", "enet"),
        *("--class-weight-power", "0.5", "--ema", "0.99", "--color-jitter", "0.3"),
        *("--validate-every", str(max(1, arguments.epochs // 6))),
    ]
    if architecture == "decouplednet":
        command += ["--set", "width=16", "--set", "fc_width=256"]
    print(f"== {name}", file=sys.stderr, flush=True)
    return subprocess.run(command, check=False).returncode


def report(arguments: argparse.Namespace) -> None:
    """Score the best checkpoints on val and print each against its baseline."""
    import numpy as np

    from segstudio.datasets.opening import open_dataset
    from segstudio.inference.model import load_model
    from segstudio.metrics.confusion import confusion_matrix
    from segstudio.metrics.scores import bootstrap_interval, mean_iou

    samples = open_dataset(arguments.dataset, split="val").select(limit=arguments.limit)
    confusions = {}
    for name in arguments.only:
        model = load_model(arguments.output / name / "best.safetensors", precision="fp32")
        space = model.label_space
        confusions[name] = np.stack(
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
    rows = []
    for name, found in confusions.items():
        baseline = RUNS[name][2]
        row = {"name": name, "val_miou": float(mean_iou(found.sum(0)))}
        if baseline != name and baseline in confusions:
            other = confusions[baseline]
            row["difference"] = row["val_miou"] - float(mean_iou(other.sum(0)))
            row["interval"] = bootstrap_interval(found, mean_iou, other=other)
        rows.append(row)
    (arguments.output / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        text = f"{row['name']:26} {100 * row['val_miou']:6.2f}"
        if "difference" in row:
            low, high = row["interval"]
            text += f"  {100 * row['difference']:+6.2f}  [{100 * low:+.2f}, {100 * high:+.2f}]"
        print(text)


if __name__ == "__main__":
    raise SystemExit(main())
