"""``segstudio colors``: the colours of masks that nobody named, and names for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import load_plugins, open_patiently, say
from segstudio.core.errors import UsageError

__all__ = ["colors"]


def colors(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder with colour masks.")],
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="R,G,B=NAME; repeatable. Colours without a name are ignored."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File; DATASET/label_space.json by default."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """List the colours found in masks; with --name, save what they mean as a label space."""
    from segstudio.cli.tables import format_table
    from segstudio.datasets.color_naming import ColorName, count_colors, save_named_colors

    load_plugins()
    opened = open_patiently(dataset, format="rgb")
    found = count_colors(opened)
    if name:
        names = dict(_parsed(entry) for entry in name)
        unknown = [color for color in names if color not in {entry.color for entry in found}]
        for color in unknown:
            say(f"The colour {color} is in none of the masks that were looked at.")
        rest = [entry.color for entry in found if entry.color not in names]
        entries = [ColorName(color, text) for color, text in names.items()]
        path = save_named_colors(
            opened.root, [*entries, *(ColorName(color, "") for color in rest)], output
        )
        say(f"{len(names)} colours are named in {path}, {len(rest)} are ignored.")
    if as_json:
        print(
            json.dumps(
                [
                    {"color": entry.color, "pixels": entry.pixels, "masks": entry.masks,
                     "share": entry.share}
                    for entry in found
                ]
            )
        )  # fmt: skip
    else:
        rows = [
            [",".join(map(str, entry.color)), f"{100 * entry.share:.2f}", entry.masks]
            for entry in found
        ]
        print(format_table(["R,G,B", "% of pixels", "masks"], rows, right=(1, 2)))
    return 0


def _parsed(text: str) -> tuple[tuple[int, int, int], str]:
    color, equals, name = text.partition("=")
    try:
        red, green, blue = (int(part) for part in color.split(","))
    except ValueError:
        red = green = blue = -1
    if not equals or not name.strip() or not all(0 <= v <= 255 for v in (red, green, blue)):
        raise UsageError(f"--name takes R,G,B=NAME, for example 255,0,0=car, not {text!r}.")
    return (red, green, blue), name.strip()
