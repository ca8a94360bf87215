"""Frames of video files, decoded as they are asked for.

A few decoders per file stay open, each where it stopped: whoever asks for frames more or less in
order, from several threads too, has each frame decoded once.  Nothing but the frame asked for is
kept.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segstudio.core.errors import UnreadableImageError
from segstudio.core.types import Image

if TYPE_CHECKING:
    import cv2

__all__ = ["VIDEO_SUFFIXES", "VideoFacts", "frame_size", "read_facts", "read_frame"]

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".m2ts",
})
"""Endings, in lower case, of the files that count as videos."""
# fmt: on

_AHEAD = 250
"""So many frames ahead are passed over one by one; beyond, seeking is quicker."""
_DECODERS = 3
"""Open decoders per file."""
_FILES = 4
"""Files with open decoders."""
_APART = 0.6
"""Frames by which the time of a frame may differ from its place."""
_TRIED = 1000
"""So many damaged frames at the beginning do not make a video unreadable."""
_COUNTED = 2_000_000
"""Frames that are counted one by one where the file does not say how many there are."""


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video's header says.

    Attributes
    ----------
    frames : int
        How many there are, from 1.
    rate : float
        Frames per second; 0 when the file does not say.
    height, width : int
        Pixels as shown.
    first : int
        Number of the first frame that can be decoded; those before it are damaged.
    """

    frames: int
    rate: float
    height: int
    width: int
    first: int = 0


@dataclass(slots=True)
class _Decoder:
    """An open decoder and the number of the frame that comes next."""

    capture: cv2.VideoCapture
    following: int = 0


@dataclass(slots=True)
class _Video:
    """The idle decoders of one file in one state."""

    state: tuple[int, int]
    idle: list[_Decoder] = field(default_factory=list)
    size: tuple[int, int] | None = None

    def close(self) -> None:
        for decoder in self.idle:
            decoder.capture.release()
        self.idle.clear()


_videos: OrderedDict[Path, _Video] = OrderedDict()
_lock = threading.Lock()


def read_facts(path: Path) -> VideoFacts:
    """Return what a video's header says; only the first frame that is whole is decoded.

    Raises
    ------
    UnreadableImageError
        When it is no video, or its beginning holds not one frame that can be decoded.
    """
    import cv2

    decoder = _opened(path)
    try:
        frames = decoder.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        rate = decoder.capture.get(cv2.CAP_PROP_FPS)
        first, (height, width) = _first_whole(decoder, path)
        count = int(frames) if np.isfinite(frames) and first < frames < 2**31 else 0
        if not count:
            count = first + 1
            while count < _COUNTED and decoder.capture.grab():
                count += 1
    finally:
        decoder.capture.release()
    known = bool(np.isfinite(rate)) and 0 < rate < 1e4
    return VideoFacts(count, float(rate) if known else 0.0, height, width, first)


def frame_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a video's frames.

    Raises
    ------
    UnreadableImageError
        See `read_facts`.
    """
    video = _video(path)
    if video.size is None:
        with _borrowed(path, 0) as decoder:
            video.size = _first_whole(decoder, path)[1]
    assert video.size is not None
    return video.size


def read_frame(path: Path, number: int) -> Image:
    """Return frame ``number`` (from 0) as (H, W, 3) uint8 RGB.

    Raises
    ------
    UnreadableImageError
        When the file is no video, or this frame is not there or damaged.
    """
    with _borrowed(path, number) as decoder:
        return _decoded(decoder, path, number)


@contextlib.contextmanager
def _borrowed(path: Path, number: int) -> Iterator[_Decoder]:
    """Yield the decoder that is nearest before a frame; a new one when there is none."""
    video = _video(path)
    with _lock:
        near = [entry for entry in video.idle if 0 <= number - entry.following <= _AHEAD]
        decoder = max(near, key=lambda entry: entry.following, default=None)
        if decoder is None and len(video.idle) >= _DECODERS:
            decoder = video.idle[0]
        if decoder is not None:
            video.idle.remove(decoder)
    if decoder is None:
        decoder = _opened(path)
    try:
        yield decoder
    except BaseException:
        decoder.capture.release()
        raise
    with _lock:
        if _videos.get(path) is video and len(video.idle) < _DECODERS:
            video.idle.append(decoder)
        else:
            decoder.capture.release()


def _video(path: Path) -> _Video:
    """Return the decoders of a file, forgetting those of an older state of it."""
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    state = found.st_size, found.st_mtime_ns
    with _lock:
        video = _videos.get(path)
        if video is None or video.state != state:
            if video is not None:
                video.close()
            video = _videos[path] = _Video(state)
        _videos.move_to_end(path)
        while len(_videos) > _FILES:
            _videos.popitem(last=False)[1].close()
    return video


def _opened(path: Path) -> _Decoder:
    # FFmpeg would write about damage to stderr, which is said in our own sentences.  It is asked
    # for when the first video is opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    except cv2.error as error:
        raise UnreadableImageError(f"{path} cannot be read as a video: {error.err}.") from error
    if not capture.isOpened():
        capture.release()
        raise UnreadableImageError(
            f"{path} is damaged, or no video that can be decoded here; replace or convert it."
        )
    return _Decoder(capture)


def _first_whole(decoder: _Decoder, path: Path) -> tuple[int, tuple[int, int]]:
    """Return the number of the first frame that can be decoded, and its (height, width)."""
    for number in range(_TRIED):
        try:
            height, width = _decoded(decoder, path, number).shape[:2]
        except UnreadableImageError:
            continue
        return number, (height, width)
    raise UnreadableImageError(
        f"{path} has no frame that can be decoded among its first {_TRIED}; it may be damaged or "
        "cut short."
    )


def _decoded(decoder: _Decoder, path: Path, number: int) -> Image:
    """Decode one frame, passing over those before it, or seeking where they are many."""
    import cv2

    try:
        done = 0 <= number - decoder.following <= _AHEAD or _sought(decoder, number)
        if not done:
            decoder.capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            decoder.following = 0
        if decoder.following <= number:
            done = _passed(decoder, number)
        frame = decoder.capture.retrieve()[1] if done else None
    except cv2.error as error:
        raise UnreadableImageError(f"{path} has a damaged frame {number}: {error.err}.") from error
    if frame is None or frame.ndim != 3:
        raise UnreadableImageError(
            f"{path} has no frame {number} that can be decoded; it may be damaged or cut short."
        )
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)


def _passed(decoder: _Decoder, number: int) -> bool:
    """Go on to a frame one by one; a frame that cannot be decoded is one too."""
    done = False
    while decoder.following <= number:
        done = decoder.capture.grab()
        decoder.following += 1
    return done


def _sought(decoder: _Decoder, number: int) -> bool:
    """Go to a frame far away; return whether it was reached, by what its time says.

    Behind damaged frames the decoder's own count is short by as many.
    """
    import cv2

    capture = decoder.capture
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.set(cv2.CAP_PROP_POS_FRAMES, number)
    decoder.following = number + 1
    done = capture.grab()
    if not (np.isfinite(rate) and rate > 0):
        return done
    while done and (late := capture.get(cv2.CAP_PROP_POS_MSEC) * rate / 1000 - number) < -_APART:
        done = capture.grab()
    return done and late < _APART
