"""Opening whatever a user points at: the format that fits best wins."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from segstudio.core.errors import NoDatasetError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.options import options_from_text
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset
from segstudio.datasets.images import IMAGE_SUFFIXES, TARGET_SUFFIXES, _opened, read_image_size
from segstudio.datasets.json_files import read_json
from segstudio.datasets.listing import describe_contents, list_files, plural, suffix_of
from segstudio.datasets.pages import has_second_page
from segstudio.datasets.pairing import TargetIndex, tails_of

__all__ = ["open_dataset", "sniff", "with_ground_truth"]

_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})

_PAGED = frozenset({".tif", ".tiff", ".gif"})
"""Endings of photographs that may have several pages."""
_LOOKED_AT, _HEADERS = 2000, 32
"""Of so many samples, the headers of so many such files are read."""


def sniff(path: Path | str) -> list[tuple[float, str]]:
    """Return (score, format) of every format that ``path`` may be in, best first.

    Each format takes a bounded look; equal scores are in the order of names.
    """
    scores = [(entry.sniff(Path(path)), name) for name, entry in FORMATS.items()]
    return sorted((pair for pair in scores if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))


def open_dataset(
    path: Path | str,
    *,
    format: str | None = None,
    split: str | None = None,
    label_space: LabelSpace | str | Path | None = None,
    ground_truth: Path | str | None = None,
) -> Dataset:
    """Open a folder of images, one image or an annotation file as a dataset.

    Parameters
    ----------
    path : Path or str
        The folder; an image file gives a dataset of that image, a JSON file of COCO's form the
        one that it describes.
    format : str, optional
        Name of the format, perhaps with its options (``video:every=30``); None takes the one that
        fits best.
    split : str, optional
        Only the samples of this split.
    label_space : LabelSpace, str or Path, optional
        Takes the place of the label space that the folder names: a value, a name or a JSON file.
    ground_truth : Path or str, optional
        A folder of label maps, paired by names, that takes the place of the dataset's own.

    Raises
    ------
    NoDatasetError
        When there is nothing to open: one sentence with what was found and expected.
    UnknownNameError, UsageError
        When the format, the label space or the split does not exist.
    UnreadableImageError
        When ``path`` is an image file that cannot be read.
    """
    path = Path(path)
    space = (
        load_label_space(label_space)
        if label_space is not None and not isinstance(label_space, LabelSpace)
        else label_space
    )
    with _collector_paused():
        if path.is_file():
            dataset = _open_file(path, space, format)
        elif not path.is_dir():
            raise NoDatasetError(f"There is no folder or image {path}; check the path.")
        elif format is not None:
            dataset = _open_as(format, path, space)
        else:
            dataset = _open_best(path, space)
        if ground_truth is not None:
            dataset = with_ground_truth(dataset, ground_truth)
    remark = _note_of_pages(dataset.samples)
    if remark is not None:
        dataset = replace(dataset, notes=(*dataset.notes, remark))
    return dataset if split is None else dataset.select(split)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the cycle collector from walking the new samples again and again.

    A large folder makes hundreds of thousands of objects without a cycle among them; pausing
    saves a third of the time.  The first collection afterwards would walk them all once more;
    freezing and thawing hands them to the oldest generation, where they belong.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def _open_as(format: str, path: Path, space: LabelSpace | None) -> Dataset:
    """Open by a format's name, or name and options."""
    name, colon, text = format.partition(":")
    entry = FORMATS.get(name)
    try:
        if not colon:
            return entry.open(path, label_space=space)
        options = None if entry.Options is None else options_from_text(entry.Options, text)
        return entry.open_with(path, options, label_space=space)
    except NoDatasetError as error:
        raise NoDatasetError(f"{str(error).rstrip('.')}; {_what_is_there(path, name)}.") from error


def _what_is_there(path: Path, asked: str) -> str:
    """Say what was found where another format was expected."""
    found = "it is a file" if path.is_file() else f"it holds {describe_contents(path)}"
    best = next((name for _, name in sniff(path) if name != asked), None)
    return found if best is None else f"{found}, and looks like the format {best}"


def _open_best(path: Path, space: LabelSpace | None) -> Dataset:
    ranking = sniff(path)
    # Without a candidate the plain folder takes a full look and says what the folder holds.
    best = ranking[0][1] if ranking else "folder"
    dataset = FORMATS.get(best).open(path, label_space=space)
    ties = [name for score, name in ranking[1:] if score == ranking[0][0]]
    if ties:
        note = f"{path} could as well be opened as {' or '.join(ties)}, with --format {ties[0]}."
        dataset = replace(dataset, notes=(*dataset.notes, note))
    return dataset


def _open_file(path: Path, space: LabelSpace | None, format: str | None) -> Dataset:
    """Return the dataset of an annotation file, or of one image: its folder restricted to it."""
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        raise NoDatasetError(f"{path} is an archive; unpack it and choose the folder.")
    if suffix not in IMAGE_SUFFIXES:
        best = format or next((name for _, name in sniff(path)), None)
        if best is not None:
            return _open_as(best, path, space)
        if suffix == ".json":
            raise _no_annotations(path)
        raise NoDatasetError(f"{path} is no image; choose a folder of images or one image.")
    read_image_size(path)  # a file that is no image is refused here, by name
    return Dataset(
        root=path.parent,
        format="folder",
        samples=(Sample(path.name, path),),
        label_space=space,
        title=path.name,
    )


def _note_of_pages(samples: Sequence[Sample]) -> str | None:
    """Return a sentence on photographs of several pages, from the headers of a few files."""
    first = islice(samples, _LOOKED_AT)
    capable = (sample for sample in first if suffix_of(sample.sample_id) in _PAGED)
    looked = list(islice(capable, _HEADERS))
    paged = [sample.sample_id for sample in looked if _has_pages(sample.image_path)]
    if not paged:
        return None
    of = f" of the {plural(len(looked), 'TIFF or GIF file')} looked at" if len(looked) > 1 else ""
    return (
        f"{plural(len(paged), 'photograph')}{of} {'has' if len(paged) == 1 else 'have'} several "
        f"pages, {paged[0]} first; only the first page is used, so save others as files of their "
        "own."
    )


def _has_pages(path: Path) -> bool:
    try:
        with _opened(path) as (picture, _):
            return has_second_page(picture)
    except SegStudioError:
        return False  # what is wrong with it is said when it is read


def _no_annotations(path: Path) -> NoDatasetError:
    """Return what is wrong with a JSON file that no format knows; a broken one has its place."""
    try:
        read_json(path)
    except UsageError as error:
        return NoDatasetError(str(error))
    return NoDatasetError(
        f"{path} holds no images, annotations and categories as COCO's files do; choose the "
        "folder of the images."
    )


def with_ground_truth(dataset: Dataset, folder: Path | str) -> Dataset:
    """Return the dataset with the label maps of ``folder`` as ground truth.

    A label map belongs to an image when its path below ``folder`` is that of the image below the
    dataset's root or a tail of it (``images/train/0001.jpg``, ``train/0001.png``, ``0001.png``);
    endings such as ``_mask`` are tolerated.

    Raises
    ------
    NoDatasetError
        When the folder does not exist, or no label map in it has an image's name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NoDatasetError(f"There is no folder {folder} with ground truth; check the path.")
    listing = list_files(folder, TARGET_SUFFIXES)
    index = TargetIndex(listing.files)
    found = index.find_all([tails_of(sample.sample_id) for sample in dataset.samples])
    samples = [
        replace(sample, target_path=target)
        for sample, target in zip(dataset.samples, found, strict=True)
    ]
    missing = [sample.sample_id for sample in samples if sample.target_path is None]
    if len(missing) == len(samples):
        raise NoDatasetError(
            f"None of the {plural(len(listing.files), 'label map')} in {folder} is named like an "
            f"image of {dataset.root}, for example {Path(samples[0].sample_id).stem}.png."
        )
    notes = [*dataset.notes, *listing.notes]
    if missing:
        notes.append(
            f"{plural(len(missing), 'image')} without ground truth in {folder}, {missing[0]} first."
        )
    return replace(dataset, samples=tuple(samples), notes=tuple(notes), decoder=None)
