"""Downloads as jobs of a session, from a server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segstudio.checkpoints.catalogue import CatalogueEntry, PublishedFile, find_entry
from segstudio.core.errors import UnknownNameError
from segstudio.inference.catalogue import embedded_models
from segstudio.session import downloads
from segstudio.session.events import JobState
from segstudio.session.session import Session
from segstudio.session.settings import Settings

DATA = hashlib.shake_256(b"weights").digest(400_000)
NAME = "tv_fcn_resnet50"


class Server(ThreadingHTTPServer):
    """Serves `DATA` under every address, the first half only until it is told to go on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.half_sent = threading.Event()
        self.go_on = threading.Event()
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        begin = 0 if wanted is None else int(wanted.removeprefix("bytes=")[:-1])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(DATA) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}")
        self.end_headers()
        middle = max(begin, len(DATA) // 2)
        self.wfile.write(DATA[begin:middle])
        self.wfile.flush()
        self.server.half_sent.set()
        self.server.go_on.wait(30)
        with contextlib.suppress(OSError):  # the client may have left
            self.wfile.write(DATA[middle:])


class Listener:
    """Collects a session's news and lets a test wait for some."""

    def __init__(self, session: Session) -> None:
        self.states: list[JobState] = []
        self.problems: list[str] = []
        self._changed = threading.Condition()
        session.job_changed.connect(lambda state: self._add(self.states, state))
        session.problem.connect(lambda text: self._add(self.problems, text))

    def _add(self, where: list, what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    def wait_for(self, job_id: str, *names: str) -> JobState:
        def known() -> list[JobState]:
            return [state for state in self.states if (state.job_id, state.state) in wanted]

        wanted = {(job_id, name) for name in names}
        with self._changed:
            assert self._changed.wait_for(known, timeout=30), self.states
            return known()[-1]

    def wait_for_problem(self) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: self.problems, timeout=30)
            return self.problems[-1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SEGSTUDIO_MIRROR", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield running
    running.go_on.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    """An entry of the catalogue whose published hash is that of `DATA`."""
    real = find_entry(NAME)
    sha = hashlib.sha256(DATA).hexdigest()[:8]
    changed = replace(real, weights=(PublishedFile(real.url, sha),))
    monkeypatch.setattr(
        downloads, "find_entry", lambda name: changed if name == NAME else find_entry(name)
    )
    return changed


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(Settings(tmp_path / "settings.json"))
    yield session
    session.close()


def test_a_download_is_a_job(server: Server, entry: CatalogueEntry, session: Session) -> None:
    server.go_on.set()
    listener = Listener(session)
    assert NAME not in {model.name for model in session.models()}
    job_id = session.download_model(NAME)
    end = listener.wait_for(job_id, "done")
    assert (end.title, end.unit, end.failed) == (entry.title, "bytes", 0)
    assert end.done == end.total == len(DATA) and end.seconds_left is None
    assert listener.states[0].state == "starting" and listener.states[0].total == entry.bytes
    running = [state.done for state in listener.states if state.state == "running"]
    assert running == sorted(running) and running[-1] == len(DATA)
    assert session.jobs() == [end]
    (model,) = (model for model in session.models() if model.name == NAME)
    assert model.path is not None and model.path.read_bytes() == DATA


def test_the_catalogue_is_larger_than_what_can_run(session: Session) -> None:
    known = {model.name for model in session.catalogue()}
    ready = {model.name for model in session.models()}
    embedded = {model.name for model in embedded_models()}
    assert ready == embedded and {*embedded, NAME} <= known


def test_one_model_is_fetched_once(server: Server, entry: CatalogueEntry, session: Session) -> None:
    listener = Listener(session)
    job_id = session.download_model(NAME)
    assert server.half_sent.wait(30)
    assert session.download_model(NAME) == job_id
    server.go_on.set()
    listener.wait_for(job_id, "done")
    assert len(server.ranges) == 1
    # Once it is here, another job has nothing to fetch.
    again = session.download_model(NAME)
    assert again != job_id and listener.wait_for(again, "done").done == len(DATA)
    assert len(server.ranges) == 1


def test_a_cancelled_download_is_kept(
    server: Server, entry: CatalogueEntry, session: Session
) -> None:
    listener = Listener(session)
    job_id = session.download_model(NAME)
    listener.wait_for(job_id, "running")
    assert server.half_sent.wait(30)
    session.cancel(job_id)
    end = listener.wait_for(job_id, "cancelled")
    assert "are kept" in end.message and listener.problems == []
    session.cancel(job_id)  # over is over
    assert session.jobs() == [end]
    names = [state.state for state in listener.states]
    assert "running" not in names[names.index("cancelling") :]
    server.go_on.set()
    listener.wait_for(session.download_model(NAME), "done")
    assert len(server.ranges) == 2 and server.ranges[1] is not None


def test_a_failed_download_says_why(
    server: Server, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.go_on.set()
    listener = Listener(session)
    # The real entry: its published hash is another file's.
    end = listener.wait_for(session.download_model(NAME), "failed")
    assert "is not the published file" in end.message
    assert listener.wait_for_problem() == end.message
    monkeypatch.setattr(downloads, "download", lambda *args, **options: 1 / 0)
    end = listener.wait_for(session.download_model("tv_fcn_resnet101"), "failed")
    assert "ZeroDivisionError" in end.message


def test_closing_stops_downloads(server: Server, entry: CatalogueEntry, session: Session) -> None:
    listener = Listener(session)
    session.download_model(NAME)
    assert server.half_sent.wait(30)
    session.close()
    assert not [thread for thread in threading.enumerate() if thread.name == f"download-{NAME}"]
    assert not {"done", "failed"} & {state.state for state in listener.states}


def test_an_unknown_name_starts_nothing(session: Session) -> None:
    with pytest.raises(UnknownNameError, match="did you mean tv_fcn_resnet50"):
        session.download_model("tv_fcn_resnet51")
    assert session.jobs() == []


def test_time_left_comes_from_the_pace() -> None:
    points = deque([(10.0, 0), (12.0, 400)])
    assert downloads._seconds_left(points, 1000) == 5.0
    assert downloads._seconds_left(deque([(10.0, 0)]), 1000) is None
    assert downloads._seconds_left(deque([(10.0, 5), (11.0, 5)]), 1000) is None


def test_a_session_with_downloads_needs_no_torch() -> None:
    code = (
        "import sys; from segstudio.session.session import Session; s = Session(); s.catalogue(); "
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules), 'loaded'"
    )
    root = Path(downloads.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
