"""``segstudio train``: train a network on a dataset with the seeds' recipe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from segstudio.cli.common import load_plugins
from segstudio.cli.forms import parse_pairs, with_options
from segstudio.training.recipe import TrainOptions


@with_options(TrainOptions, "recipe")
def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of images with ground truth.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the training.")],
    architecture: Annotated[
        str, typer.Option("--architecture", "-a", help="See `segstudio list architectures`.")
    ],
    split: Annotated[str, typer.Option(help="Split to train on.")] = "train",
    validation: Annotated[str, typer.Option(help="Split to choose the best weights on.")] = "val",
    format: Annotated[str | None, typer.Option(help="Dataset format; sniffed by default.")] = None,
    label_space: Annotated[
        str | None, typer.Option(help="Label space of the masks, a name or a JSON file.")
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(help="A further dataset of the same label space to mix in; repeatable."),
    ] = None,
    demo_scenes: Annotated[
        int, typer.Option(help="Rendered street scenes to mix in (camvid classes only).", min=0)
    ] = 0,
    initial: Annotated[
        Path | None,
        typer.Option("--init", help="Checkpoint whose weights the training starts from."),
    ] = None,
    set_option: Annotated[
        list[str] | None,
        typer.Option("--set", help="Option of the architecture, name=value; repeatable."),
    ] = None,
    licence_note: Annotated[
        str, typer.Option(help="What the data's licence says of weights trained on it.")
    ] = "",
    *,
    recipe: TrainOptions,
) -> None:
    """Train a network; started again on the same folder it goes on where it stopped."""
    from segstudio.architectures._base import ARCHITECTURES
    from segstudio.checkpoints.opening import build_network, open_checkpoint
    from segstudio.cli.progress import TrainingDisplay
    from segstudio.core.errors import UsageError
    from segstudio.core.label_space import load_label_space
    from segstudio.core.options import build_options
    from segstudio.core.preprocessing import Preprocessing
    from segstudio.datasets.opening import open_dataset
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
    main = open_dataset(
        dataset, format=format, label_space=load_label_space(label_space) if label_space else None
    )
    space = main.label_space
    if space is None:
        raise UsageError(
            f"{dataset} does not say what its mask values mean; name them with --label-space."
        )
    training = [main.select(split) if main.splits else main]
    if demo_scenes:
        from segstudio.scenes.demo import render_training_set

        folder = output / "demo-scenes"
        render_training_set(folder, count=demo_scenes, seed=recipe.seed)
        training.append(open_dataset(folder))
    training.extend(open_dataset(path) for path in also or [])
    for entry in training[1:]:
        if entry.label_space is not None and entry.label_space.names != space.names:
            raise UsageError(
                f"{entry.root} has the label space {entry.label_space.name}, but {dataset} has "
                f"{space.name}; only datasets of one label space can be mixed."
            )
    architecture_options = build_options(page.Options, parse_pairs(set_option or []))
    weights = None
    if initial is not None:
        checkpoint = open_checkpoint(initial)
        if checkpoint.architecture != architecture or checkpoint.classes != len(space):
            raise UsageError(
                f"{initial} is {checkpoint.architecture} with {checkpoint.classes} classes; this "
                f"training is {architecture} with {len(space)}."
            )
        build_network(checkpoint)  # says which tensor does not fit
        weights = checkpoint.state_dict
    has_validation = validation in main.splits
    plan = TrainPlan(
        architecture=architecture,
        architecture_options=architecture_options,
        training=LabelledImages(training, space),
        validation=LabelledImages([main.select(validation)], space) if has_validation else None,
        folder=output,
        options=recipe,
        preprocessing=Preprocessing(),
        card={
            "data": [entry.title for entry in training],
            "samples": [len(entry) for entry in training],
            "licence_note": licence_note,
            "initial": None if initial is None else initial.name,
            "command": shlex.join(["segstudio", *sys.argv[1:]]),
        },
        initial=weights,
    )
    with TrainingDisplay() as display:
        best = run_training(plan, display.report, cancelled=display.cancelled)
    typer.echo(str(best))
