"""``segstudio download`` against a server on this machine; ``list models`` before and after."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segstudio.checkpoints import catalogue
from segstudio.checkpoints.catalogue import PublishedFile, entry_folder, find_entry, load_catalogue

ROOT = Path(__file__).resolve().parents[2]
NAME = "tv_lraspp_mobilenet_v3_large"
HUB = "hf_segformer-b0-finetuned-ade-512-512"


class Server(ThreadingHTTPServer):
    """Serves bytes by the last part of an address; asked to, it stops in the middle."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.stop_halfway = False
        self.halfway = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        data = self.server.files.get(self.path.rpartition("/")[2])
        if data is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        begin = 0 if wanted is None else int(wanted.removeprefix("bytes=")[:-1])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.server.stop_halfway:
            self.wfile.write(data[begin : len(data) // 2])
            self.wfile.flush()
            self.server.halfway.set()
            self.server.go_on.wait(30)
            return
        self.wfile.write(data[begin:])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SEGSTUDIO_MIRROR", running.url)
    monkeypatch.setenv("SEGSTUDIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield running
    running.go_on.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes of a model whose published hash is theirs."""
    data = hashlib.shake_256(b"weights").digest(200_000)
    real = find_entry(NAME)
    server.files[real.weights[0].name] = data
    file = PublishedFile(real.url, hashlib.sha256(data).hexdigest()[:8])
    changed = replace(real, weights=(file,))
    entries = tuple(changed if entry.name == NAME else entry for entry in load_catalogue())
    monkeypatch.setattr(catalogue, "load_catalogue", lambda: entries)
    return data


def safetensors() -> bytes:
    header = json.dumps({"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(9)


def test_the_path_is_on_stdout_and_the_rest_on_stderr(segstudio, server, published):
    outcome = segstudio("download", NAME)
    assert outcome.status == 0
    path = Path(outcome.out.rstrip("\n"))
    assert path.read_bytes() == published and path.parent == entry_folder(find_entry(NAME))
    assert f"{NAME}: 200 kB of 200 kB" in outcome.err
    assert f"{NAME} is here now; its SHA-256 is the published one." in outcome.err

    again = segstudio("download", NAME, "--json")
    assert again.document() == {
        "name": NAME,
        "path": str(path),
        "bytes": len(published),
        "licence": "BSD-3-Clause",
        "sha256": hashlib.sha256(published).hexdigest()[:8],
        "already_there": True,
    }
    assert "was here already" in again.err and len(server.ranges) == 1
    assert segstudio("download", NAME, "--force", "--json").document()["already_there"] is False
    assert len(server.ranges) == 2


def test_a_fetched_model_is_listed_as_on_disk(segstudio, server, published):
    def entry() -> dict:
        listed = segstudio("list", "models", "--json").document()
        (found,) = (model for model in listed if model["name"] == NAME)
        return found

    before = entry()
    assert before["on_disk"] is False and before["embedded"] is False
    assert before["published_miou"] == 0.579 and before["measured_miou"] is None
    assert before["url"].endswith("lraspp_mobilenet_v3_large-d234d4ea.pth")
    assert {"dataset", "published_miou_ms", "licence", "size"} <= before.keys()
    segstudio("download", NAME)
    after = entry()
    assert after["on_disk"] is True and after["size"] == len(published)
    table = segstudio("list", "models").out
    (line,) = (line for line in table.splitlines() if line.startswith(NAME))
    assert line.split()[-3:] == ["200", "kB", "yes"] and "57.9 %" in line


def test_a_model_of_several_files_is_its_folder(segstudio, server):
    server.files = {"model.safetensors": safetensors(), "config.json": b"{}"}
    outcome = segstudio("download", HUB)
    assert outcome.status == 0
    folder = Path(outcome.out.rstrip("\n"))
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "config.json"}
    assert "nobody published its hash" in outcome.err
    assert "Mind its licence: NVIDIA Source Code License, non-commercial" in outcome.err


def test_names_that_cannot_be_fetched(segstudio, server):
    complaint = segstudio("download", "tv_lraspp_mobilenet").complaint()
    assert "did you mean tv_lraspp_mobilenet_v3_large" in complaint
    embedded = segstudio("download", "enet-camvid")
    assert embedded.status == 0 and "is already here" in embedded.err
    assert Path(embedded.out.rstrip("\n")).name == "enet-camvid.safetensors"
    assert server.ranges == []


def test_a_wrong_file_is_one_sentence(segstudio, server):
    server.files[find_entry(NAME).weights[0].name] = b"\x80\x02 something else"
    outcome = segstudio("download", NAME)
    assert outcome.status == 2 and outcome.out == ""
    *_, sentence = outcome.err.splitlines()
    assert sentence.startswith("segstudio: ") and "is not the published file" in sentence
    assert "has no" in segstudio("download", "tv_fcn_resnet50").complaint()


def test_a_model_that_is_not_here_is_refused_with_the_command(segstudio, dataset_folder):
    complaint = segstudio("run", dataset_folder, "-m", NAME).complaint()
    assert f"is not on this machine; fetch it with: segstudio download {NAME}" in complaint


def _interruptible(server: Server) -> subprocess.Popen[str]:
    # The signal's default is what a terminal gives; a test runner may have it ignored.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from segstudio.cli.app import main; sys.exit(main(['download', {HUB!r}]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_what_was_fetched(segstudio, server):
    server.files = {"model.safetensors": safetensors()}
    server.stop_halfway = True
    process = _interruptible(server)
    assert server.halfway.wait(30)
    part = entry_folder(find_entry(HUB)) / "model.safetensors.part"
    notes = part.with_name(f"{part.name}.json")
    while process.poll() is None and not notes.exists():
        server.go_on.wait(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and out == ""
    assert f"what was fetched of {HUB} is kept" in err and "Traceback" not in err
    assert 0 < part.stat().st_size < len(safetensors())

    server.stop_halfway = False
    assert segstudio("download", HUB).status == 0
    assert server.ranges[-1] is not None


def test_downloading_imports_neither_torch_nor_qt(server):
    server.files = {"model.safetensors": safetensors()}
    code = (
        "import sys; from segstudio.cli.app import main; "
        f"assert main(['download', {HUB!r}]) == 0; "
        "assert not {'torch', 'PySide6', 'numba', 'cv2'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
