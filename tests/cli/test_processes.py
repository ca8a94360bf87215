"""What only a process of its own can show: signals, kills, what is imported, no display."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from segstudio.project.opening import open_store

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120  # generous: another process may hold the processor

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and displays of POSIX")

# A loose plugin: the process signals itself while half of a file is written.  From outside one
# could only hope to meet that moment.
SIGNAL_PLUGIN = '''"""Send this process a signal in the middle of writing a file."""

import os
from pathlib import Path

WRITE = Path.write_bytes
PARTS = []


def write_bytes(path, data):
    if path.name.endswith(".segstudio-part"):
        PARTS.append(path)
        if len(PARTS) == {count}:
            WRITE(path, data[: len(data) // 2])
            os.kill(os.getpid(), {number})
    return WRITE(path, data)


Path.write_bytes = write_bytes
'''


def call(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, away from the source's folder."""
    return subprocess.run(
        [sys.executable, "-m", "segstudio", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def many_images(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    """Sixty images."""
    return make_dataset(tmp_path / "data", 60)


@pytest.fixture
def plugin_home(tmp_path: Path) -> Callable[[signal.Signals, int], str]:
    """Make a data folder with the plugin in it; gives the value of XDG_DATA_HOME."""

    def make(number: signal.Signals, count: int) -> str:
        folder = tmp_path / "home" / "segstudio" / "plugins"
        folder.mkdir(parents=True)
        source = SIGNAL_PLUGIN.format(count=count, number=int(number))
        (folder / "signals.py").write_text(source)
        return str(folder.parents[1])

    return make


def assert_finished_samples_are_whole(dataset: Path, sample_ids: set[str]) -> None:
    run = dataset / ".segstudio" / "runs" / "tiny"
    for layer in ("labels", "entropy", "confidence", "runner_up"):
        for sample_id in sample_ids:
            with Image.open(run / layer / f"{sample_id}.png") as picture:
                picture.load()
                assert picture.size == (64, 48)


# The plugin folder of a user is told by XDG_DATA_HOME on Linux only.
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG folders are Linux's")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_an_interrupted_run_goes_on_where_it_stopped(
    segstudio, many_images, tiny_model, results, plugin_home, number
):
    home = plugin_home(number, 4 * 12 + 2)
    outcome = call("run", many_images, "-m", tiny_model, XDG_DATA_HOME=home)
    assert outcome.returncode == 130, outcome.stderr
    assert "Traceback" not in outcome.stderr
    before = results(many_images)
    assert 12 <= len(before) < 60
    assert f"Interrupted: {len(before)} of 60 predictions are done and kept" in outcome.stderr
    assert_finished_samples_are_whole(many_images, set(before))
    assert not list(many_images.rglob("*.segstudio-part"))

    again = segstudio("run", many_images, "-m", tiny_model)
    after = results(many_images)
    assert again.status == 0
    assert f"{len(before)} of them done before" in again.err
    assert len(after) == 60
    assert {key: after[key] for key in before} == before


@linux
def test_a_killed_run_goes_on_where_it_stopped(
    segstudio, many_images, tiny_model, results, plugin_home
):
    home = plugin_home(signal.SIGKILL, 4 * 12 + 2)
    outcome = call("run", many_images, "-m", tiny_model, XDG_DATA_HOME=home)
    assert outcome.returncode == -signal.SIGKILL
    before = results(many_images)
    # Two samples are written at a time, so the fiftieth file is of the 13th sample or the 14th.
    assert 11 <= len(before) <= 12
    # What counts as done has all of its files, and every PNG decodes, those of the samples that
    # were being written too.  How many of these there are is the threads' affair.
    pictures = list((many_images / ".segstudio").rglob("*.png"))
    assert 4 * len(before) <= len(pictures) <= 4 * 12 + 2
    assert_finished_samples_are_whole(many_images, set(before))
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()

    again = segstudio("evaluate", many_images, "-m", tiny_model, "--json")
    after = results(many_images)
    assert again.status == 0
    assert again.document()["samples"] == len(after) == 60
    assert {key: after[key] for key in before} == before
    assert_finished_samples_are_whole(many_images, set(after))


# -- disks --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB in memory; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


@linux
def test_a_disk_that_fills_up_and_one_that_is_read_only(
    segstudio, many_images, tiny_model, small_disk
):
    project = small_disk / "project"
    command = ("run", many_images, "-m", tiny_model, "--project", project)
    full = segstudio(*command)
    assert full.status == 2 and "Traceback" not in full.err
    (line,) = (line for line in full.err.splitlines() if line.startswith("segstudio: "))
    assert "free some space and try again" in line and str(project) in line
    with contextlib.closing(sqlite3.connect(project / "project.sqlite")) as connection:
        before = connection.execute("SELECT sample_id, finished FROM results").fetchall()
    assert 0 < len(before) < 60
    for path in (project / "runs").rglob("*.png"):
        with Image.open(path) as picture:
            picture.load()

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    locked = segstudio(*command)
    assert locked.status == 2 and "unexpected" not in locked.err
    assert "choose another folder" in locked.err.splitlines()[-1]
    store, note = open_store(project / "project.sqlite")
    assert note is not None and store.finished_count("tiny") == len(before)
    store.close()

    subprocess.run(["mount", "-o", "remount,rw,size=40m", str(small_disk)], check=True)
    again = segstudio(*command)
    assert again.status == 0, again.err
    with contextlib.closing(sqlite3.connect(project / "project.sqlite")) as connection:
        after = connection.execute("SELECT sample_id, finished FROM results").fetchall()
    assert len(after) == 60 and set(before) <= set(after)


# -- imports ----------------------------------------------------------------------------------

HEAVY = ("torch", "torchvision", "timm", "PySide6", "pyqtgraph", "qtawesome")
IMPORTS = """
import json, sys
from segstudio.__main__ import main
sys.argv = ["segstudio", *sys.argv[1:]]
status = main()
print(json.dumps([status, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported_by(*arguments: object) -> set[str]:
    """Return the top-level modules that a command has imported."""
    outcome = subprocess.run(
        [sys.executable, "-c", IMPORTS, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    status, modules = json.loads(outcome.stdout.splitlines()[-1])
    assert status == 0
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["list", "label-spaces"]],
    ids=" ".join,
)
def test_light_commands_import_neither_torch_nor_qt(arguments):
    assert not imported_by(*arguments) & set(HEAVY)


def test_list_formats_imports_neither_torch_nor_qt():
    assert not imported_by("list", "formats") & set(HEAVY)


def test_score_imports_neither_torch_nor_qt(dataset_folder):
    masks = dataset_folder / "masks"
    modules = imported_by("score", masks, masks, "--label-space", "camvid")
    assert "numpy" in modules
    assert not modules & set(HEAVY)


# -- the program's own entry ------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    outcome = call(tmp_path / "missing")
    assert outcome.returncode == 2
    (line,) = outcome.stderr.splitlines()
    assert str(tmp_path / "missing") in line


@linux
def test_without_a_display_a_folder_is_refused_in_one_sentence(dataset_folder):
    names = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": ""}
    outcome = call(dataset_folder, **names)
    assert outcome.returncode == 2
    (line,) = outcome.stderr.splitlines()
    assert "no display" in line
    assert outcome.stdout == ""


def test_json_is_all_there_is_on_stdout(dataset_folder, tiny_model):
    outcome = call("evaluate", dataset_folder, "-m", tiny_model, "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["samples"] == 6
    assert "6 images" in outcome.stderr


def test_a_reader_that_leaves_is_no_failed_sample():
    process = subprocess.Popen(
        [sys.executable, "-m", "segstudio", "list", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(TIMEOUT) == 141  # 128 + SIGPIPE, as a shell says it
    assert complaint == ""
