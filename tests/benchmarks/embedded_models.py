"""The embedded models beside each other, in and out of distribution: a page with its figures.

    python tests/benchmarks/embedded_models.py ../shared/data/camvid ../shared/data/coco \
        -o resources/docs

Every number is asked of the command line (``evaluate``, ``ood`` and ``compare`` with ``--json``)
in exact arithmetic; pictures are of rendered scenes and of scikit-image's photographs, because
those of the data sets are not ours to show.  Sentences that say which model is first or last are
made from the numbers.  Results are kept in ``--project``; stopped, it goes on there.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segstudio.analysis.side_by_side import Column, ComparedImage, ComparedRun
from segstudio.api import load_model
from segstudio.core.label_space import load_label_space
from segstudio.core.types import quantise_entropy
from segstudio.inference.catalogue import embedded_models
from segstudio.scenes.out_of_distribution import load_out_of_distribution
from segstudio.scenes.street import render_scene
from segstudio.session.comparison_figure import GridFigure, write_grid_figure

_SCENE = 7
_TITLES = {"in": "A rendered street", "out": "A cat"}
_NAMED = 12
"""Categories of COCO in the table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("camvid", type=Path)
    parser.add_argument("coco", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--project", type=Path, default=Path("trainings/embedded-models"))
    parser.add_argument("-m", "--model", action="append", help="embedded ones by default")
    chosen = parser.parse_args(arguments)
    models = chosen.model or [entry.name for entry in embedded_models()]
    scores = _ask("evaluate", chosen.camvid, models, chosen.project / "in", "--split", "test")
    unseen = _ask(
        "ood",
        chosen.coco,
        models,
        chosen.project / "out",
        *("--mapping", "coco-to-camvid"),
        *("--in-distribution", str(chosen.camvid), "--in-split", "test"),
    )
    pairs = {
        pair: _compare(chosen.project / "in", *pair) for pair in itertools.combinations(models, 2)
    }
    chosen.output.mkdir(parents=True, exist_ok=True)
    _figures(chosen.output, models, unseen)
    costs = _said(
        *("bench", "models", *_flags(models), "--dataset", str(chosen.camvid)),
        *("--split", "test", "--precision", "fp32", "--markdown"),
    )
    costs = costs.replace(str(chosen.camvid), chosen.camvid.name)
    page = _page(scores["runs"], unseen["runs"], pairs, costs)
    (chosen.output / "embedded-models.md").write_text(page, encoding="utf-8")
    return 0


def _ask(command: str, data: Path, models: Sequence[str], project: Path, *more: str) -> Any:
    flags = [*_flags(models), *more, "--project", str(project), "--precision", "fp32"]
    return _json(command, str(data), *flags)


def _flags(models: Sequence[str]) -> list[str]:
    return [flag for model in models for flag in ("-m", model)]


def _compare(project: Path, first: str, second: str) -> Any:
    return _json("compare", str(project), first, second)


def _json(*arguments: str) -> Any:
    return json.loads(_said(*arguments, "--json"))


def _said(*arguments: str) -> str:
    """Return what the command line prints on stdout."""
    command = [sys.executable, "-m", "segstudio", *arguments]
    print("+", *command[1:], file=sys.stderr)
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def _figures(folder: Path, models: Sequence[str], unseen: Any) -> None:
    """Draw a rendered scene and a cat as every model sees them, and the entropies."""
    scene, target = render_scene(_SCENE)
    pictures = {"in": (scene, target), "out": (load_out_of_distribution("cat"), None)}
    runs: dict[str, list[ComparedRun]] = {name: [] for name in pictures}
    for name in models:
        model = load_model(name)
        for key, (image, _) in pictures.items():
            found = model.predict(image)
            entropy = quantise_entropy(found.entropy, found.classes)
            runs[key].append(ComparedRun(name, model.label_space, found.label_map, entropy))
    for key, (image, mask) in pictures.items():
        columns = [Column.PHOTO, Column.SEGMENTATION, Column.ENTROPY]
        if mask is not None:
            columns.append(Column.ERRORS)
        space = load_label_space("camvid") if mask is not None else None
        compared = ComparedImage(_TITLES[key], image, tuple(runs[key]), mask, space)
        write_grid_figure(
            folder / f"embedded-{key}.png",
            GridFigure(compared, tuple(columns)),
            dpi=90,
            existing="replace",
        )
    _entropy_figure(folder / "embedded-entropy.svg", unseen["runs"])


def _entropy_figure(path: Path, runs: Sequence[Any]) -> None:
    """Draw which share of the pixels has at most an entropy, in and out of distribution."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "segstudio"  # the same figure is the same file
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    levels = np.arange(256) / 255
    for index, run in enumerate(runs):
        for key, style in (("in_entropy", "-"), ("out_entropy", "--")):
            counts = np.asarray(run["shift"][key], dtype=float)
            share = 100 * counts.cumsum() / counts.sum()
            axes.plot(levels, share, style, color=f"C{index}", linewidth=1.4)
        axes.plot([], [], color=f"C{index}", label=run["model"])
    axes.plot([], [], "-", color="grey", label="CamVid test")
    axes.plot([], [], "--", color="grey", label="COCO photographs")
    axes.set(xlabel="entropy / log C", ylabel="% of the pixels with at most that", xlim=(0, 1))
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _page(scores: Sequence[Any], unseen: Sequence[Any], pairs: Any, costs: str) -> str:
    return "\n".join(
        [
            _HEAD.format(date=datetime.date.today()),
            _scores_part(scores, pairs),
            _confidence_part(scores),
            _unseen_part(unseen),
            _COSTS.format(costs=costs.strip()),
            _FOOT,
        ]
    )


_HEAD = """# The embedded models beside each other

Measured on {date} by `tests/benchmarks/embedded_models.py` (the commands are at the end), in exact
float32 arithmetic, single scale. Entropy is in units of log C: 0 is sure, 1 is a guess among all
classes. How each model was trained, and on what, stands in its card in `resources/models`.

![A rendered street: a row per model with segmentation, entropy, errors](embedded-in.png)
"""


def _scores_part(scores: Sequence[Any], pairs: Any) -> str:
    rows = _table(
        ["model", "mIoU", "95 % interval", "pixel accuracy", "calibration error"],
        [
            [
                run["model"],
                _percent(run["pooled"]["miou"]),
                " to ".join(_percent(end) for end in run["pooled"]["miou_interval"]),
                _percent(run["pooled"]["pixel_accuracy"]),
                _percent(run["uncertainty"]["ece"]),
            ]
            for run in scores
        ],
    )
    names = [entry["name"] for entry in scores[0]["pooled"]["classes"]]
    classes = _table(
        ["IoU", *(run["model"] for run in scores)],
        [
            [name, *(_percent(run["pooled"]["classes"][place]["iou"]) for run in scores)]
            for place, name in enumerate(names)
        ],
    )
    lines = [
        f"- {second} against {first}: {_signed(pair['delta']['miou'])} points "
        f"({' to '.join(_signed(end) for end in pair['delta']['miou_interval'])})."
        for (first, second), pair in pairs.items()
    ]
    return "\n".join(
        [
            "## On CamVid's test images",
            "",
            rows,
            "",
            "Differences of pooled mIoU with their 95 % intervals (paired bootstrap over images):",
            "",
            *lines,
            "",
            classes,
            "",
        ]
    )


def _confidence_part(scores: Sequence[Any]) -> str:
    rows = _table(
        ["model", "entropy at edges / elsewhere", "errors it is sure of", "AUROC", "AUSE"],
        [
            [
                run["model"],
                f"{run['uncertainty']['edge_entropy_ratio']:.2f}",
                _percent(run["uncertainty"]["confident_error_share"]) + " %",
                _percent(run["uncertainty"]["auroc"]),
                f"{run['uncertainty']['ause']:.4f}",
            ]
            for run in scores
        ],
    )
    sure = sorted(scores, key=lambda run: -run["uncertainty"]["confident_error_share"])
    edge = sorted(scores, key=lambda run: -run["uncertainty"]["edge_entropy_ratio"])
    return f"""## What the entropy says about errors

{rows}

- **Edges**: within 3 pixels of a boundary of the ground truth the mean entropy is \
{_ratio(edge[-1])} ({edge[-1]["model"]}) to {_ratio(edge[0])} times ({edge[0]["model"]}) that of \
the other pixels.
- **Confidently wrong**: of the wrong pixels of {sure[0]["model"]} \
{_percent(sure[0]["uncertainty"]["confident_error_share"])} % have an entropy below 0.10, of those \
of {sure[-1]["model"]} {_percent(sure[-1]["uncertainty"]["confident_error_share"])} %.
- AUROC: how often a wrong pixel has a higher entropy than a right one. AUSE: the area between \
the sparsification curve by entropy and the one by the errors themselves, 0 being perfect.
"""


def _unseen_part(unseen: Sequence[Any]) -> str:
    rows = _table(
        ["model", "mean entropy, CamVid", "mean entropy, COCO", "pixel pairs in that order"],
        [
            [
                run["model"],
                f"{run['shift']['in_mean_entropy']:.3f}",
                f"{run['shift']['out_mean_entropy']:.3f}",
                _percent(run["shift"]["auroc"]) + " %",
            ]
            for run in unseen
        ],
    )
    sizes = {entry["name"]: entry["pixels"] for entry in unseen[0]["categories"]}
    strange = {entry["name"] for entry in unseen[0]["categories"] if entry["mapped_to"] is None}
    largest = sorted(strange, key=lambda name: -sizes[name])[:_NAMED]
    by_model = [{entry["name"]: entry for entry in run["categories"]} for run in unseen]
    classes = _table(
        ["category", "pixels", *(run["model"] for run in unseen)],
        [
            [name, f"{sizes[name]:,}", *(_called(found[name]) for found in by_model)]
            for name in largest
        ],
    )
    calm = max(unseen, key=lambda run: _sure_of_strangers(run, strange))
    least = min(unseen, key=lambda run: _sure_of_strangers(run, strange))
    return f"""## On photographs that are no street

112 photographs of COCO 2017, of which 47 show animals, through the mapping `coco-to-camvid`.

![A cat: every row a model, with its segmentation and entropy](embedded-out.png)

{rows}

![Share of the pixels with at most an entropy, for CamVid and COCO](embedded-entropy.svg)

The last column is the share of pairs of one pixel of each in which that of COCO has the higher
entropy; 50 % would tell nothing. Of the pixels of categories that are no class of CamVid
{calm["model"]} is sure (entropy below 0.10) of {_percent(_sure_of_strangers(calm, strange))} %,
{least["model"]} of {_percent(_sure_of_strangers(least, strange))} %.

What the largest such categories are called most often, with the share of their pixels and the mean
entropy there:

{classes}
"""


def _sure_of_strangers(run: Any, strange: set[str]) -> float:
    """Share of the pixels out of the label space whose entropy is below 0.10."""
    entries = [entry for entry in run["categories"] if entry["name"] in strange]
    pixels = sum(entry["pixels"] for entry in entries)
    return sum(entry["confident_error_share"] * entry["pixels"] for entry in entries) / pixels


def _called(entry: Any) -> str:
    first = entry["confused_with"][0]
    return f"{first['name']} {100 * first['share']:.0f} %, {entry['mean_entropy']:.2f}"


_COSTS = """## What they cost

On 2 shared cores of an AMD EPYC (AVX-512), no GPU.

{costs}
"""


_FOOT = """## Made with

```sh
segstudio evaluate CAMVID --split test -m MODEL ... --precision fp32 --json
segstudio ood COCO -m MODEL ... --mapping coco-to-camvid --in-distribution CAMVID \\
    --in-split test --precision fp32 --json
segstudio compare PROJECT MODEL MODEL --json
segstudio bench models -m MODEL ... --dataset CAMVID --split test --precision fp32 --markdown
```

The street scene is rendered by `segstudio.scenes`, the cat is scikit-image's (CC0).
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}"


def _ratio(run: Any) -> str:
    return f"{run['uncertainty']['edge_entropy_ratio']:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
