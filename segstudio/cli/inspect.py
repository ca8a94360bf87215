"""``segstudio inspect``: what a checkpoint is, told from its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.common import JsonFlag, load_plugins

if TYPE_CHECKING:
    from segstudio.checkpoints.opening import Checkpoint

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
    from segstudio.checkpoints.opening import open_checkpoint
    from segstudio.cli.tables import print_json
    from segstudio.inference.catalogue import find_model

    load_plugins()
    facts = _facts(open_checkpoint(find_model(checkpoint)))
    if json:
        print_json(facts)
    else:
        _print(facts)
    return 0


def _facts(opened: Checkpoint) -> dict[str, Any]:
    from segstudio.core.options import options_to_json

    preprocessing = opened.preprocessing.to_json()
    space = opened.label_space
    slides = opened.preprocessing.window is not None
    return {
        "path": str(opened.path),
        "source": opened.source,
        "architecture": opened.architecture,
        "variant": _variant(opened.options),
        "options": options_to_json(opened.options),
        "classes": opened.classes,
        "class_names": [] if space is None else space.names,
        "label_space": None if space is None else space.name,
        "preprocessing": preprocessing,
        "test": {
            "mode": "slide" if slides else "whole",
            "resize": preprocessing["resize"],
            "size": preprocessing["size"],
            "window": preprocessing["window"],
            "stride": preprocessing["stride"],
            "align_corners": preprocessing["align_corners"],
        },
        "values": sum(tensor.numel() for tensor in opened.state_dict.values()),
        "missing": list(opened.missing),
        "unexpected": list(opened.unexpected),
        "unused": list(opened.unused),
        "notes": list(opened.notes),
        "card": opened.card,
    }


def _variant(options: Any) -> str | None:
    """Return the option called variant, else what differs from the defaults, else None."""
    from segstudio.core.options import options_to_json

    chosen = options_to_json(options)
    if "variant" in chosen:
        return str(chosen["variant"])
    defaults = options_to_json(type(options)())
    changed = [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
    return ", ".join(changed) or None


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
        ["missing", listed(facts["missing"])],
        ["unexpected", listed(facts["unexpected"])],
    ]
    for key, value in sorted(facts["card"].items()):
        if isinstance(value, (str, int, float)):
            rows.append([f"card: {key}", value])
    print(facts["path"])
    print(format_table(["what", "is"], rows))
    for note in facts["notes"]:
        print(note)
