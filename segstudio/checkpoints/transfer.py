"""One published file over HTTP: goes on after a broken connection, believes nothing unchecked.

Bytes are appended to ``NAME.part``; ``NAME.part.json`` keeps which version of the file they are of.
Only when the whole was checked does the file get its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

from segstudio import __version__
from segstudio.checkpoints.connection import (
    Patience,
    Redirects,
    interruptible,
    is_offline,
    mirrored,
    open_url,
    plain_reason,
)
from segstudio.checkpoints.structure import file_digest, structure_problem
from segstudio.core.atomic import write_text
from segstudio.core.errors import CancelledError, SegStudioError, WriteError

__all__ = [
    "DownloadError",
    "MissingFileError",
    "Report",
    "Wanted",
    "fetch",
    "readable_size",
]

Report = Callable[[int, int | None], None]
"""Receives the bytes that are there and all there will be, None when the server does not say."""

_CHUNK = 1 << 18
_LONGEST_PAUSE = 30.0
_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<?xml")
"""A "<" alone proves nothing: one safetensors file in 256 begins with that byte."""
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(SegStudioError):
    """A published file that cannot be had, or one that is not what it should be."""


class MissingFileError(DownloadError):
    """An address at which there is no file (any more)."""


class _BrokenError(Exception):
    """An attempt that failed but may succeed when it is repeated."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch.

    Attributes
    ----------
    url : str
    target : Path
        Where it goes; the folder exists.
    limit : int
        Bytes that it cannot exceed.
    sha256_prefix, bytes : str or None, int or None
        What is published of it.
    expected : int
        Roughly its size, when the server does not say.
    by_hand : (str, Path), optional
        Address and place of what a person may fetch instead; None for the file itself.
    """

    url: str
    target: Path
    limit: int
    sha256_prefix: str | None = None
    bytes: int | None = None
    expected: int = 0
    by_hand: tuple[str, Path] | None = None


def fetch(
    wanted: Wanted, *, report: Report, cancel: threading.Event, patience: Patience
) -> str | None:
    """Fetch a file, going on where an earlier attempt ended.

    Returns
    -------
    str or None
        The SHA-256, or its beginning, that it was compared with; None when nobody published it.

    Raises
    ------
    MissingFileError
        When the server has no such file.
    DownloadError
        When it cannot be had or is not the published one.
    CancelledError
        When ``cancel`` was set; what was fetched is kept.
    WriteError
        When it cannot be written.
    """
    return _Transfer(wanted, report, cancel, patience).run()


def readable_size(count: int) -> str:
    """Return a number of bytes as people read it: "12 kB", "160 MB", "1.3 GB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            digits = 1 if count < 10 * size else 0
            return f"{count / size:.{digits}f} {unit}"
    return f"{max(1, round(count / 1000))} kB" if count else "0 kB"


class _Transfer:
    """The state of one `fetch`."""

    def __init__(
        self, wanted: Wanted, report: Report, cancel: threading.Event, patience: Patience
    ) -> None:
        self._wanted = wanted
        self._url = mirrored(wanted.url)
        self._host = urlsplit(self._url).netloc
        self._report = report
        self._cancel = cancel
        self._patience = patience
        self._part = wanted.target.with_name(f"{wanted.target.name}.part")
        self._notes = self._part.with_name(f"{self._part.name}.json")
        self._linked: str | None = None

    def run(self) -> str | None:
        begun_with = best = self._have()
        failures = 0
        while True:
            self._stop_if_cancelled()
            try:
                self._attempt()
                break
            except _BrokenError as error:
                reason = str(error)
            except (OSError, HTTPException) as error:
                self._stop_if_cancelled()
                reason = plain_reason(error)
                if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                    raise DownloadError(
                        f"{self._host} does not prove who it is ({reason}); {self._by_hand()}."
                    ) from error
                if best == begun_with and is_offline(error):
                    raise DownloadError(
                        f"{self._host} cannot be reached ({reason}); check the connection, or "
                        f"{self._by_hand()}."
                    ) from error
            have = self._have()
            failures = 1 if have > best else failures + 1
            best = max(best, have)
            if failures >= self._patience.attempts:
                raise DownloadError(
                    f"{self._host} failed {failures} times in a row ({reason}); what was fetched "
                    f"is kept, so try again later, or {self._by_hand()}."
                )
            pause = min(self._patience.pause * 2 ** (failures - 1), _LONGEST_PAUSE)
            (self._patience.sleep or self._cancel.wait)(pause)
        return self._finish()

    # -- one attempt --------------------------------------------------------------------------

    def _attempt(self) -> None:
        offset, validator = self._kept()
        headers = {"User-Agent": f"segstudio/{__version__}", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator:
                headers["If-Range"] = validator
        redirects = Redirects()
        try:
            response = open_url(self._url, headers, redirects, self._patience.timeout)
        except HTTPError as error:
            with error:
                self._on_refusal(error, offset)
            return
        finally:
            self._linked = redirects.linked_sha256 or self._linked
        with response, interruptible(response, self._cancel):
            self._receive(response, offset)

    def _on_refusal(self, error: HTTPError, offset: int) -> None:
        """Handle an answer that is no file; returns when the part is the whole file already."""
        code = error.code
        if code == 416 and offset:
            total = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
            if total is not None and int(total[1]) == offset:
                return
            self._discard()
            raise _BrokenError("it no longer has the version that was begun")
        if code in {404, 410}:
            raise MissingFileError(
                f"{self._host} has no {urlsplit(self._url).path} (any more); "
                "fetch another model, or name a mirror in SEGSTUDIO_MIRROR."
            )
        if code in _TRANSIENT:
            raise _BrokenError(f"it answered {code} {error.reason}")
        if 300 <= code < 400:
            raise DownloadError(
                f"{self._host} sends on in a circle or to an address that is not followed; "
                f"{self._by_hand()}."
            )
        raise DownloadError(
            f"{self._host} refuses {self._url} ({code} {error.reason}); {self._by_hand()}."
        )

    def _receive(self, response: HTTPResponse, offset: int) -> None:
        """Append what a response brings; returns when the file is whole."""
        offset, total = self._extent(response, offset)
        self._check_announcement(response, offset, total)
        chunk = response.read1(_CHUNK)
        if not offset and chunk.lstrip()[:20].lower().startswith(_PAGE_STARTS):
            self._refuse_web_page()
        # Only now is a part that cannot be gone on from given up.
        with self._writing():
            file = self._part.open("ab" if offset else "wb")
        with file:
            if not offset:
                self._note_version(response)
            done = offset
            self._report(done, total)
            while chunk:
                done += len(chunk)
                if done > self._wanted.limit:
                    file.close()  # Windows removes no open file
                    self._discard()
                    self._refuse_size(done)
                with self._writing():
                    file.write(chunk)
                self._report(done, total)
                chunk = response.read1(_CHUNK)
            with self._writing():
                file.flush()
                os.fsync(file.fileno())
        self._stop_if_cancelled()
        if total is not None and done < total:
            raise _BrokenError(f"it broke off after {done} of {total} bytes")

    def _extent(self, response: HTTPResponse, offset: int) -> tuple[int, int | None]:
        """Return where the bytes of a response belong and how long the file is."""
        length = _number(response.headers.get("Content-Length"))
        if response.status == 200:
            return 0, length
        found = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "")
        )
        if response.status != 206 or found is None or int(found[1]) != offset:
            self._discard()
            raise _BrokenError(f"it answered {response.status} with bytes nobody asked for")
        return offset, int(found[2]) + 1 if found[3] == "*" else int(found[3])

    def _check_announcement(self, response: HTTPResponse, offset: int, total: int | None) -> None:
        """Refuse what cannot be right or cannot be kept before a byte of it is read."""
        wanted = self._wanted
        if response.headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
            self._refuse_web_page()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(
                f"{self._host} sends {wanted.target.name} compressed, which was not asked for; "
                f"{self._by_hand()}."
            )
        if wanted.bytes is not None and total is not None and total != wanted.bytes:
            raise DownloadError(
                f"{self._host} offers {total} bytes as {wanted.target.name}, but the published "
                f"file has {wanted.bytes}; {self._by_hand()}."
            )
        if total is not None and total > wanted.limit:
            self._refuse_size(total)
        needed = (total or wanted.expected) - offset
        free = shutil.disk_usage(wanted.target.parent).free
        if needed > free:
            raise DownloadError(
                f"{wanted.target.name} needs {readable_size(needed)} more, but the disk of "
                f"{wanted.target.parent} has {readable_size(free)} free; free some space, or name "
                "a folder on another disk in SEGSTUDIO_CACHE."
            )

    # -- the whole file -----------------------------------------------------------------------

    def _finish(self) -> str | None:
        """Check the file and give it its name."""
        wanted = self._wanted
        published = wanted.sha256_prefix or self._linked
        problem = None
        if published is not None:
            digest = file_digest(self._part)
            if not digest.startswith(published):
                begin = digest[: len(published)][:16]
                problem = f"its SHA-256 begins with {begin}, not {published[:16]}"
        elif wanted.bytes is not None and self._have() != wanted.bytes:
            problem = f"it has {self._have()} bytes, not {wanted.bytes}"
        else:
            problem = structure_problem(self._part, wanted.target.name)
        if problem is not None:
            self._discard()
            raise DownloadError(
                f"What {self._host} sent as {wanted.target.name} is not the published file "
                f"({problem}) and was removed; try again, or {self._by_hand()}."
            )
        with self._writing():
            os.replace(self._part, wanted.target)
            self._notes.unlink(missing_ok=True)
        return published

    # -- what is kept -------------------------------------------------------------------------

    def _have(self) -> int:
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _kept(self) -> tuple[int, str]:
        """Return how many bytes an attempt can go on from, and the version they are of."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            url, validator = str(notes["url"]), str(notes["validator"])
        except (OSError, ValueError, LookupError, TypeError):
            return 0, ""
        # Without a version only the published hash can tell that two halves belong together.
        if url != self._url or not (validator or self._wanted.sha256_prefix):
            return 0, ""
        return self._have(), validator

    def _note_version(self, response: HTTPResponse) -> None:
        """Keep what identifies the version of the file whose first bytes are being written."""
        validator = response.headers.get("ETag", "")
        if not validator.startswith('"'):  # a weak one does not promise the same bytes
            validator = response.headers.get("Last-Modified", "")
        notes = {"url": self._url, "validator": validator}
        write_text(self._notes, json.dumps(notes), durable=False)

    def _discard(self) -> None:
        with self._writing():
            self._part.unlink(missing_ok=True)
            self._notes.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Tell a full disk from a broken connection: both are OSErrors."""
        try:
            yield
        except OSError as error:
            raise WriteError.from_os_error(self._part, error) from error

    # -- sentences ----------------------------------------------------------------------------

    def _stop_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise CancelledError(
                f"Stopped: {readable_size(self._have())} of {self._wanted.target.name} are kept; "
                "the next download goes on from there."
            )

    def _by_hand(self) -> str:
        url, place = self._wanted.by_hand or (self._wanted.url, self._wanted.target)
        return f"download {url} on another machine and put the file at {place}"

    def _refuse_web_page(self) -> None:
        raise DownloadError(
            f"{self._host} sent a web page in place of {self._wanted.target.name}; a login or a "
            f"proxy may stand in between: {self._by_hand()}."
        )

    def _refuse_size(self, size: int) -> None:
        raise DownloadError(
            f"{self._host} sends {readable_size(size)} or more as {self._wanted.target.name}, "
            f"which has {readable_size(self._wanted.limit)} at most; {self._by_hand()}."
        )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
