"""The models that are at hand, told from their cards without opening a weight.

An embedded model is ``resources/models/NAME.safetensors`` with ``NAME.json`` (facts for programs)
and ``NAME.md`` (the model card for people) beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.core.registry import did_you_mean
from segstudio.core.resources import resource_path

__all__ = ["ModelInfo", "embedded_models", "find_model"]


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
        The checkpoint file, None when it is not on this machine.
    measured_miou, published_miou : float or None
        0..1; ours and the authors'.
    parameters : int or None
        Number of trainable parameters.
    url : str or None
        Where it can be had.
    card : str
        The model card, Markdown.
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

    def to_json(self) -> dict[str, Any]:
        """Return the object of ``segstudio list models --json``."""
        return {
            "name": self.name,
            "title": self.title,
            "architecture": self.architecture,
            "label_space": self.label_space,
            "embedded": self.embedded,
            "on_disk": self.path is not None,
            "url": self.url,
            "published_miou": self.published_miou,
            "measured_miou": self.measured_miou,
            "parameters": self.parameters,
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
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SegStudioError(
                f"The card {facts} of an embedded model cannot be read ({error}); "
                "please install SegStudio again."
            ) from error
    return found


def find_model(name_or_path: str | Path) -> Path:
    """Return the checkpoint of an embedded model's name, or the path itself when it exists.

    Raises
    ------
    UnknownNameError
        When it is neither.
    """
    models = {model.name: model for model in embedded_models()}
    model = models.get(str(name_or_path))
    if model is not None and model.path is not None:
        return model.path
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    raise UnknownNameError(
        f"There is no model or file {str(name_or_path)!r}: "
        f"{did_you_mean(str(name_or_path), list(models))}"
    )
