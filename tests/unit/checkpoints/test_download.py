"""Downloads from a real server on this machine that misbehaves in every way servers do."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from filelock import FileLock

from segstudio.checkpoints import transfer
from segstudio.checkpoints.catalogue import (
    CatalogueEntry,
    PublishedFile,
    cached_path,
    entry_folder,
    find_entry,
)
from segstudio.checkpoints.connection import Patience, Redirects, mirrored
from segstudio.checkpoints.download import Downloaded, DownloadError, download
from segstudio.checkpoints.structure import structure_problem
from segstudio.checkpoints.transfer import readable_size
from segstudio.core.errors import CancelledError, UsageError, WriteError

DATA = hashlib.shake_256(b"weights").digest(300_000)
OTHER = hashlib.shake_256(b"other weights").digest(300_000)
SHA = hashlib.sha256(DATA).hexdigest()
FILE = f"/models/net-{SHA[:8]}.pth"


@dataclass
class Answer:
    """How the server answers one request."""

    data: bytes = DATA
    status: int = 200
    etag: str | None = '"one"'
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    claims: int = 0  # how much longer the announced length is than the true one
    sends: int | None = None  # breaks off after so many bytes
    piece: int = 1 << 16
    length: bool = True
    hold: bool = False  # keeps silent once it has sent its bytes
    content_type: str = "application/octet-stream"


class Server(ThreadingHTTPServer):
    """Answers as its script says; the last answer is for all later requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.held = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, dict(self.headers)))
        answers = self.server.script.get(self.path, [Answer(status=404, data=b"no")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        data, status, headers = answer.data, answer.status, dict(answer.headers)
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in {None, answer.etag}
        if wanted and answer.ranges and same and status == 200:
            begin = int(wanted[1])
            if begin >= len(data):
                status, headers["Content-Range"] = 416, f"bytes */{len(data)}"
                data = b""
            else:
                total = len(data) + answer.claims
                status, headers["Content-Range"] = 206, f"bytes {begin}-{total - 1}/{total}"
                data = data[begin:]
        self.send_response(status)
        if answer.etag:
            self.send_header("ETag", answer.etag)
        if answer.length:
            self.send_header("Content-Length", str(len(data) + answer.claims))
        self.send_header("Content-Type", answer.content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = data[: answer.sends]
        for start in range(0, len(body), answer.piece):
            self.wfile.write(body[start : start + answer.piece])
            self.wfile.flush()
        self.server.sent += len(body)
        if answer.hold:
            self.server.held.set()
            self.server.release.wait(30)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server that stands in for every publisher, and an empty cache."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SEGSTUDIO_MIRROR", running.url)
    monkeypatch.setenv("SEGSTUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield running
    running.release.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def entry() -> CatalogueEntry:
    """A published checkpoint of 300 kB with a published hash."""
    file = PublishedFile(f"https://weights.invalid{FILE}", SHA[:8])
    template = find_entry("tv_fcn_resnet50")
    return replace(template, name="net", weights=(file,), estimated_bytes=len(DATA))


@pytest.fixture
def hub(entry: CatalogueEntry) -> CatalogueEntry:
    """A published model of three files without a published hash."""
    base = "https://hub.invalid/me/net/resolve/main"
    return replace(
        entry,
        name="hub-net",
        weights=tuple(
            PublishedFile(f"{base}/{name}") for name in ("model.safetensors", "pytorch_model.bin")
        ),
        beside=tuple(
            PublishedFile(f"{base}/{name}") for name in ("config.json", "preprocessor_config.json")
        ),
    )


HUB = "/me/net/resolve/main"


def safetensors(size: int = 1000) -> bytes:
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


def zipped(size: int = 100_000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(size))
    return buffer.getvalue()


def quick(attempts: int = 3, timeout: float = 20.0) -> Patience:
    """Patience that never sleeps."""
    return Patience(timeout, attempts, sleep=lambda seconds: None)


def leftovers(entry: CatalogueEntry) -> set[str]:
    return {path.name for path in entry_folder(entry).iterdir()} - {"download.lock"}


def refused(entry: CatalogueEntry, patience: Patience | None = None, force: bool = False) -> str:
    """Return the one sentence that a download ends with."""
    with pytest.raises(DownloadError) as caught:
        download(entry, patience=patience or quick(), force=force)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


# -- the good case --------------------------------------------------------------------------------


def test_a_checkpoint_is_fetched_checked_and_named(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer()]
    seen: list[tuple[int, int | None]] = []
    found = download(entry, report=lambda done, total: seen.append((done, total)))
    path = entry_folder(entry) / f"net-{SHA[:8]}.pth"
    assert found == Downloaded(path, path, False, SHA[:8])
    assert path.read_bytes() == DATA and cached_path(entry) == path
    assert leftovers(entry) == {path.name}
    assert seen[0] == (0, len(DATA)) and seen[-1] == (len(DATA), len(DATA))
    assert seen == sorted(seen)
    ((_, headers),) = server.requests
    assert headers["Accept-Encoding"] == "identity" and "Range" not in headers
    assert headers["User-Agent"].startswith("segstudio/")


def test_what_is_here_is_checked_and_not_fetched(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer()]
    first = download(entry)
    again = download(entry)
    assert again == replace(first, already_there=True)
    assert len(server.requests) == 1
    assert download(entry, force=True) == first
    assert len(server.requests) == 2
    # A file put there by hand may be anything.
    first.file.write_bytes(OTHER)
    sentence = refused(entry)
    assert "is not the published file" in sentence and "--force" in sentence
    assert first.file.read_bytes() == OTHER


def test_files_beside_the_weights_come_along(server: Server, hub: CatalogueEntry) -> None:
    server.script[f"{HUB}/model.safetensors"] = [Answer(safetensors())]
    server.script[f"{HUB}/config.json"] = [Answer(b"{}")]
    found = download(hub, patience=quick())
    # One of them is not there, which is no reason to give up.
    assert leftovers(hub) == {"model.safetensors", "config.json"}
    assert found.path == entry_folder(hub) == cached_path(hub)
    assert found.file == entry_folder(hub) / "model.safetensors"
    assert found.sha256 is None


def test_the_second_choice_is_taken_when_the_first_is_missing(
    server: Server, hub: CatalogueEntry
) -> None:
    server.script[f"{HUB}/pytorch_model.bin"] = [Answer(zipped())]
    assert download(hub, patience=quick()).file.name == "pytorch_model.bin"
    assert [path for path, _ in server.requests][-2:] == [
        f"{HUB}/model.safetensors",
        f"{HUB}/pytorch_model.bin",
    ]


# -- connections that break -----------------------------------------------------------------------


def test_a_broken_connection_goes_on_where_it_was(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=100_000), Answer(sends=150_000), Answer()]
    pauses: list[float] = []
    found = download(entry, patience=Patience(sleep=pauses.append))
    assert found.file.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=100000-", "bytes=250000-"]
    assert [headers.get("If-Range") for _, headers in server.requests] == [None, '"one"', '"one"']
    assert server.sent == len(DATA)
    # Each attempt brought it on, so each was the first failure.
    assert pauses == [1.0, 1.0]


def test_the_next_call_goes_on_too(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=100_000), Answer()]
    assert "it broke off after 100000 of 300000 bytes" in refused(entry, quick(attempts=1))
    assert cached_path(entry) is None
    seen: list[tuple[int, int | None]] = []
    download(entry, report=lambda done, total: seen.append((done, total)))
    assert server.ranges()[1] == "bytes=100000-"
    assert seen[0] == (100_000, len(DATA)) and server.sent == len(DATA)


def test_a_part_that_is_whole_is_only_checked(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=299_999), Answer()]
    refused(entry, quick(attempts=1))
    part = entry_folder(entry) / f"net-{SHA[:8]}.pth.part"
    part.write_bytes(DATA)  # as a process leaves it that is killed before the last step
    assert download(entry).file.read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=300000-" and server.sent == 299_999


def test_attempts_that_bring_nothing_end(server: Server, entry: CatalogueEntry) -> None:
    # It ignores Range, so every attempt begins anew and breaks off at the same place.
    server.script[FILE] = [Answer(sends=100_000, ranges=False)]
    pauses: list[float] = []
    sentence = refused(entry, Patience(attempts=4, sleep=pauses.append))
    assert "failed 4 times in a row" in sentence and "is kept" in sentence
    assert pauses == [1.0, 2.0, 4.0]
    assert len(server.requests) == 4


def test_a_server_without_ranges_starts_over(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=100_000), Answer(ranges=False)]
    assert download(entry, patience=quick()).file.read_bytes() == DATA
    assert server.sent == 100_000 + len(DATA)


def test_another_version_is_never_glued_on(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(OTHER, sends=100_000, etag='"old"'), Answer(etag='"new"')]
    assert download(entry, patience=quick()).file.read_bytes() == DATA
    assert server.requests[1][1]["If-Range"] == '"old"'


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_version_only_a_hash_allows_to_go_on(
    server: Server, entry: CatalogueEntry, hub: CatalogueEntry, etag: str | None
) -> None:
    server.script[FILE] = [Answer(sends=100_000, etag=etag), Answer(etag=etag)]
    download(entry, patience=quick())
    assert server.ranges() == [None, "bytes=100000-"]
    assert "If-Range" not in server.requests[1][1]
    server.requests.clear()
    weights = safetensors()
    broken = Answer(weights, sends=9, etag=etag)
    server.script[f"{HUB}/model.safetensors"] = [broken, Answer(weights)]
    assert download(hub, patience=quick()).file.read_bytes() == weights
    assert set(server.ranges()) == {None}


def test_last_modified_stands_in_for_an_etag(server: Server, hub: CatalogueEntry) -> None:
    weights, date = safetensors(), "Wed, 21 Oct 2015 07:28:00 GMT"
    answers = [
        Answer(weights, sends=200, etag=None, headers={"Last-Modified": date}),
        Answer(weights, etag=date),  # what If-Range is compared with
    ]
    server.script[f"{HUB}/model.safetensors"] = answers
    assert download(hub, patience=quick()).file.read_bytes() == weights
    assert server.requests[-1][1]["If-Range"] == date and server.ranges()[-1] == "bytes=200-"


def test_bytes_from_another_place_are_not_taken(server: Server, entry: CatalogueEntry) -> None:
    wrong = {"Content-Range": "bytes 5-299999/300000"}
    server.script[FILE] = [
        Answer(sends=100_000),
        Answer(status=206, data=DATA[5:], headers=wrong),
        Answer(),
    ]
    assert download(entry, patience=quick()).file.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=100000-", None]


def test_a_dribble_is_a_download(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(piece=997)]
    assert download(entry, patience=quick()).file.read_bytes() == DATA


def test_a_silent_server_is_asked_again(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=100_000, hold=True), Answer()]
    assert download(entry, patience=quick(timeout=0.2)).file.read_bytes() == DATA
    assert server.ranges() == [None, "bytes=100000-"]
    server.script[FILE] = [Answer(sends=0, hold=True)]
    assert "it is silent" in refused(entry, quick(1, 0.1), force=True)


# -- servers that lie ------------------------------------------------------------------------------


def test_a_length_that_is_too_long_is_found_out(
    server: Server, entry: CatalogueEntry, hub: CatalogueEntry
) -> None:
    # Every byte is there although more were promised: the server's next answer says so.
    server.script[FILE] = [Answer(claims=100)]
    assert download(entry, patience=quick()).file.read_bytes() == DATA
    # One that keeps promising never gets its file accepted.
    server.script[f"{HUB}/model.safetensors"] = [Answer(safetensors(), claims=100, ranges=False)]
    assert "failed 3 times in a row (it broke off after" in refused(hub)
    assert cached_path(hub) is None


def test_a_length_that_is_too_short_is_found_out(
    server: Server, entry: CatalogueEntry, hub: CatalogueEntry
) -> None:
    server.script[FILE] = [Answer(claims=-100)]
    sentence = refused(entry)
    digest = hashlib.sha256(DATA[:-100]).hexdigest()
    assert f"its SHA-256 begins with {digest[:8]}, not {SHA[:8]}" in sentence
    assert leftovers(entry) == set()
    weights = safetensors()
    server.script[f"{HUB}/model.safetensors"] = [Answer(weights, claims=-100)]
    assert f"its header says {len(weights)}" in refused(hub)
    server.script[f"{HUB}/model.safetensors"] = [Answer(status=404)]
    server.script[f"{HUB}/pytorch_model.bin"] = [Answer(zipped(), claims=-200)]
    assert "its end is missing" in refused(hub)
    assert leftovers(hub) == set()


def test_a_published_length_is_held_against_the_announced_one(
    server: Server, entry: CatalogueEntry
) -> None:
    file = replace(entry.weights[0], bytes=len(DATA) + 1)
    server.script[FILE] = [Answer()]
    assert "offers 300000 bytes" in refused(replace(entry, weights=(file,)))
    assert server.ranges() == [None] and leftovers(entry) == set()


def test_a_wrong_file_is_removed_and_the_old_one_stays(
    server: Server, entry: CatalogueEntry
) -> None:
    server.script[FILE] = [Answer(), Answer(OTHER)]
    path = download(entry).file
    sentence = refused(entry, force=True)
    assert "is not the published file" in sentence and "was removed" in sentence
    assert path.read_bytes() == DATA and leftovers(entry) == {path.name}


def test_a_file_that_never_ends_is_refused(server: Server, entry: CatalogueEntry) -> None:
    small = replace(entry, weights=(replace(entry.weights[0], bytes=1000),))
    server.script[FILE] = [Answer(length=False)]
    assert "1 kB at most" in refused(small)
    assert leftovers(entry) == set()


def test_an_announced_size_beyond_reason_is_refused(server: Server, hub: CatalogueEntry) -> None:
    server.script[f"{HUB}/model.safetensors"] = [Answer(safetensors(), claims=10**12)]
    assert "sends 1000 GB or more as model.safetensors, which has 65 MB at most" in refused(hub)


def test_a_length_nobody_states_is_no_obstacle_when_the_hash_is_right(
    server: Server, entry: CatalogueEntry
) -> None:
    server.script[FILE] = [Answer(length=False)]
    seen: list[tuple[int, int | None]] = []
    download(entry, report=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(DATA), None)


@pytest.mark.parametrize(
    "page",
    [
        Answer(b"<!doctype html>", content_type="text/html; charset=utf-8", ranges=False),
        Answer(b"\n  <html><body>Please log in</body></html>", ranges=False),
    ],
    ids=["by its type", "by its bytes"],
)
def test_a_web_page_is_no_checkpoint(server: Server, entry: CatalogueEntry, page: Answer) -> None:
    server.script[FILE] = [Answer(sends=100_000), page, Answer()]
    assert "sent a web page in place of" in refused(entry)
    # The hotel's login page must not cost what was fetched before.
    assert download(entry).file.read_bytes() == DATA
    assert server.ranges()[-1] == "bytes=100000-"


def test_a_file_may_begin_as_a_page_does(server: Server, hub: CatalogueEntry) -> None:
    weights = safetensors(9)
    assert weights[:1] == b"<"  # the length of its header, 60
    server.script[f"{HUB}/model.safetensors"] = [Answer(weights)]
    assert download(hub, patience=quick()).file.read_bytes() == weights


def test_what_is_compressed_unasked_is_refused(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(headers={"Content-Encoding": "gzip"})]
    assert "compressed, which was not asked for" in refused(entry)


# -- answers that are no file ----------------------------------------------------------------------


def test_a_missing_file_is_said_at_once(server: Server, entry: CatalogueEntry) -> None:
    sentence = refused(entry)
    assert f"has no {FILE} (any more)" in sentence and len(server.requests) == 1


def test_a_refusal_is_said_at_once(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(status=403, data=b"no")]
    assert "(403 Forbidden)" in refused(entry) and len(server.requests) == 1


def test_a_server_in_trouble_is_asked_again(server: Server, entry: CatalogueEntry) -> None:
    trouble = Answer(status=503, data=b"busy")
    server.script[FILE] = [trouble, trouble, Answer()]
    pauses: list[float] = []
    download(entry, patience=Patience(sleep=pauses.append))
    assert pauses == [1.0, 2.0]
    server.script[FILE] = [Answer(status=500, data=b"broken")]
    server.requests.clear()
    assert "it answered 500 Internal Server Error" in refused(entry, force=True)
    assert len(server.requests) == 3


def test_redirects_are_followed_with_the_range(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(status=302, data=b"", headers={"Location": "/elsewhere"})]
    server.script["/elsewhere"] = [Answer(sends=100_000), Answer()]
    assert download(entry, patience=quick()).file.read_bytes() == DATA
    asked = [(path, headers.get("Range")) for path, headers in server.requests]
    assert asked[-1] == ("/elsewhere", "bytes=100000-")


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x", FILE])
def test_redirects_lead_to_http_only_and_somewhere(
    server: Server, entry: CatalogueEntry, place: str
) -> None:
    server.script[FILE] = [Answer(status=302, data=b"", headers={"Location": place})]
    assert "in a circle or to an address that is not followed" in refused(entry)
    assert leftovers(entry) == set()


def test_a_redirect_never_leaves_https() -> None:
    request, headers = Request("https://weights.invalid/a"), HTTPMessage()
    arguments = (io.BytesIO(), 302, "Found", headers)
    with pytest.raises(HTTPError):
        Redirects().redirect_request(request, *arguments, "http://weights.invalid/a")
    followed = Redirects().redirect_request(request, *arguments, "https://other.invalid/a")
    assert followed is not None and followed.full_url == "https://other.invalid/a"


def test_the_hash_that_a_redirect_states_is_believed(server: Server, hub: CatalogueEntry) -> None:
    weights = safetensors()
    digest = hashlib.sha256(weights).hexdigest()
    file = f"{HUB}/model.safetensors"

    def redirect(stated: str) -> Answer:
        return Answer(
            status=302, data=b"", headers={"Location": "/lfs", "X-Linked-Etag": f'"{stated}"'}
        )

    server.script |= {file: [redirect(digest)], "/lfs": [Answer(weights)]}
    assert download(hub, patience=quick()).sha256 == digest
    server.script[file] = [redirect(SHA)]
    assert f"not {SHA[:16]}" in refused(hub, force=True)


# -- this machine ----------------------------------------------------------------------------------


def test_offline_is_one_sentence_that_says_what_to_do(
    server: Server,
    entry: CatalogueEntry,
    hub: CatalogueEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("SEGSTUDIO_MIRROR", f"http://{address}")
    pauses: list[float] = []
    sentence = refused(entry, Patience(sleep=pauses.append))
    assert sentence == (
        f"{address} cannot be reached (connection refused); check the connection, or download "
        f"https://weights.invalid{FILE} on another machine and put the file at "
        f"{entry_folder(entry) / entry.weights[0].name}."
    )
    assert pauses == []
    # Of several files the checkpoint is the one to fetch.
    assert f"{HUB}/model.safetensors on another machine" in refused(hub)


def test_a_full_disk_is_noticed_before_and_during(
    server: Server, entry: CatalogueEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script[FILE] = [Answer()]
    usage = shutil.disk_usage(Path("/"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
        sentence = refused(entry)
    assert "needs 300 kB more" in sentence and "has 200 kB free" in sentence
    assert "SEGSTUDIO_CACHE" in sentence and leftovers(entry) == set()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfer.os, "fsync", full)
    with pytest.raises(WriteError, match="the disk is full"):
        download(entry, patience=quick())
    assert cached_path(entry) is None


def test_a_cache_folder_that_cannot_be_made(
    server: Server, entry: CatalogueEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGSTUDIO_CACHE", str(tmp_path / "file"))
    with pytest.raises(WriteError, match="is a file, not a folder"):
        download(entry)


def test_two_processes_do_not_write_one_file(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer()]
    entry_folder(entry).mkdir(parents=True)
    with FileLock(entry_folder(entry) / "download.lock"):
        assert "is being downloaded already" in refused(entry)
    assert server.requests == []
    download(entry)


def test_cancelling_keeps_what_was_fetched(server: Server, entry: CatalogueEntry) -> None:
    server.script[FILE] = [Answer(sends=100_000, hold=True), Answer()]
    cancel = threading.Event()
    canceller = threading.Thread(target=lambda: (server.held.wait(30), cancel.set()))
    canceller.start()
    # The server is silent, and the timeout far away: only the cancellation ends this.
    with pytest.raises(CancelledError, match=r"100 kB of net-\w+\.pth are kept"):
        download(entry, cancel=cancel, patience=Patience(timeout=600))
    canceller.join()
    assert download(entry).file.read_bytes() == DATA
    assert server.ranges()[1] == "bytes=100000-"


def test_a_cancelled_download_asks_nobody(server: Server, entry: CatalogueEntry) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        download(entry, cancel=cancel)
    assert server.requests == []


@pytest.mark.parametrize("mirror", ["ftp://mirror.invalid", "mirror.invalid", "file:///srv"])
def test_a_mirror_is_an_http_address(monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("SEGSTUDIO_MIRROR", mirror)
    with pytest.raises(UsageError, match="SEGSTUDIO_MIRROR is"):
        mirrored("https://weights.invalid/a.pth")


def test_a_mirror_replaces_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGSTUDIO_MIRROR", raising=False)
    assert mirrored("https://weights.invalid/a/b.pth?x=1") == "https://weights.invalid/a/b.pth?x=1"
    monkeypatch.setenv("SEGSTUDIO_MIRROR", "http://mirror.invalid:8000/models/")
    assert mirrored("https://weights.invalid/a/b.pth?x=1") == (
        "http://mirror.invalid:8000/models/a/b.pth?x=1"
    )


# -- small things ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("a.safetensors", safetensors, None),
        ("a.safetensors", lambda: safetensors()[:-1], "its header says"),
        ("a.safetensors", lambda: safetensors() + b"x", "its header says"),
        ("a.safetensors", lambda: b"", "no safetensors file"),
        ("a.safetensors", lambda: (2).to_bytes(8, "little") + b"[]", "no safetensors file"),
        ("a.bin", zipped, None),
        ("a.bin", lambda: zipped()[:-30], "its end is missing"),
        ("a.pth", lambda: b"\x80\x02\x8a\nl\xfc", None),
        ("a.pth", lambda: b"version https://git-lfs", "no checkpoint"),
        ("a.json", lambda: b'{"a": 1}', None),
        ("a.json", lambda: b'{"a": ', "no JSON"),
        ("a.yml", lambda: b"a: 1", None),
    ],
)
def test_structure(
    tmp_path: Path, name: str, make: Callable[[], bytes], problem: str | None
) -> None:
    path = tmp_path / "some.part"
    path.write_bytes(make())
    found = structure_problem(path, name)
    assert found is None if problem is None else problem in str(found)


def test_sizes_are_readable() -> None:
    sizes = [0, 1, 1499, 300_000, 1_500_000, 160_000_000, 1_340_000_000, 10**12]
    assert [readable_size(size) for size in sizes] == [
        "0 kB", "1 kB", "1 kB", "300 kB", "1.5 MB", "160 MB", "1.3 GB", "1000 GB",
    ]  # fmt: skip


def test_downloading_needs_no_torch() -> None:
    code = (
        "import sys, segstudio.checkpoints.download as d; "
        "assert not {'torch', 'numpy', 'cv2', 'safetensors'} & set(sys.modules), 'loaded'"
    )
    root = Path(transfer.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
