"""The table of ``segstudio bench models``: as text, or as Markdown for a document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segstudio.cli.tables import format_table, percent

__all__ = ["print_models"]

_NOTES = (
    "params: trainable parameters; GFLOPs: of one pass, a multiply-add counts as two, only "
    "convolutions,",
    "matrix products and attention; stride: output stride; images/s: from image to label map and",
    "uncertainty, median; passes/s: the network alone on what it sees in one pass (input);",
)
_LEFT = ("model", "architecture", "backbone", "variant")


def print_models(entries: Sequence[dict[str, Any]], *, scored_on: str, markdown: bool) -> None:
    """Print what models cost, a row each.

    Parameters
    ----------
    entries : sequence of dict
        As the JSON document has them.
    scored_on : str
        What data they were scored on; empty when they were not.
    markdown : bool
    """
    if not entries:
        return
    columns = dict(_COLUMNS)
    if scored_on:
        columns["mIoU %"] = lambda entry: percent(entry.get("miou"))
    rows = [[cell(entry) for cell in columns.values()] for entry in entries]
    header = list(columns)
    if markdown:
        print(_markdown(header, rows))
    else:
        right = [index for index, name in enumerate(header) if name not in _LEFT]
        print(format_table(header, rows, right=right))
    first = entries[0]
    height, width = first["size"]
    print(f"\nAn image of {height} x {width} on {first['device']} at {first['precision']}.")
    if scored_on:
        print(f"mIoU: pooled, on {scored_on}.")
    for line in _NOTES:
        print(line)
    print(f"peak: {first['memory_method'] or 'not measured on this system'}.")


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = [":--" if name in _LEFT else "--:" for name in header]
    lines = [header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _scaled(key: str, unit: float, digits: int) -> Callable[[dict[str, Any]], str]:
    def cell(entry: dict[str, Any]) -> str:
        value = entry[key]
        return "-" if value is None else f"{value / unit:.{digits}f}"

    return cell


def _input(entry: dict[str, Any]) -> str:
    height, width = entry["input_size"]
    times = f"{entry['passes']} of " if entry["passes"] > 1 else ""
    return f"{times}{height} x {width}"


_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "model": lambda entry: str(entry["model"]),
    "architecture": lambda entry: str(entry["architecture"]),
    "backbone": lambda entry: entry["backbone"] or "-",
    "variant": lambda entry: entry["variant"] or "-",
    "params (M)": _scaled("parameters", 1e6, 2),
    "params (MB)": _scaled("parameter_bytes", 1e6, 1),
    "GFLOPs": _scaled("operations", 1e9, 2),
    "stride": lambda entry: str(entry["output_stride"]),
    "input": _input,
    "images/s": _scaled("images_per_second", 1, 2),
    "passes/s": _scaled("passes_per_second", 1, 2),
    "peak (MB)": _scaled("peak_memory", 1e6, 0),
}
