"""``segstudio bench``: what models cost on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.bench_engine import bench_engine
from segstudio.cli.common import JsonFlag, ModelsOption, load_plugins, say
from segstudio.core.errors import SegStudioError, UnknownNameError, UsageError
from segstudio.core.registry import did_you_mean

if TYPE_CHECKING:
    from segstudio.datasets.base import Dataset

__all__ = ["bench"]

_SUBJECTS = ["models", "engine"]
_SIZE = re.compile(r"(\d+)x(\d+)")
_MAX_SIDE = 16384

_NOTES = (
    "params: trainable parameters; GFLOPs: of one pass, a multiply-add counts as two, only "
    "convolutions,",
    "matrix products and attention; stride: output stride; images/s: from image to label map and",
    "uncertainty, median; passes/s: the network alone on what it sees in one pass (input);",
)


def bench(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[WHAT]", help="models: what they cost here; engine: what it gains."
        ),
    ] = "models",
    model: ModelsOption = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Size of the image.")] = "512x512",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    runs: Annotated[int, typer.Option(help="Repetitions; the median counts.", min=1)] = 5,
    dataset: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="Also score the models on it, as evaluate does."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="With --dataset: only the samples of this split.")
    ] = None,
    json: JsonFlag = False,
) -> int:
    """Measure what models cost here; without -m, the embedded ones. The window shows it too."""
    from segstudio.cli.tables import print_json
    from segstudio.inference.catalogue import embedded_models, find_model

    if what not in _SUBJECTS:
        raise UnknownNameError(f"There is no bench {what!r}: {did_you_mean(what, _SUBJECTS)}")
    extent = _parse_size(size)
    load_plugins()
    names = model or [entry.name for entry in embedded_models()]
    for name in names:
        find_model(name)
    if what == "engine":
        return bench_engine(names, extent, device, json=json)
    data = _open_dataset(dataset, split)
    entries: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for name in names:
        say(f"Measuring {name} ...")
        try:
            entries.append({"model": name, **_measure(name, extent, device, precision, runs)})
            if data is not None:
                entries[-1]["miou"] = _score(name, data, device, precision)
        except UsageError:
            raise
        except SegStudioError as error:
            say(f"{name} failed: {error}")
            failed.append({"model": name, "error": str(error)})
    if json:
        print_json({"models": entries, "failed": failed})
    else:
        _print(entries, with_scores=data is not None)
    return 1 if failed else 0


def _parse_size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or not all(1 <= int(side) <= _MAX_SIDE for side in found.groups()):
        raise UsageError(
            f"A size is HEIGHTxWIDTH in pixels, for instance 512x1024 and at most {_MAX_SIDE} a "
            f"side, not {text!r}."
        )
    return int(found[1]), int(found[2])


def _open_dataset(path: Path | None, split: str | None) -> Dataset | None:
    from segstudio.datasets.opening import open_dataset

    if path is None:
        if split is not None:
            raise UsageError("--split is for the samples of --dataset; name that too.")
        return None
    opened = open_dataset(path, split=split)
    if not opened.has_targets:
        raise UsageError(f"{opened.root} has no ground truth to score models on.")
    return opened


def _measure(
    name: str, size: tuple[int, int], device: str, precision: str, runs: int
) -> dict[str, Any]:
    from segstudio.inference.costs import measure_costs
    from segstudio.session.costs import remember_costs
    from segstudio.session.plugins import load_plugins as prepare

    costs = measure_costs(
        name, size, device=device, precision=precision, runs=runs, prepare=prepare
    ).to_json()
    try:
        remember_costs(name, costs)
    except SegStudioError as error:
        say(f"The result is not kept for the window: {error}")
    return costs


def _score(name: str, dataset: Dataset, device: str, precision: str) -> float | None:
    """Return the pooled mIoU, 0..1; predictions that are stored are not made again."""
    from segstudio.session.scripting import evaluate

    report = evaluate(dataset, [name], device=device, precision=precision)
    value = report.runs[0].miou
    return value if value == value else None


def _print(entries: list[dict[str, Any]], *, with_scores: bool) -> None:
    from segstudio.cli.tables import format_table, percent

    if not entries:
        return
    header = ["model", "architecture", "variant", "params (M)", "params (MB)", "GFLOPs", "stride"]
    header += ["input", "images/s", "passes/s", "peak (MB)"]
    rows = []
    for entry in entries:
        height, width = entry["input_size"]
        times = f"{entry['passes']} of " if entry["passes"] > 1 else ""
        rows.append(
            [
                entry["model"],
                entry["architecture"],
                entry["variant"] or "-",
                _scaled(entry["parameters"], 1e6, 2),
                _scaled(entry["parameter_bytes"], 1e6, 1),
                _scaled(entry["operations"], 1e9, 2),
                entry["output_stride"],
                f"{times}{height} x {width}",
                f"{entry['images_per_second']:.2f}",
                f"{entry['passes_per_second']:.2f}",
                _scaled(entry["peak_memory"], 1e6, 0),
            ]
        )
        if with_scores:
            rows[-1].append(percent(entry.get("miou")))
    if with_scores:
        header.append("mIoU %")
    print(format_table(header, rows, right=range(3, len(header))))
    first = entries[0]
    height, width = first["size"]
    print(f"\nAn image of {height} x {width} on {first['device']} at {first['precision']}.")
    for line in _NOTES:
        print(line)
    print(f"peak: {first['memory_method'] or 'not measured on this system'}.")


def _scaled(value: int | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"
