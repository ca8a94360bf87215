"""The three doors for plugins, and that a broken one harms nobody."""

from __future__ import annotations

import csv
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.checkpoints.readers import READERS
from segstudio.core import registry as registry_module
from segstudio.core.errors import LabelValueError, UsageError
from segstudio.core.label_space import load_label_space
from segstudio.core.registry import all_registries
from segstudio.core.resources import bundled_plugins
from segstudio.core.types import Sample
from segstudio.exporters.base import EXPORTERS, Exporter, ExportItem
from segstudio.session import plugins
from segstudio.session.plugins import PluginInfo, load_plugins

GOOD = '''
"""Writes nothing, politely.

More about it.
"""
from segstudio.api import EXPORTERS, Exporter

SEGSTUDIO_API = 1

@EXPORTERS.register("polite")
class Polite(Exporter):
    description = "Nothing."
    def write(self, items, destination, **_):
        return []
'''


@pytest.fixture(autouse=True)
def _fresh_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put registries, loaded modules and the list of plugins back as they were."""
    EXPORTERS.load()
    READERS.load()
    monkeypatch.setattr(plugins, "_loaded", None)
    monkeypatch.setattr(registry_module, "_ALL", dict(registry_module._ALL))
    kept = {
        name: (dict(entry._entries), dict(entry._origins), entry._walked)
        for name, entry in all_registries().items()
    }
    modules = set(sys.modules)
    yield
    for name, (entries, origins, walked) in kept.items():
        entry = all_registries()[name]
        entry._entries, entry._origins, entry._walked = entries, origins, walked
    for name in set(sys.modules) - modules:
        if name.startswith(("segstudio_plugins.", "foreign_")):
            del sys.modules[name]


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def load(folder: Path) -> dict[str, PluginInfo]:
    return {info.name: info for info in load_plugins(folders=[folder], reload=True)}


def test_a_loose_file_is_loaded_and_says_what_it_entered(tmp_path: Path) -> None:
    path = put(tmp_path, "nice.py", GOOD)
    put(tmp_path, "_helper.py", "raise RuntimeError('files with an underscore are left alone')")
    put(tmp_path, "notes.txt", "not a plugin")
    found = load(tmp_path)
    assert set(found) == {"nice"}
    assert found["nice"] == PluginInfo(
        "nice", str(path), "Writes nothing, politely.", ("exporter polite",), None
    )
    assert (
        EXPORTERS.get("polite").__module__
        == EXPORTERS.origin("polite")
        == ("segstudio_plugins.nice")
    )


def test_plugins_are_loaded_once(tmp_path: Path) -> None:
    put(tmp_path, "nice.py", GOOD)
    first = load_plugins(folders=[tmp_path])
    put(tmp_path, "late.py", GOOD.replace("polite", "late"))
    assert load_plugins(folders=[tmp_path]) is first


def test_a_missing_folder_is_no_problem(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing") == {}


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("raise ValueError('out of order')", "ValueError: out of order."),
        ("import segstudio_no_such_library", "ModuleNotFoundError: No module named"),
        ("def broken(:", "SyntaxError: "),
    ],
)
def test_a_broken_plugin_is_reported_rolled_back_and_the_rest_goes_on(
    tmp_path: Path, ending: str, reason: str
) -> None:
    path = put(tmp_path, "a_broken.py", GOOD.replace("polite", "half") + ending)
    put(tmp_path, "b_nice.py", GOOD)
    found = load(tmp_path)
    error = found["a_broken"].error
    assert error is not None and error.endswith(".") and not error.endswith("..")
    assert error.startswith(f"The plugin a_broken ({path}) was not loaded: ") and reason in error
    assert found["a_broken"].registered == ()
    assert "half" not in EXPORTERS and "segstudio_plugins.a_broken" not in sys.modules
    assert found["b_nice"].error is None and "polite" in EXPORTERS


def test_a_duplicate_of_a_built_in_is_refused_naming_both(tmp_path: Path) -> None:
    put(tmp_path, "thief.py", GOOD.replace("polite", "index-png"))
    before = EXPORTERS.get("index-png")
    error = load(tmp_path)["thief"].error
    assert error is not None
    assert "segstudio_plugins.thief" in error
    assert "segstudio.exporters.formats.index_png" in error
    assert EXPORTERS.get("index-png") is before


def test_the_second_plugin_of_a_name_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "one.py", GOOD)
    put(tmp_path, "two.py", GOOD)
    found = load(tmp_path)
    assert found["one"].error is None
    assert found["two"].error is not None and "segstudio_plugins.one" in found["two"].error
    assert EXPORTERS.origin("polite") == "segstudio_plugins.one"


def test_another_api_is_refused_and_rolled_back(tmp_path: Path) -> None:
    put(tmp_path, "future.py", GOOD.replace("SEGSTUDIO_API = 1", "SEGSTUDIO_API = 99"))
    error = load(tmp_path)["future"].error
    assert error is not None and "written for API 99, this is API 1" in error
    assert "polite" not in EXPORTERS


def test_an_entry_point_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "foreign_good.py", GOOD)
    put(tmp_path, "foreign_bad.py", GOOD.replace("polite", "rude") + "raise OSError('no')")
    info = tmp_path / "foreign-1.0.dist-info"
    put(info, "METADATA", "Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    put(info, "entry_points.txt", "[segstudio.plugins]\ngood = foreign_good\nbad = foreign_bad\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = load(tmp_path / "no-loose-files")
    assert found["good"].origin == "foreign" and found["good"].error is None
    assert found["good"].registered == ("exporter polite",)
    assert found["bad"].error is not None and "OSError: no" in found["bad"].error
    assert "rude" not in EXPORTERS and "polite" in EXPORTERS


def run_python(code: str, *arguments: str) -> str:
    """Run code in a process of its own, where no registry was walked yet."""
    root = Path(plugins.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ARCHITECTURE = '''
"""A network of one convolution."""
from dataclasses import dataclass
from segstudio.api import ARCHITECTURES, SegmentationNetwork

@ARCHITECTURES.register("NAME")
class Tiny(SegmentationNetwork):
    @dataclass(frozen=True)
    class Options:
        pass
    def forward(self, image):
        return image
    @classmethod
    def recognise(cls, state_dict):
        return None
'''

LOAD = """
import sys
from pathlib import Path
from segstudio.session.plugins import load_plugins
assert "torch" not in sys.modules
for info in load_plugins(folders=[Path(sys.argv[1])]):
    print(info.name, info.registered, info.error)
from segstudio.api import ARCHITECTURES
print(sorted(ARCHITECTURES.names()), ARCHITECTURES.origin("enet"))
"""


def test_an_architecture_from_a_plugin_that_comes_before_any_look_up(tmp_path: Path) -> None:
    put(tmp_path, "a_tiny.py", ARCHITECTURE.replace("NAME", "tiny"))
    put(tmp_path, "b_thief.py", ARCHITECTURE.replace("NAME", "enet"))
    tiny, thief, names = run_python(LOAD, str(tmp_path)).splitlines()
    assert tiny == "a_tiny ('architecture tiny',) None"
    assert "segstudio_plugins.b_thief" in thief and "segstudio.architectures.enet" in thief
    assert "'tiny'" in names and names.endswith(" segstudio.architectures.enet")


# -- the plugin that comes with SegStudio ---------------------------------------------------------


@pytest.fixture
def exporter() -> Exporter:
    folder = bundled_plugins()
    assert folder is not None
    found = load(folder)
    assert {info.error for info in found.values()} == {None}
    assert found["class_shares"].registered == ("exporter class-shares",)
    assert found["class_shares"].description.endswith("CSV table.")
    return EXPORTERS.get("class-shares")()


def item(name: str, label_map: Any) -> ExportItem:
    array = np.asarray(label_map, np.uint8)
    sample = Sample(name, Path("/data") / name)
    return ExportItem(sample, lambda: array, lambda: np.zeros((*array.shape, 3), np.uint8))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_class_shares_are_those_of_a_hand_made_map(exporter: Exporter, tmp_path: Path) -> None:
    space = load_label_space("camvid")
    items = [item("a/1.jpg", [[0, 0, 3, 255]]), item("b.png", [[1, 1], [1, 1]])]
    done: list[str] = []
    paths = exporter.write(
        items,
        tmp_path / "out",
        label_space=space,
        on_written=lambda entry: done.append(entry.sample.sample_id),
    )
    assert paths == [tmp_path / "out" / "class_shares.csv"] and done == ["a/1.jpg", "b.png"]
    first, second = rows(paths[0])
    assert list(first) == ["sample", *space.names, "(ignored)"]
    assert first["sample"] == "a/1.jpg"
    wanted = {space.names[0]: 0.5, space.names[3]: 0.25, "(ignored)": 0.25}
    for name in [*space.names, "(ignored)"]:
        assert float(first[name]) == wanted.get(name, 0.0)
    assert float(second[space.names[1]]) == 1.0


def test_class_shares_as_numbers_of_pixels(exporter: Exporter, tmp_path: Path) -> None:
    space = load_label_space("camvid")
    options = exporter.Options(pixels=True)
    label_map = np.random.default_rng(0).integers(0, len(space), (17, 23))
    (path,) = exporter.write(
        [item("a.png", label_map)], tmp_path, label_space=space, options=options
    )
    (row,) = rows(path)
    found = [int(row[name]) for name in space.names]
    assert found == [int((label_map == index).sum()) for index in range(len(space))]


def test_class_shares_leave_a_bad_map_out_and_respect_what_is_there(
    exporter: Exporter, tmp_path: Path
) -> None:
    space = load_label_space("camvid")
    items = [item("good.png", [[0]]), item("bad.png", [[77]])]
    failed: list[str] = []
    (path,) = exporter.write(
        items,
        tmp_path,
        label_space=space,
        on_failed=lambda entry, error: failed.append(f"{type(error).__name__}: {error}"),
    )
    assert [row["sample"] for row in rows(path)] == ["good.png"]
    assert len(failed) == 1 and "bad.png" in failed[0]
    with pytest.raises(LabelValueError, match=r"bad\.png"):
        exporter.write(items, tmp_path / "other", label_space=space)
    assert not (tmp_path / "other").exists()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        exporter.write(items[:1], tmp_path, label_space=space)
    path.write_bytes(b"mine")
    assert exporter.write(items[:1], tmp_path, label_space=space, existing="keep") == [path]
    assert path.read_bytes() == b"mine"
    exporter.write(items[:1], tmp_path, label_space=space, existing="replace")
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["class_shares.csv"]
