"""``segstudio inspect``: what a checkpoint is, told from its tensors."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from segstudio.cli.common import JsonFlag, load_plugins

__all__ = ["inspect_checkpoint"]


def inspect_checkpoint(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT", help="A file, a folder that holds one, or an embedded model."
        ),
    ],
    json: JsonFlag = False,
) -> int:
    """Say what a checkpoint is: architecture, variant, classes, preprocessing; nothing is run."""
    from segstudio.cli.tables import print_json
    from segstudio.session.inspection import checkpoint_facts

    load_plugins()
    facts = checkpoint_facts(checkpoint)
    if json:
        print_json(facts)
    else:
        _print(facts)
    return 0


def _print(facts: dict[str, Any]) -> None:
    from segstudio.cli.tables import format_table

    def listed(names: list[str], shown: int = 12) -> str:
        more = f", and {len(names) - shown} more" if len(names) > shown else ""
        return (", ".join(names[:shown]) + more) or "-"

    preprocessing = facts["preprocessing"]
    size = preprocessing["size"]
    resize = preprocessing["resize"] + (f" {size[0]} x {size[1]}" if size else "")
    normalise = ", ".join(f"{value:g}" for value in preprocessing["mean"])
    spread = ", ".join(f"{value:g}" for value in preprocessing["std"])
    rows: list[list[object]] = [
        ["source", facts["source"]],
        ["architecture", facts["architecture"]],
        ["variant", facts["variant"] or "-"],
        ["label space", facts["label_space"] or "unknown"],
        ["classes", f"{facts['classes']}: {listed(facts['class_names'])}"],
        ["values", f"{facts['values']:,}"],
        ["mean, std", f"{normalise}; {spread} ({preprocessing['channel_order'].upper()}, 0..255)"],
        ["resize", resize],
        ["test", f"{facts['test']['mode']} image"],
        ["filled", f"{facts['filled']} of {facts['tensors']} tensors"],
        ["missing", listed(facts["missing"])],
        ["unexpected", listed(facts["unexpected"])],
        ["of another shape", listed(facts["misshapen"])],
    ]
    for key, value in sorted(facts["card"].items()):
        if isinstance(value, (str, int, float)):
            rows.append([f"card: {key}", value])
    print(facts["path"])
    print(format_table(["what", "is"], rows))
    for note in facts["notes"]:
        print(note)
