"""What several commands share: plugins, the options of a run, the project's place."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segstudio.core.errors import UsageError
from segstudio.core.options import option

if TYPE_CHECKING:
    from segstudio.core.label_space import LabelMapping
    from segstudio.datasets.base import Dataset
    from segstudio.project.layout import ProjectLayout
    from segstudio.project.store import Store
    from segstudio.session.plugins import PluginInfo

__all__ = [
    "DatasetArgument",
    "JsonFlag",
    "ModelsOption",
    "RunOptions",
    "find_project",
    "load_plugins",
    "open_patiently",
    "open_run_dataset",
    "open_to_read",
    "read_mapping",
    "said_when_slow",
    "say",
]

DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="Folder of images, or one image.")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Embedded model or path of a checkpoint, A+B for the ensemble of both; repeatable. "
        "See `segstudio list models`.",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@dataclass(frozen=True)
class RunOptions:
    """The flags that `run` and `evaluate` have in common."""

    format: str | None = option(None, "Dataset format; told from the folder by default.")
    split: str | None = option(None, "Only the samples of this split (train, val, test).")
    label_space: str | None = option(
        None, "What the values of the masks mean: a label space's name or JSON file."
    )
    ground_truth: str | None = option(
        None, "Folder of label maps, paired by name, in place of the dataset's own."
    )
    mapping: str | None = option(
        None, "Mapping between the dataset's and the model's label spaces: a name or JSON file."
    )
    project: str | None = option(None, "Folder of the results; DATASET/.segstudio by default.")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.")
    precision: str = option(
        "auto",
        "Arithmetic of the network: fp32 is exact, auto the fastest that keeps the labels of a "
        "trained network.",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    batch: str = option(
        "auto", "Images per pass of the network: auto (1 on a CPU, more on a GPU) or a number."
    )
    tta: str = option(
        "none",
        "Test-time augmentation: mirrored (flip), at six sizes (ms), or both.",
        choices=("none", "flip", "ms", "ms-flip"),
    )
    window: str = option(
        "auto",
        "Sliding window in network pixels: auto (the published one), none (the whole image at "
        "once), HxW or HxW:STRIDE.",
    )
    refine: str = option(
        "none",
        "Refiner behind the network, with its options: none, dense-crf, dense-crf:iterations=5; "
        "see `segstudio list refiners`.",
    )
    model_label_space: str | None = option(
        None, "What the models' outputs mean: a label space's name or JSON file."
    )
    engine: str = option(
        "local",
        "Where the network runs: local, or ray (the cluster of RAY_ADDRESS, else one started "
        "here), with options: ray:cpus=4,workers=8.",
    )
    limit: int | None = option(None, "Only the first N samples.", minimum=1)
    restart: bool = option(False, "Predict again what is already stored.")
    save_scores: str | None = option(
        None, "Folder for <sample_id>.npz with the (C, H, W) scores before the argmax."
    )
    repair: bool = option(
        False,
        "When the project file is damaged: rename it to project.sqlite.damaged and go on with "
        "what can still be read of it.",
    )

    def check(self) -> None:
        """Refuse what cannot be done here.

        Raises
        ------
        UsageError
            Naming the option and what it can be.
        """
        from segstudio.session.engines.local import parse_batch
        from segstudio.session.engines.ray_cluster import parse_engine

        parse_batch(self.batch)
        parse_engine(self.engine)


def say(sentence: str) -> None:
    """Tell the user something beside the result: one line on stderr."""
    print(f"segstudio: {sentence}", file=sys.stderr)


@contextlib.contextmanager
def said_when_slow(sentence: str, seconds: float = 1.0) -> Iterator[None]:
    """Say a sentence when what is done inside takes longer than so many seconds."""
    timer = threading.Timer(seconds, say, [sentence])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def load_plugins() -> list[PluginInfo]:
    """Load the plugins, say which of them are broken, and return them all."""
    from segstudio.session.plugins import load_plugins as load

    found = load()
    for plugin in found:
        if plugin.error is not None:
            say(plugin.error)
    return found


def open_patiently(
    path: Path,
    *,
    format: str | None = None,
    split: str | None = None,
    label_space: str | None = None,
    ground_truth: str | None = None,
) -> Dataset:
    """Open a dataset, and say that it is looked through when that takes more than a second.

    Parameters and errors are those of `segstudio.datasets.opening.open_dataset`.
    """
    from segstudio.datasets.opening import open_dataset

    with said_when_slow(f"looking through {path} ..."):
        return open_dataset(
            path, format=format, split=split, label_space=label_space, ground_truth=ground_truth
        )


def open_run_dataset(path: Path, options: RunOptions) -> Dataset:
    """Open the dataset of a command and pass on what is odd about it.

    Raises
    ------
    SegStudioError
        When it cannot be opened or nothing of it is left.
    """
    dataset = open_patiently(
        path,
        format=options.format,
        split=options.split,
        label_space=options.label_space,
        ground_truth=options.ground_truth,
    )
    for note in dataset.notes:
        say(note)
    return dataset.select(limit=options.limit)


def read_mapping(name: str | None) -> LabelMapping | None:
    """Return the mapping of ``--mapping``, None without one."""
    from segstudio.session.mappings import find_mapping

    return None if name is None else find_mapping(name).mapping


def find_project(dataset_root: Path, project: str | None) -> Path:
    """Return the folder of an existing project, creating nothing.

    Raises
    ------
    UsageError
        When nothing has been run there yet.
    """
    from segstudio.project.layout import PROJECT_FOLDER, ProjectLayout, choose_project_folder

    if project is not None:
        candidates = [Path(project)]
    else:
        candidates = [dataset_root / PROJECT_FOLDER, dataset_root]
        if not os.access(dataset_root, os.W_OK):
            candidates.append(choose_project_folder(dataset_root)[0])
    for folder in candidates:
        if ProjectLayout(folder).database.is_file():
            return folder
    raise UsageError(
        f"There is no project in {candidates[0]} yet; run a model first, or name one with -m."
    )


@contextlib.contextmanager
def open_to_read(layout: ProjectLayout) -> Iterator[Store]:
    """Open a project's store to read it; of a damaged one what is left, which is said.

    Raises
    ------
    CorruptProjectError
        When nothing can be read, or a newer SegStudio wrote it.
    WriteError
        When there is none.
    """
    from segstudio.project.opening import open_store

    store, note = open_store(layout.database)
    if note is not None:
        say(note)
    with contextlib.closing(store):
        yield store
