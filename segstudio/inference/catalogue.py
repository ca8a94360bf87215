"""The models that are at hand or can be fetched, told without opening a weight.

An embedded model is ``resources/models/NAME.safetensors`` with ``NAME.json`` (facts for programs)
and ``NAME.md`` (the model card for people) beside it.  A published one is an entry of
`segstudio.checkpoints.catalogue`, on this machine once it was fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.checkpoints.catalogue import (
    CatalogueEntry,
    cached_path,
    find_weights,
    load_catalogue,
)
from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.core.registry import did_you_mean
from segstudio.core.resources import resource_path

__all__ = [
    "ModelInfo",
    "all_models",
    "embedded_models",
    "find_model",
    "member_names",
    "published_models",
    "select_models",
]


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is loaded.

    Attributes
    ----------
    name, title : str
        Name for commands; name for people.
    architecture, label_space : str
        Names in the registry and among the label spaces.
    embedded : bool
        Whether it comes with SegStudio.
    path : Path or None
        The checkpoint file, or the folder that it came in; None when it is not on this machine.
    measured_miou, published_miou : float or None
        0..1; ours and the authors', the latter at a single scale.
    parameters : int or None
        Number of trainable parameters.
    url : str or None
        Where it can be had.
    card : str
        The model card, Markdown.
    published_miou_ms : float or None
        0..1, the authors', over several scales and flipped copies.
    variant, dataset : str
        Variant of the architecture and what it was trained on, for people.
    licence : str
        SPDX identifier, or "other: " and a name.
    size : int or None
        Bytes of the checkpoint file; an estimate as long as it was not fetched.
    source : str
        Who published it: "mmsegmentation", "huggingface", "segmenter", "torchvision"; "segstudio"
        for an embedded model, empty for a file of the user's.
    """

    name: str
    title: str
    architecture: str
    label_space: str
    embedded: bool
    path: Path | None
    measured_miou: float | None = None
    published_miou: float | None = None
    parameters: int | None = None
    url: str | None = None
    card: str = ""
    published_miou_ms: float | None = None
    variant: str = ""
    dataset: str = ""
    licence: str = ""
    size: int | None = None
    source: str = ""

    @property
    def on_disk(self) -> bool:
        """Whether it can be opened without the network."""
        return self.path is not None

    def to_json(self) -> dict[str, Any]:
        """Return the object of ``segstudio list models --json``."""
        return {
            "name": self.name,
            "title": self.title,
            "architecture": self.architecture,
            "label_space": self.label_space,
            "embedded": self.embedded,
            "on_disk": self.on_disk,
            "url": self.url,
            "published_miou": self.published_miou,
            "measured_miou": self.measured_miou,
            "parameters": self.parameters,
            "published_miou_ms": self.published_miou_ms,
            "variant": self.variant,
            "dataset": self.dataset,
            "licence": self.licence,
            "size": self.size,
            "source": self.source,
        }


def embedded_models() -> list[ModelInfo]:
    """Return the models that come with SegStudio, by name.

    Raises
    ------
    SegStudioError
        When a card cannot be read: the installation is damaged.
    """
    found = []
    for path in sorted(resource_path("models").glob("*.safetensors")):
        facts = path.with_suffix(".json")
        card = path.with_suffix(".md")
        try:
            data = json.loads(facts.read_text(encoding="utf-8"))
            found.append(
                ModelInfo(
                    name=path.stem,
                    title=data["title"],
                    architecture=data["architecture"],
                    label_space=data["label_space"],
                    embedded=True,
                    path=path,
                    measured_miou=data["measured_miou"],
                    parameters=data["parameters"],
                    card=card.read_text(encoding="utf-8"),
                    variant=data.get("variant", ""),
                    dataset=data.get("dataset", ""),
                    licence=data.get("licence", ""),
                    size=path.stat().st_size,
                    source="segstudio",
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegStudioError(
                f"The card {facts} of an embedded model cannot be read ({error}); "
                "please install SegStudio again."
            ) from error
    return found


def published_models() -> list[ModelInfo]:
    """Return the published checkpoints of the catalogue, by name, fetched or not.

    Raises
    ------
    SegStudioError
        When the catalogue cannot be read: the installation is damaged.
    """
    return [_published(entry) for entry in load_catalogue()]


def all_models() -> list[ModelInfo]:
    """Return the embedded models and the published ones; errors as both."""
    return [*embedded_models(), *published_models()]


def select_models(
    models: Iterable[ModelInfo],
    *,
    text: str = "",
    architecture: str | None = None,
    dataset: str | None = None,
    minimum_miou: float | None = None,
    maximum_size: int | None = None,
    on_disk: bool | None = None,
) -> list[ModelInfo]:
    """Return the models that a search leaves, in their order.

    Parameters
    ----------
    models : iterable of ModelInfo
    text : str
        Words that must all be in name, title, architecture, variant, dataset, label space, licence
        or source; upper and lower case are the same.
    architecture, dataset : str, optional
        As in `ModelInfo`.
    minimum_miou : float, optional
        0..1, of the published single-scale score, else of ours; models without any are left out.
    maximum_size : int, optional
        Bytes; models of unknown size are left out.
    on_disk : bool, optional
        Only those that are on this machine, or only those that are not.
    """
    words = text.lower().split()

    def fits(model: ModelInfo) -> bool:
        score = model.measured_miou if model.published_miou is None else model.published_miou
        return (
            (architecture is None or model.architecture == architecture)
            and (dataset is None or model.dataset == dataset)
            and (minimum_miou is None or (score is not None and score >= minimum_miou))
            and (maximum_size is None or (model.size is not None and model.size <= maximum_size))
            and (on_disk is None or model.on_disk == on_disk)
            and all(word in _searched(model) for word in words)
        )

    return [model for model in models if fits(model)]


def member_names(name: str) -> list[str]:
    """Return the names or paths of the models that one name stands for.

    "A+B" is the ensemble of A and B, unless there is a file of that name.
    """
    if "+" not in name or Path(name).expanduser().exists():
        return [name]
    return [part.strip() for part in name.split("+")]


def find_model(name_or_path: str | Path) -> Path:
    """Return what to open: of an embedded model, of a published one that was fetched, of a path.

    Raises
    ------
    UnknownNameError
        When it is none of them, or a published model that is not on this machine.
    """
    name = str(name_or_path)
    models = {model.name: model for model in embedded_models()}
    if name in models:
        return models[name].path or Path(name)
    entries = {entry.name: entry for entry in load_catalogue()}
    entry = entries.get(name)
    fetched = None if entry is None else cached_path(entry)
    if fetched is not None:
        return fetched
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    if entry is not None:
        raise UnknownNameError(
            f"The model {name} is not on this machine; fetch it with: segstudio download {name}."
        )
    raise UnknownNameError(
        f"There is no model or file {name!r}: {did_you_mean(name, [*models, *entries])}"
    )


def _published(entry: CatalogueEntry) -> ModelInfo:
    found = find_weights(entry)
    return ModelInfo(
        name=entry.name,
        title=entry.title,
        architecture=entry.architecture,
        label_space=entry.label_space,
        embedded=False,
        path=None if found is None else cached_path(entry),
        published_miou=_share(entry.miou),
        published_miou_ms=_share(entry.miou_ms_flip),
        parameters=entry.parameters,
        url=entry.url,
        card=_card(entry),
        variant=entry.variant,
        dataset=entry.dataset,
        licence=entry.licence,
        size=entry.bytes if found is None else found[1].stat().st_size,
        source=entry.source,
    )


def _share(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 6)


def _card(entry: CatalogueEntry) -> str:
    """Return the model card of a published checkpoint, from its facts."""
    rule = entry.preprocessing
    size = "" if rule.size is None else f" {rule.size[0]} x {rule.size[1]}"
    window = "the whole image at once"
    if rule.window is not None and rule.stride is not None:
        window = f"windows of {rule.window[0]} x {rule.window[1]}, {rule.stride[0]} apart"
    scores = {"single scale": entry.miou, "several scales and flipped": entry.miou_ms_flip}
    known = [f"{value:g} % {kind}" for kind, value in scores.items() if value is not None]
    rows = [
        ("Published by", f"{entry.publisher}, <{entry.url}>"),
        ("Architecture", f"{entry.architecture}, {entry.variant}"),
        ("Classes", f"{entry.classes} of {entry.dataset}"),
        ("Parameters", f"{entry.parameters / 1e6:.2f} million without auxiliary heads"),
        ("mIoU", ", ".join(known) or "not published"),
        ("Stated in", entry.miou_source),
        ("Test path", f"resize {rule.resize}{size}, {window}"),
        ("Licence", entry.licence),
        ("Facts from", entry.facts_source),
    ]
    lines = [f"# {entry.title}", "", *(f"- **{name}:** {value}" for name, value in rows), ""]
    return "\n".join(lines)


def _searched(model: ModelInfo) -> str:
    """Return the words of a model that a search looks at, in lower case."""
    parts = (
        model.name,
        model.title,
        model.architecture,
        model.variant,
        model.dataset,
        model.label_space,
        model.licence,
        model.source,
    )
    return " ".join(parts).lower()
