"""Plain tables and JSON documents on stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

__all__ = ["format_table", "percent", "print_json"]


def print_json(document: Any) -> None:
    """Print exactly one JSON document on stdout."""
    print(json.dumps(document, allow_nan=False))


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share as a percentage without its sign, "-" where the number does not exist."""
    if value is None or math.isnan(value):
        return "-"
    return f"{100 * value:.{digits}f}"


def format_table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[int] = (),
    rule_before: int | None = None,
) -> str:
    """Return a table in columns as wide as their widest cell.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : sequence of sequences
        Cells; ``str`` makes their text.
    right : sequence of int
        Columns that are aligned to the right: numbers.
    rule_before : int, optional
        Number of the row above which a second rule is drawn.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [
        max(len(line[column]) for line in [list(header), *cells]) for column in range(len(header))
    ]

    def line(entries: Sequence[str]) -> str:
        padded = (
            entry.rjust(width) if column in right else entry.ljust(width)
            for column, (entry, width) in enumerate(zip(entries, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [line(header), rule]
    for number, row in enumerate(cells):
        if number == rule_before:
            lines.append(rule)
        lines.append(line(row))
    return "\n".join(lines)
