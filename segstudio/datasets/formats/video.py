"""Video files as sequences: each frame, or one of so many, is a sample.

``--format video:every=30`` takes every thirtieth frame, ``video:seconds=0.5`` two a second.
Frames are decoded as they are needed; a video that cannot be read is named and left out, and so are
damaged frames at its beginning.  Damaged frames further on fail as samples of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segstudio.core.errors import NoDatasetError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.options import option
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.images import IMAGE_SUFFIXES
from segstudio.datasets.listing import list_files, peek, plural, suffix_of
from segstudio.datasets.video_files import VIDEO_SUFFIXES, VideoFacts, read_facts

_MANY = 5000
"""From so many frames on a note says how to take fewer."""


@FORMATS.register("video")
class VideoFormat(DatasetFormat):
    """Frames of videos."""

    description = "Videos (MP4, MOV, AVI, MKV, WebM): frames as samples; every=N or seconds=S."

    @dataclass(frozen=True)
    class Options:
        """Which frames."""

        every: int = option(1, "Take every N-th frame.", minimum=1)
        seconds: float = option(
            0.0, "Take one frame in so many seconds in place of every N-th.", minimum=0.0
        )

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.86 for a video file, 0.6 for a folder with videos and hardly an image."""
        if path.is_file():
            return 0.86 if suffix_of(path.name) in VIDEO_SUFFIXES else 0.0
        endings = [suffix_of(name.rpartition("/")[2]) for name, folder in peek(path) if not folder]
        videos = sum(ending in VIDEO_SUFFIXES for ending in endings)
        images = sum(ending in IMAGE_SUFFIXES for ending in endings)
        return 0.6 if videos > images else 0.2 if videos else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List all frames; see `DatasetFormat.open`.  ``path`` may be a video."""
        return cls.open_with(path, cls.Options(), label_space=label_space)

    @classmethod
    def open_with(
        cls, path: Path, options: Any, *, label_space: LabelSpace | None = None
    ) -> Dataset:
        """List the frames that the options choose."""
        root = path.parent if path.is_file() else path
        listing = list_files(root, VIDEO_SUFFIXES) if not path.is_file() else None
        files = [(path.name, path)] if listing is None else listing.files
        notes = [] if listing is None else list(listing.notes)
        samples: list[Sample] = []
        for relative, full in files:
            try:
                facts = read_facts(full)
            except SegStudioError as error:
                notes.append(str(error))
                continue
            if facts.first:
                many = f"{facts.first} frames" if facts.first > 1 else "frame"
                notes.append(
                    f"The first {many} of {full} cannot be decoded, perhaps damaged; left out."
                )
            step = _step(facts, options)
            if options.seconds and not facts.rate:
                notes.append(f"{full} does not say its frames per second; every frame was taken.")
            samples += [
                Sample(f"{relative}/{number:06}", full / f"{number:06}")
                for number in range(facts.first, facts.frames, step)
            ]
        if not samples:
            reason = f" ({notes[0].rstrip('.')})" if notes else ""
            raise NoDatasetError(f"{path} holds no video that can be read{reason}.")
        if len(samples) > _MANY and options == cls.Options():
            notes.append(
                f"{path} has {plural(len(samples), 'frame')}; the format video:seconds=1 takes one "
                "a second."
            )
        return Dataset(
            root=root,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space,
            title=path.resolve().name,
            notes=tuple(notes),
        )


def _step(facts: VideoFacts, options: Any) -> int:
    if options.seconds:
        return max(1, round(options.seconds * facts.rate)) if facts.rate else 1
    return int(options.every)
