"""A connection to the server that holds a published file.

The standard library's client is enough: it streams, follows redirects, and knows proxies and TLS.
What it lacks is here: no other scheme than http and https, no way back from https, and a
connection that can be given up at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib import request as http
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from segstudio.core.errors import UsageError

__all__ = [
    "Patience",
    "Redirects",
    "interruptible",
    "is_offline",
    "mirrored",
    "open_url",
    "plain_reason",
]

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a bad connection.

    Attributes
    ----------
    timeout : float
        Seconds without a single byte after which an attempt has failed.
    attempts : int
        How many in a row may fail without bringing the file on.
    pause : float
        Seconds before the second attempt; doubled for each one after it, to 30 at most.
    sleep : callable, optional
        Waits so many seconds; None waits for them or for the cancellation.
    """

    timeout: float = 20.0
    attempts: int = 5
    pause: float = 1.0
    sleep: Callable[[float], object] | None = None


def mirrored(url: str) -> str:
    """Return ``url``, at the server that ``SEGSTUDIO_MIRROR`` names when it names one.

    Raises
    ------
    UsageError
        When the variable holds no http address.
    """
    mirror = os.environ.get("SEGSTUDIO_MIRROR")
    if not mirror:
        return url
    parts = urlsplit(mirror)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UsageError(
            f"SEGSTUDIO_MIRROR is {mirror!r}, but it has to begin with https:// and a host's name."
        )
    original = urlsplit(url)
    return f"{mirror.rstrip('/')}{original.path}" + (f"?{original.query}" if original.query else "")


class Redirects(http.HTTPRedirectHandler):
    """Follows redirects between http servers, never back from https to http.

    Attributes
    ----------
    linked_sha256 : str or None
        What Hugging Face says of a large file before it sends on to where it lies.
    """

    def __init__(self) -> None:
        self.linked_sha256: str | None = None

    def redirect_request(
        self,
        req: http.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> http.Request | None:
        """Return the request to go on with; see the base class."""
        scheme = urlsplit(newurl).scheme
        if scheme not in {"http", "https"} or (req.type == "https" and scheme == "http"):
            raise HTTPError(req.full_url, code, f"to {scheme}", headers, fp)
        linked = headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", linked):
            self.linked_sha256 = linked
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: dict[str, str], redirects: Redirects, timeout: float) -> Any:
    """Open an address; no other scheme than http and https has a handler."""
    opener = http.OpenerDirector()
    for handler in (
        http.ProxyHandler(),
        http.UnknownHandler(),
        http.HTTPHandler(),
        http.HTTPSHandler(),
        http.HTTPDefaultErrorHandler(),
        redirects,
        http.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener.open(http.Request(url, headers=headers), timeout=timeout)


@contextlib.contextmanager
def interruptible(response: HTTPResponse, cancel: threading.Event) -> Iterator[None]:
    """Shut the connection when ``cancel`` is set: a silent server must not delay it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            if cancel.is_set():
                with contextlib.suppress(OSError, ValueError):
                    twin = socket.fromfd(response.fileno(), socket.AF_INET, socket.SOCK_STREAM)
                    with twin:
                        twin.shutdown(socket.SHUT_RDWR)
                return

    watcher = threading.Thread(target=watch, name="download-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def is_offline(error: BaseException) -> bool:
    """Tell whether nothing answers at all, so that a second attempt is no use."""
    reason = error.reason if isinstance(error, URLError) else error
    return isinstance(reason, (socket.gaierror, ConnectionRefusedError)) or (
        isinstance(reason, OSError) and reason.errno in _UNREACHABLE
    )


def plain_reason(error: BaseException) -> str:
    """Return what went wrong in a few plain words."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return "it is silent"
    if isinstance(reason, socket.gaierror):
        return "its name is not known here"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return str(reason.verify_message)
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    words = " ".join(str(reason).split()).rstrip(".").lower()
    return words or "the connection broke"
