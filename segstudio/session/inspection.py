"""What a checkpoint is, told from its tensors: the facts, and the words that people read.

`checkpoint_facts` opens the file and loads torch; a window asks its worker process for it.
Everything else here works on the facts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "checkpoint_facts",
    "describe",
    "facts_card",
    "fit_problem",
    "holds_checkpoint",
    "shorten_facts",
]

_PUBLISHERS = {
    "mmsegmentation": "MMSegmentation",
    "huggingface": "Hugging Face",
    "segmenter": "rstrudel/segmenter",
    "nvlabs": "NVlabs/SegFormer",
    "microsoft": "microsoft/Swin-Transformer",
    "pytorch-enet": "PyTorch-ENet",
    "segstudio": "SegStudio",
}
"""What people call the layouts; others go by their own name."""

_MISFITS = (
    ("missing", "missing"),
    ("misshapen", "of another shape"),
    ("unexpected", "unexpected"),
)
_NAMES_KEPT = 8
_LISTS = ("class_names", "missing", "unexpected", "misshapen", "unused", "notes")


def checkpoint_facts(path_or_name: str | Path) -> dict[str, Any]:
    """Return what a checkpoint is, as ``segstudio inspect --json`` prints it; nothing is run.

    Raises
    ------
    UnknownNameError
        When it is neither an embedded or fetched model nor an existing path.
    NotACheckpointError
        When no registered architecture explains the file; other errors as `open_checkpoint`.
    """
    from segstudio.checkpoints.opening import open_checkpoint
    from segstudio.core.options import options_to_json
    from segstudio.inference.catalogue import find_model
    from segstudio.inference.fitting import measure_fit

    opened = open_checkpoint(find_model(path_or_name))
    fit = measure_fit(opened)
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
        "title": _title(opened),
        "label_space_title": None if space is None else space.title or space.name,
        "parameters": fit.parameters,
        "tensors": fit.tensors,
        "filled": fit.filled,
        "misshapen": list(fit.misshapen),
        "fits": opened.fits and not fit.misshapen,
        "published": None if opened.published is None else opened.published.name,
        "bytes": opened.path.stat().st_size,
    }


def _title(opened: Any) -> str:
    from segstudio.architectures._base import ARCHITECTURES

    network = opened.network or ARCHITECTURES.get(opened.architecture)
    return str(network.facts.title)


def _variant(options: Any) -> str | None:
    """Return the option called variant, else what differs from the defaults, else None."""
    from segstudio.core.options import options_to_json

    chosen = options_to_json(options)
    if "variant" in chosen:
        return str(chosen["variant"])
    defaults = options_to_json(type(options)())
    changed = [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
    return ", ".join(changed) or None


def holds_checkpoint(folder: Path) -> bool:
    """Tell from names whether a folder is a model's rather than a dataset's; no file is opened.

    A model's folder holds a checkpoint file and nothing that a dataset format knows.
    """
    from segstudio.checkpoints.readers import checkpoint_suffixes
    from segstudio.datasets.opening import sniff

    suffixes = checkpoint_suffixes()
    try:
        found = any(entry.suffix.lower() in suffixes for entry in folder.iterdir())
    except OSError:
        return False
    return found and not sniff(folder)


# -- words ----------------------------------------------------------------------------------------


def shorten_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts small enough to be kept: long lists give their length and first names."""
    kept = {key: value for key, value in facts.items() if key not in {"card", "options", "values"}}
    counts = {key: _count(facts, key) for key in _LISTS}
    return kept | {key: list(facts[key])[:_NAMES_KEPT] for key in _LISTS} | {"counts": counts}


def describe(facts: Mapping[str, Any]) -> str:
    """Return what a checkpoint is in one line.

    For instance ``SegFormer B0, 150 classes of ADE20K, 3.8 M parameters · MMSegmentation``.
    """
    classes = f"{facts['classes']} classes"
    parts = [_network(facts), f"{classes} of {_space(facts)}" if _space(facts) else classes]
    if facts["parameters"] is not None:
        parts.append(f"{_millions(facts['parameters'])} parameters")
    return f"{', '.join(parts)} · {_publisher(facts)}"


def fit_problem(facts: Mapping[str, Any]) -> str | None:
    """Return one sentence on a checkpoint that fills its network only partly, None when it fits."""
    if facts["fits"]:
        return None
    what = ", ".join(
        f"{_count(facts, key)} {words}" for key, words in _MISFITS if _count(facts, key)
    )
    return (
        f"{Path(facts['path']).name} looks like {_network(facts)} but fits only partly: "
        f"{facts['filled']} of {facts['tensors']} tensors are filled ({what})."
    )


def facts_card(facts: Mapping[str, Any]) -> str:
    """Return the model card of a checkpoint file, Markdown, from its facts."""
    lines = [f"# {Path(facts['path']).name}", ""]
    if not facts["fits"]:
        lines += ["## It fits only partly", "", f"{fit_problem(facts)}", ""]
        for key, words in _MISFITS:
            if _count(facts, key):
                head = f"{_count(facts, key)} {words}"
                lines.append(f"- **{head}:** {_listed(facts, key)}")
        lines += ["", f"**What to do:** {_advice(facts)}", "", "## What it looks like", ""]
    lines += [f"- **{name}:** {value}" for name, value in _rows(facts)]
    return "\n".join([*lines, ""])


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (what, is) of a checkpoint for its card."""
    classes = str(facts["classes"])
    if facts["class_names"]:
        classes += f" of {_space(facts)}: {_listed(facts, 'class_names', code=False)}"
    else:
        classes += ", nothing says which"
    rows = [
        ("File", f"`{facts['path']}`"),
        ("Layout", _publisher(facts)),
        ("Architecture", _network(facts)),
        ("Classes", classes),
    ]
    if facts["parameters"] is not None:
        rows.append(("Parameters", f"{facts['parameters'] / 1e6:.2f} million"))
    if facts["fits"]:
        rows.append(("Tensors", f"all {facts['tensors']} filled"))
    if _count(facts, "unused"):
        rows.append(
            ("Left out", f"{_count(facts, 'unused')} tensors of heads that only help the training")
        )
    rows.append(("Test path", _test_path(facts["test"])))
    rows.extend(("Note", note) for note in facts["notes"])
    return rows


def _test_path(test: Mapping[str, Any]) -> str:
    size = "" if test["size"] is None else f" {test['size'][0]} x {test['size'][1]}"
    whole = "the whole image at once"
    if test["window"] is not None:
        height, width = test["window"]
        stride = (test["stride"] or test["window"])[0]
        whole = f"windows of {height} x {width}, {stride} apart"
    return f"resize {test['resize']}{size}, {whole}"


def _advice(facts: Mapping[str, Any]) -> str:
    everything = f'All names: `segstudio inspect "{facts["path"]}" --json`.'
    only_missing = not (_count(facts, "unexpected") or _count(facts, "misshapen"))
    if only_missing:
        return (
            "The file is incomplete; fetch or copy it again, or save the whole network's "
            f"state_dict. {everything}"
        )
    return (
        "It is of a variant that is not known here, or its network was changed before training. "
        "Take the published variant, or teach SegStudio yours with a plugin (an architecture is "
        f"one file). {everything}"
    )


def _network(facts: Mapping[str, Any]) -> str:
    variant = facts["variant"]
    if not variant:
        return str(facts["title"])
    if "=" in variant:
        chosen = dict(part.partition("=")[::2] for part in variant.split(", "))
        variant = next((chosen[key] for key in ("backbone", "encoder") if key in chosen), "")
        return f"{facts['title']} {variant}".rstrip()
    # Variants go by short names, "b0": people write them large.
    return f"{facts['title']} {variant.upper() if len(variant) <= 3 else variant}"


def _space(facts: Mapping[str, Any]) -> str:
    return str(facts["label_space_title"] or "").partition(",")[0]


def _publisher(facts: Mapping[str, Any]) -> str:
    return _PUBLISHERS.get(facts["source"], str(facts["source"]))


def _count(facts: Mapping[str, Any], key: str) -> int:
    return int(facts.get("counts", {}).get(key, len(facts[key])))


def _listed(facts: Mapping[str, Any], key: str, *, code: bool = True) -> str:
    names = facts[key][:_NAMES_KEPT]
    more = _count(facts, key) - len(names)
    words = ", ".join(f"`{name}`" if code else name for name in names)
    return words + (f" and {more} more" if more else "")


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"
