"""``segstudio look``: inside a network while it sees one image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.common import JsonFlag, load_plugins, say
from segstudio.core.errors import UsageError

if TYPE_CHECKING:
    from segstudio.core.types import Image
    from segstudio.inference.insight.attention import AttentionMap
    from segstudio.inference.insight.distance import AttentionDistances
    from segstudio.inference.insight.embeddings import ClassEmbeddings
    from segstudio.inference.insight.features import StageNorms
    from segstudio.inference.insight.probabilities import ClassProbabilities
    from segstudio.inference.model import Model

__all__ = ["look"]

_MARK = (0, 255, 255)
"""Colour of the asking patch's outline: none of the heat colours is like it."""
_NUMBERS = "look.json"


def look(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A photograph.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Embedded model or path of a checkpoint; see `segstudio list models`.",
        ),
    ],
    layer: Annotated[
        int | None,
        typer.Option(metavar="N", help="Attention layer from 0, negative from the last one (-1)."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="N|mean", help="Attention head from 0, or their mean.")
    ] = None,
    row: Annotated[
        int | None, typer.Option(metavar="R", help="Pixel whose patch asks; else the centre.")
    ] = None,
    column: Annotated[int | None, typer.Option(metavar="C", help="See --row.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for pictures and numbers."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    window: Annotated[
        str, typer.Option(help="Sliding window: auto (the published one), none, HxW[:STRIDE].")
    ] = "auto",
    json: JsonFlag = False,
) -> int:
    """Show what a network attends to, how far its heads look, and where its stages answer.

    -o writes the attention of one patch, the norms of the encoder's features by stage and the
    probabilities of the classes with the largest share as pictures, and all numbers, the class
    embeddings among them, as look.json.  Weights are laid over the photograph from 0 to their
    maximum, probabilities from 0 to 1.

    --json prints {"model", "image", "size", "attention": {"layer", "name", "heads", "head",
    "pixel", "cell", "grid", "patch", "seen", "elsewhere", "maximum"}, "distances": {"layers":
    [{"layer", "name", "heads": [pixels], "mean"}], "input_size", "piece_size", "passes"},
    "features": [{"name", "channels", "stride", "grid", "mean", "maximum"}], "probabilities":
    [{"output", "name", "mean"}], "embeddings": {"source", "explained", "points": [{"name", "x",
    "y"}]}, "files"}; distances are in pixels of the network's input, boxes are half-open [top,
    left, bottom, right] in the image, and what the network does not have is null.
    """
    from segstudio.cli.tables import print_json
    from segstudio.datasets.images import read_image
    from segstudio.inference.insight.attention import require_attention
    from segstudio.inference.model import load_model

    if (row is None) != (column is None):
        raise UsageError("A pixel needs both --row and --column.")
    chosen_head = _parse_head(head)
    load_plugins()
    photograph = read_image(image)
    loaded = load_model(model, device=device, window=window)
    loaded.report = say
    asked = not (layer is None and head is None and row is None)
    if asked:
        require_attention(loaded)
    numbers: dict[str, Any] = {
        "model": model,
        "image": str(image),
        "size": list(photograph.shape[:2]),
    }
    pictures: dict[str, Image] = {}
    pixel = (photograph.shape[0] // 2, photograph.shape[1] // 2)
    if row is not None and column is not None:
        pixel = (row, column)
    _look_at_attention(
        loaded, photograph, pixel, -1 if layer is None else layer, chosen_head, numbers, pictures
    )
    _look_at_the_rest(loaded, photograph, numbers, pictures)
    numbers["files"] = [] if output is None else _write(output, numbers, pictures)
    if output is not None:
        say(f"{len(pictures)} pictures and {_NUMBERS} are in {output}.")
    if json:
        print_json(numbers)
    else:
        print(_text(numbers))
    return 0


def _parse_head(text: str | None) -> int | None:
    if text is None or text == "mean":
        return None
    if not re.fullmatch(r"\d{1,6}", text):
        raise UsageError(f"A head is a number from 0, or mean, not {text!r}.")
    return int(text)


def _look_at_attention(
    model: Model,
    image: Image,
    pixel: tuple[int, int],
    layer: int,
    head: int | None,
    numbers: dict[str, Any],
    pictures: dict[str, Image],
) -> None:
    from segstudio.inference.insight.attention import attention_layers, attention_map
    from segstudio.inference.insight.distance import attention_distances
    from segstudio.inference.insight.pictures import heat_colors, outlined, overlay

    numbers["attention"] = numbers["distances"] = None
    if not attention_layers(model):
        return
    found = attention_map(model, image, row=pixel[0], column=pixel[1], layer=layer, head=head)
    numbers["attention"] = _attention_json(found)
    numbers["distances"] = _distances_json(attention_distances(model, image))
    colors = heat_colors(found.picture)
    pictures["attention.png"] = outlined(overlay(image, colors), found.patch, _MARK)
    pictures["attention-map.png"] = colors


def _look_at_the_rest(
    model: Model, image: Image, numbers: dict[str, Any], pictures: dict[str, Image]
) -> None:
    from segstudio.inference.insight.embeddings import class_embeddings, find_class_vectors
    from segstudio.inference.insight.features import feature_norms, find_stages
    from segstudio.inference.insight.pictures import heat_colors, overlay
    from segstudio.inference.insight.probabilities import class_probabilities
    from segstudio.inference.insight.view import inner_network

    stages = feature_norms(model, image) if find_stages(inner_network(model)) else ()
    numbers["features"] = [_stage_json(stage) for stage in stages] or None
    for index, stage in enumerate(stages):
        low = float(stage.picture.min())
        pictures[f"features-{index}-{_file_name(stage.name)}.png"] = heat_colors(
            stage.picture, low=low
        )
    found = class_probabilities(model, image)
    numbers["probabilities"] = _probabilities_json(model, found)
    for index, probability in zip(found.outputs, found.maps, strict=True):
        name = _file_name(numbers["probabilities"][index]["name"])
        pictures[f"probability-{index:03}-{name}.png"] = overlay(
            image, heat_colors(probability, high=1.0)
        )
    numbers["embeddings"] = None
    if find_class_vectors(model) is not None:
        numbers["embeddings"] = _embeddings_json(class_embeddings(model))


def _attention_json(found: AttentionMap) -> dict[str, Any]:
    def box(name: str) -> list[int]:
        entry = getattr(found, name)
        return [entry.top, entry.left, entry.bottom, entry.right]

    return {
        "layer": found.layer.index,
        "name": found.layer.name,
        "heads": found.layer.heads,
        "head": "mean" if found.head is None else found.head,
        "pixel": list(found.pixel),
        "cell": list(found.cell),
        "grid": list(found.grid),
        "patch": box("patch"),
        "seen": box("seen"),
        "elsewhere": found.elsewhere,
        "maximum": float(found.weights.max()),
    }


def _distances_json(found: AttentionDistances) -> dict[str, Any]:
    return {
        "layers": [
            {
                "layer": entry.layer.index,
                "name": entry.layer.name,
                "heads": entry.heads.tolist(),
                "mean": entry.mean,
            }
            for entry in found.layers
        ],
        "input_size": list(found.input_size),
        "piece_size": list(found.piece_size),
        "passes": found.pieces,
    }


def _stage_json(stage: StageNorms) -> dict[str, Any]:
    return {
        "name": stage.name,
        "channels": stage.channels,
        "stride": stage.stride,
        "grid": list(stage.grid),
        "mean": float(stage.picture.mean()),
        "maximum": float(stage.picture.max()),
    }


def _probabilities_json(model: Model, found: ClassProbabilities) -> list[dict[str, Any]]:
    from segstudio.inference.insight.embeddings import output_names

    return [
        {"output": index, "name": name, "mean": float(mean)}
        for index, (name, mean) in enumerate(zip(output_names(model), found.means, strict=True))
    ]


def _embeddings_json(found: ClassEmbeddings) -> dict[str, Any]:
    return {
        "source": found.source,
        "explained": list(found.explained),
        "points": [
            {"name": name, "x": float(x), "y": float(y)}
            for name, (x, y) in zip(found.names, found.points, strict=True)
        ],
    }


def _file_name(text: str) -> str:
    """Return the first of a class's names in letters that every file system takes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text.split(";")[0]).strip("-.")[:40] or "unnamed"


def _write(folder: Path, numbers: dict[str, Any], pictures: dict[str, Image]) -> list[str]:
    import json

    from segstudio.core.atomic import write_bytes, write_text
    from segstudio.datasets.encoding import encode_png

    for name, picture in pictures.items():
        write_bytes(folder / name, encode_png(picture))
    files = [*pictures, _NUMBERS]
    document = json.dumps({**numbers, "files": files}, allow_nan=False, indent=1)
    write_text(folder / _NUMBERS, document + "\n")
    return files


def _text(numbers: dict[str, Any]) -> str:
    from segstudio.cli.tables import percent

    lines: list[str] = []
    if numbers["distances"] is not None:
        lines += [_distance_table(numbers["distances"]), ""]
        found = numbers["attention"]
        lines += [
            f"layer {found['layer']} ({found['name']}), head {found['head']}, patch at row "
            f"{found['pixel'][0]}, column {found['pixel'][1]}: largest weight "
            f"{percent(found['maximum'])} %, {percent(found['elsewhere'])} % on tokens that are no "
            "patches",
            "",
        ]
    else:
        lines += ["The network has no attention layers that can be read.", ""]
    if numbers["features"] is not None:
        lines += [_stage_table(numbers["features"]), ""]
    ranked = sorted(numbers["probabilities"], key=lambda entry: -float(entry["mean"]))[:8]
    shares = [f"{entry['name'].split(';')[0]} {percent(entry['mean'])}" for entry in ranked]
    lines.append(f"mean probability in %: {', '.join(shares)}")
    embeddings = numbers["embeddings"]
    if embeddings is not None:
        share = percent(sum(embeddings["explained"]), 1)
        lines.append(
            f"class embeddings ({embeddings['source']}): the plane of the first two singular "
            f"vectors holds {share} % of their variance"
        )
    return "\n".join(lines)


def _distance_table(distances: dict[str, Any]) -> str:
    from segstudio.cli.tables import format_table

    rows = []
    for entry in distances["layers"]:
        values = (min(entry["heads"]), entry["mean"], max(entry["heads"]))
        shown = [f"{value:.1f}" for value in values]
        rows.append([entry["layer"], entry["name"], len(entry["heads"]), *shown])
    header = ["layer", "name", "heads", "nearest head", "mean", "farthest head"]
    size = " x ".join(map(str, distances["piece_size"]))
    title = f"mean attention distance in pixels of the network's input ({size} in one pass)"
    return f"{title}\n{format_table(header, rows, right=(0, 2, 3, 4, 5))}"


def _stage_table(stages: list[dict[str, Any]]) -> str:
    from segstudio.cli.tables import format_table

    rows = []
    for entry in stages:
        shown = [f"{entry['mean']:.2f}", f"{entry['maximum']:.2f}"]
        rows.append([entry["name"], entry["channels"], f"{entry['stride']:g}", *shown])
    header = ["stage", "channels", "stride", "mean norm", "largest norm"]
    return format_table(header, rows, right=(1, 2, 3, 4))
