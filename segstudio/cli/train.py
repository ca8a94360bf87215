"""``segstudio train``: train a network on one or more datasets with the seeds' recipe."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segstudio.cli.common import load_plugins, open_patiently, say
from segstudio.cli.forms import parse_pairs, with_options
from segstudio.core.errors import UsageError
from segstudio.training.recipe import TrainOptions, with_recipe

if TYPE_CHECKING:
    from torch import Tensor

    from segstudio.architectures._base import SegmentationNetwork
    from segstudio.core.label_space import LabelSpace
    from segstudio.core.preprocessing import Preprocessing
    from segstudio.datasets.base import Dataset
    from segstudio.training.data import LabelledImages, Source, UnlabelledImages
    from segstudio.training.plan import Teacher

__all__ = ["train"]

_ALSO_KEYS = ("mapping", "weight", "split", "format", "label_space")


@with_options(TrainOptions, "options")
def train(
    context: typer.Context,
    dataset: Annotated[Path, typer.Argument(help="Images with ground truth, in any format.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the training.")],
    architecture: Annotated[
        str, typer.Option("--architecture", "-a", help="See `segstudio list architectures`.")
    ],
    recipe: Annotated[
        str,
        typer.Option(
            help="Defaults of the options below: seeds (SGD, poly) or adamw (AdamW, warm-up, "
            "cosine: for transformers from scratch)."
        ),
    ] = "seeds",
    split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    validation: Annotated[str, typer.Option(help="Split to choose the best weights on.")] = "val",
    format: Annotated[str | None, typer.Option(help="Dataset format; sniffed by default.")] = None,
    label_space: Annotated[
        str | None, typer.Option(help="Label space of the masks, a name or a JSON file.")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH[:KEY=VALUE,...]",
            help="A further dataset to mix in, with mapping=NAME|FILE, weight=NUMBER (how often "
            "each sample is seen in an epoch), split=, format= and label_space=; repeatable.",
        ),
    ] = None,
    demo_scenes: Annotated[
        int, typer.Option(help="Rendered street scenes to mix in (camvid classes only).", min=0)
    ] = 0,
    masks: Annotated[
        int,
        typer.Option(
            help="Use every Nth mask of the split only; the other images count as unlabelled.",
            min=1,
        ),
    ] = 1,
    mode: Annotated[
        str,
        typer.Option(
            help="supervised; mean-teacher or gan with unlabelled images; decoupled with "
            "image-level labels (architecture decouplednet); distillation with a --teacher."
        ),
    ] = "supervised",
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of unlabelled images for a semi-supervised mode; repeatable."),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Trained model of the same classes whose probabilities are learned beside the "
            "masks: a checkpoint or a model's name."
        ),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option("--init", help="Checkpoint whose weights the training starts from."),
    ] = None,
    encoder_weights: Annotated[
        Path | None,
        typer.Option(help="File of ImageNet weights (timm, torchvision) for the encoder."),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B",
            help="Mean that is subtracted from the image, 0..255; by default what the weights "
            "that the training starts from expect, else ImageNet's.",
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(metavar="R,G,B", help="What the image is then divided by; likewise."),
    ] = None,
    set_option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Option of the architecture, name=value; repeatable."),
    ] = None,
    licence_note: Annotated[
        str, typer.Option(help="What the data's licence says of weights trained on it.")
    ] = "",
    *,
    options: TrainOptions,
) -> None:
    """Train a network; started again on the same folder it goes on where it stopped.

    With `torchrun --nproc-per-node N -m segstudio train ...` N processes share the work.
    """
    from segstudio.architectures._base import ARCHITECTURES
    from segstudio.cli.progress import TrainingDisplay
    from segstudio.core.options import build_options
    from segstudio.training.data import LabelledImages
    from segstudio.training.trainer import TrainPlan
    from segstudio.training.trainer import train as run_training

    load_plugins()
    page = ARCHITECTURES.get(architecture)
    if not page.trainable:
        raise UsageError(
            f"{page.facts.title} learns from more than label maps, so it cannot be trained here; "
            "choose another architecture."
        )
    options = with_recipe(options, recipe, _named_flags(context))
    main, space = _open_main(dataset, format, label_space)
    labelled, rest = _every_nth(main.select(split) if main.splits else main, masks)
    sources = _sources(labelled, also or [], demo_scenes, output, options.seed, space)
    architecture_options = build_options(page.Options, parse_pairs(set_option or []))
    network = page(len(space), architecture_options) if encoder_weights is not None else None
    weights, preprocessing = _beginning(architecture, space, initial, encoder_weights, network)
    if teacher is not None and mode == "supervised":
        mode = "distillation"
    has_validation = validation in main.splits
    plan = TrainPlan(
        architecture=architecture,
        architecture_options=architecture_options,
        training=LabelledImages(sources, space),
        validation=LabelledImages([main.select(validation)], space) if has_validation else None,
        folder=output,
        options=options,
        preprocessing=_normalised(preprocessing, mean, std),
        card={
            "data": [entry.dataset.title for entry in sources],
            "samples": [len(entry.dataset) for entry in sources],
            "licence_note": licence_note,
            "initial": None if initial is None else initial.name,
            "encoder_weights": None if encoder_weights is None else encoder_weights.name,
            "teacher": teacher,
            "command": shlex.join(["segstudio", *sys.argv[1:]]),
        },
        initial=weights,
        mode=mode,
        unlabelled=_unlabelled(mode, rest, unlabelled or [], space),
        teacher=_teacher(mode, teacher, space),
    )
    with TrainingDisplay() as display:
        best = run_training(plan, display.report, cancelled=display.cancelled)
    typer.echo(str(best))


def _named_flags(context: typer.Context) -> set[str]:
    """Return the options that stand on the command line."""
    return {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    }


def _open_main(
    path: Path, format: str | None, label_space: str | None
) -> tuple[Dataset, LabelSpace]:
    dataset = open_patiently(path, format=format, label_space=label_space)
    if dataset.label_space is None:
        raise UsageError(
            f"{path} does not say what its mask values mean; name them with --label-space."
        )
    return dataset, dataset.label_space


def _every_nth(dataset: Dataset, every: int) -> tuple[Dataset, Dataset]:
    """Return the dataset with every Nth labelled sample, and with the others."""
    labelled = [entry for entry in dataset.samples if entry.target_path is not None]
    kept = {entry.sample_id for entry in labelled[::every]}
    parts: tuple[list[Any], list[Any]] = ([], [])
    for entry in dataset.samples:
        parts[entry.sample_id not in kept].append(entry)
    first, second = (dataclasses.replace(dataset, samples=tuple(part)) for part in parts)
    return first, second


def _sources(
    main: Dataset, also: list[str], demo_scenes: int, output: Path, seed: int, space: LabelSpace
) -> list[Source]:
    from segstudio.training.data import Source

    sources = [Source(main)]
    if demo_scenes:
        from segstudio.scenes.demo import render_training_set

        folder = output / "demo-scenes"
        render_training_set(folder, count=demo_scenes, seed=seed)
        sources.append(Source(open_patiently(folder)))
    return sources + [_also_source(text, space) for text in also]


def _also_source(text: str, space: LabelSpace) -> Source:
    """Read ``PATH:mapping=NAME,weight=2``; a path may hold colons and commas itself."""
    from segstudio.core.label_space import load_mapping
    from segstudio.training.data import Source

    found = re.fullmatch(rf"(.+?)(?::((?:{'|'.join(_ALSO_KEYS)})=.*))?", text)
    if found is None:  # an empty text
        raise UsageError("--also needs the path of a dataset.")
    pieces = re.split(r",(?=\w+=)", found[2]) if found[2] else []
    values = dict(piece.split("=", 1) for piece in pieces)
    unknown = [key for key in values if key not in _ALSO_KEYS]
    if unknown:
        raise UsageError(f"--also knows {', '.join(_ALSO_KEYS)}, not {unknown[0]!r}.")
    mapping = load_mapping(values["mapping"]) if "mapping" in values else None
    named_space = values.get("label_space")
    dataset = open_patiently(Path(found[1]), format=values.get("format"), label_space=named_space)
    if dataset.label_space is None and named_space is None:
        say(f"{found[1]} does not say what its mask values mean; they are read as {space.name}.")
    if "split" in values:
        dataset = dataset.select(values["split"])
    try:
        weight = float(values.get("weight", "1"))
    except ValueError:
        weight = -1.0
    if not 0 < weight <= 1000:
        raise UsageError(f"A weight is a number from 0 to 1000, not {values['weight']!r}.")
    return Source(dataset, mapping, weight)


def _unlabelled(
    mode: str, rest: Dataset, folders: list[Path], space: LabelSpace
) -> UnlabelledImages | LabelledImages | None:
    """Return what a semi-supervised mode learns from beside the masks."""
    from segstudio.training.data import LabelledImages, UnlabelledImages
    from segstudio.training.plan import MODES

    if mode not in MODES:
        raise UsageError(f"A mode of training is {', '.join(MODES)}, not {mode!r}.")
    if mode in ("supervised", "distillation"):
        if folders:
            raise UsageError("--unlabelled needs --mode mean-teacher or gan.")
        return None
    datasets = ([rest] if len(rest) else []) + [open_patiently(path) for path in folders]
    if not datasets:
        raise UsageError(
            f"The mode {mode} needs unlabelled images: name a folder with --unlabelled, or keep "
            "some masks back with --masks."
        )
    if mode == "decoupled":
        return LabelledImages(datasets, space)
    return UnlabelledImages(datasets, space)


def _teacher(mode: str, name: str | None, space: LabelSpace) -> Teacher | None:
    """Return the network that a distillation learns from."""
    if mode != "distillation":
        if name is not None:
            raise UsageError(f"--teacher goes with --mode distillation, not {mode}.")
        return None
    if name is None:
        raise UsageError("The mode distillation needs a --teacher, a trained model.")
    from segstudio.checkpoints.opening import build_network, open_checkpoint
    from segstudio.checkpoints.structure import file_digest
    from segstudio.inference.catalogue import find_model
    from segstudio.training.plan import Teacher

    path = find_model(name)
    checkpoint = open_checkpoint(path)
    theirs = checkpoint.label_space
    same = theirs is not None and theirs.names == space.names
    if not same or checkpoint.output_classes != tuple(range(len(space))):
        raise UsageError(
            f"The teacher {name} does not have the training's classes in their order "
            f"({', '.join(space.names[:5])}...); a teacher has to name the same classes."
        )
    network = build_network(checkpoint)
    return Teacher(path.name, file_digest(checkpoint.path), network, checkpoint.preprocessing)


def _beginning(
    architecture: str,
    space: LabelSpace,
    initial: Path | None,
    encoder_weights: Path | None,
    network: SegmentationNetwork | None,
) -> tuple[dict[str, Tensor] | None, Preprocessing]:
    """Return the weights to start from, and the normalisation of the input that they expect."""
    from segstudio.checkpoints.opening import build_network, open_checkpoint
    from segstudio.core.preprocessing import Preprocessing
    from segstudio.training.encoder_weights import encoder_preprocessing, read_encoder_weights

    if initial is not None and encoder_weights is not None:
        raise UsageError("--init and --encoder-weights both say where to start; name one.")
    if encoder_weights is not None and network is not None:
        return read_encoder_weights(network, encoder_weights), encoder_preprocessing(network)
    if initial is None:
        return None, Preprocessing()
    checkpoint = open_checkpoint(initial)
    if checkpoint.architecture != architecture or checkpoint.classes != len(space):
        raise UsageError(
            f"{initial} is {checkpoint.architecture} with {checkpoint.classes} classes; this "
            f"training is {architecture} with {len(space)}."
        )
    build_network(checkpoint)  # says which tensor does not fit
    theirs = checkpoint.preprocessing
    return dict(checkpoint.state_dict), Preprocessing(
        mean=theirs.mean, std=theirs.std, channel_order=theirs.channel_order
    )


def _normalised(preprocessing: Preprocessing, mean: str | None, std: str | None) -> Preprocessing:
    """Return a preprocessing with the mean and standard deviation that the user named."""
    swapped = preprocessing.channel_order == "bgr"
    named = {}
    for name, text in (("mean", mean), ("std", std)):
        if text is not None:
            values = _three(f"--{name}", text)
            named[name] = values[::-1] if swapped else values
    if not all(named.get("std", (1.0,))):
        raise UsageError(f"--std is what the image is divided by: above 0, not {std!r}.")
    return dataclasses.replace(preprocessing, **named)  # type: ignore[arg-type]


def _three(flag: str, text: str) -> tuple[float, ...]:
    """Read "R,G,B", or one number for all three."""
    try:
        values = [float(piece) for piece in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise UsageError(f"{flag} takes three numbers of 0 to 255, R,G,B, not {text!r}.")
    return tuple(values)
