"""Registries: discovery, refusal of duplicates, and sentences for wrong names."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segstudio.core import registry as registry_module
from segstudio.core.errors import PluginError, SegStudioError, UnknownNameError
from segstudio.core.registry import Registry, all_registries, did_you_mean

MakePackage = Callable[..., str]


@pytest.fixture(autouse=True)
def _private_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_ALL", {})


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePackage]:
    """Return a function that writes an importable package of modules."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def make(name: str, **modules: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(text))
        made.append(name)
        return name

    yield make
    for name in [entry for entry in sys.modules if entry.split(".")[0] in made]:
        del sys.modules[name]


ENTRY = """
from segstudio.core.registry import all_registries
@all_registries()["thing"].register("{name}")
class Entry:
    pass
"""


def test_the_package_is_walked_at_the_first_look_up_only(make_package: MakePackage) -> None:
    package = make_package(
        "walked",
        beta=ENTRY.format(name="beta"),
        alpha=ENTRY.format(name="alpha"),
        _private="raise RuntimeError('modules with an underscore are not walked')",
    )
    things: Registry[type] = Registry("thing", package)
    assert "walked.alpha" not in sys.modules
    assert things.names() == ["alpha", "beta"] == list(things)
    assert [name for name, _ in things.items()] == ["alpha", "beta"]
    assert things.get("alpha").__module__ == "walked.alpha" == things.origin("alpha")
    assert things.get("alpha").name == "alpha"
    assert "beta" in things and "gamma" not in things
    assert all_registries() == {"thing": things}


def test_a_package_that_registers_nothing_is_a_broken_installation(
    make_package: MakePackage,
) -> None:
    things: Registry[type] = Registry("thing", make_package("barren", other="value = 1"))
    for _ in range(2):  # and it stays one: an empty list never passes for an answer
        with pytest.raises(SegStudioError, match=r"No thing is registered by barren.*incomplete"):
            things.names()


def test_a_built_in_that_fails_is_tried_again(make_package: MakePackage, tmp_path: Path) -> None:
    things: Registry[type] = Registry("thing", make_package("shaky", one="raise OSError('busy')"))
    with pytest.raises(OSError, match="busy"):
        things.names()
    (tmp_path / "shaky" / "one.py").write_text(ENTRY.format(name="one") + "# longer than before\n")
    assert things.names() == ["one"]


def test_a_duplicate_names_both_modules(make_package: MakePackage) -> None:
    things: Registry[type] = Registry("thing", make_package("single", one=ENTRY.format(name="one")))
    first = things.get("one")
    with pytest.raises(PluginError) as caught:
        things.register("one")(type("Other", (), {"__module__": "stranger"}))
    message = str(caught.value)
    assert "'one'" in message and "stranger" in message and "single.one" in message
    assert things.get("one") is first


def test_a_wrong_name_gets_the_nearest_ones(make_package: MakePackage) -> None:
    modules = {name: ENTRY.format(name=name) for name in ("segformer", "unet", "enet")}
    things: Registry[type] = Registry("thing", make_package("several", **modules))
    with pytest.raises(UnknownNameError, match=r"no thing 'segfromer': did you mean segformer\?"):
        things.get("segfromer")
    with pytest.raises(UnknownNameError, match=r"known are enet, segformer, unet\."):
        things.get("zzzz")


def test_did_you_mean_knows_a_part_of_a_long_name() -> None:
    known = ["tv_lraspp_mobilenet_v3_large", "tv_fcn_resnet50", "mmseg_setr_vit-l_pup_cityscapes"]
    assert did_you_mean("tv_LR", known) == "did you mean tv_lraspp_mobilenet_v3_large?"
    assert did_you_mean("zzz", known).startswith("known are ")


def test_did_you_mean_lists_a_few_of_many() -> None:
    many = [f"name{index:03}" for index in range(50)]
    assert did_you_mean("???", many).endswith("name011, ....")
    assert did_you_mean("x", []) == "none is known."


def test_foreign_entries_can_be_withdrawn(make_package: MakePackage) -> None:
    things: Registry[type] = Registry("thing", make_package("own", one=ENTRY.format(name="one")))
    things.load()
    guest = type("Guest", (), {"__module__": "guest"})
    things.register("guest")(guest)
    assert things.foreign_names() == {"guest"}
    assert things.withdraw({"guest"}) == {"guest": guest}
    assert things.names() == ["one"] and things.foreign_names() == set()
    things.register("guest")(guest)
    assert "guest" in things
