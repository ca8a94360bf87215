"""``segstudio bench``: what models cost on this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.bench_engine import bench_engine
from segstudio.cli.common import JsonFlag, ModelsOption, load_plugins, open_patiently, say
from segstudio.core.errors import SegStudioError, UnknownNameError, UsageError
from segstudio.core.registry import did_you_mean

if TYPE_CHECKING:
    from segstudio.datasets.base import Dataset

__all__ = ["bench"]

_SUBJECTS = ["models", "engine"]
_SIZE = re.compile(r"(\d+)x(\d+)")
_MAX_SIDE = 16384


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
        str | None,
        typer.Option(
            metavar="DATASET",
            help="Also score the models on it, as evaluate does: its path, or the name of a "
            "folder that the window opened or that lies in a folder of SEGSTUDIO_DATASETS.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="With --dataset: only the samples of this split; by default val or test where "
            "there is one, because the others were learned from; all takes every sample."
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
    json: JsonFlag = False,
) -> int:
    """Measure what models cost here; without -m, the embedded ones. The window shows it too."""
    from segstudio.cli.bench_table import print_models
    from segstudio.cli.tables import print_json
    from segstudio.inference.catalogue import embedded_models, find_model

    if json and markdown:
        raise UsageError("--json and --markdown are two ways to print the same; name one.")
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
        about = None if data is None else {"root": str(data.root), "splits": list(data.splits)}
        print_json({"models": entries, "failed": failed, "dataset": about})
    else:
        print_models(entries, scored_on=_said(data), markdown=markdown)
    return 1 if failed else 0


def _parse_size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or not all(1 <= int(side) <= _MAX_SIDE for side in found.groups()):
        raise UsageError(
            f"A size is HEIGHTxWIDTH in pixels, for instance 512x1024 and at most {_MAX_SIDE} a "
            f"side, not {text!r}."
        )
    return int(found[1]), int(found[2])


_JUDGING = ("val", "validation", "test")
"""Names of splits that nothing is learned from, the one that is for choosing first."""


def _open_dataset(name: str | None, split: str | None) -> Dataset | None:
    from segstudio.session.known_datasets import find_dataset

    if name is None:
        if split is not None:
            raise UsageError("--split is for the samples of --dataset; name that too.")
        return None
    opened = open_patiently(find_dataset(name))
    if split is None:
        split = next((entry for entry in _JUDGING if entry in opened.splits), "all")
    if split != "all" or split in opened.splits:
        opened = opened.select(split)
    if not opened.has_targets:
        raise UsageError(f"{opened.root} has no ground truth to score models on.")
    return opened


def _said(data: Dataset | None) -> str:
    if data is None:
        return ""
    split = f", split {data.splits[0]}" if len(data.splits) == 1 else ""
    return f"{len(data)} images of {data.root}{split}"


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
