"""Label mappings: shipped ones, the user's own, suggestions, and what a project uses."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from segstudio.core.errors import UnknownNameError, UsageError
from segstudio.core.label_space import (
    LabelMapping,
    LabelSpace,
    load_label_space,
    load_mapping,
    mapping_names,
)
from segstudio.project.store import Store
from segstudio.session.mappings import (
    MappingDocument,
    ProjectMappings,
    check_mapping,
    find_mapping,
    known_mappings,
    mappings_folder,
    save_mapping,
    suggest_classes,
    unmapped_classes,
    user_mapping_names,
)

PETS = LabelSpace.from_json({"name": "pets", "classes": ["cat", "dogs", "dining table", "ufo"]})
HOME = LabelSpace.from_json({"name": "home", "classes": ["animal", "Dog;hound", "table"]})
MINE = MappingDocument(
    LabelMapping("pets-to-home", "pets", "home", (("cat", ("animal", "Dog;hound")), ("ufo", ()))),
    "Few.",
    "Decided for a test.",
)


@pytest.mark.parametrize("name", mapping_names())
def test_shipped_mappings_survive_the_round_trip(name: str) -> None:
    document = find_mapping(name)
    assert document.mapping == load_mapping(name) and document.description
    again = MappingDocument.from_json(json.loads(json.dumps(document.to_json())), name)
    assert again.to_json() == document.to_json()
    wanted = {key: value for key, value in document.mapping.pairs if value}
    assert dict(again.mapping.pairs) == wanted, "unmapped classes need no line"


def test_a_users_mapping_is_found_by_name() -> None:
    assert user_mapping_names() == []
    path = save_mapping(MINE)
    assert path == mappings_folder() / "pets-to-home.json"
    assert user_mapping_names() == ["pets-to-home"]
    found = find_mapping("pets-to-home")
    assert found.mapping.pairs == (("cat", ("animal", "Dog;hound")),)
    assert (found.description, found.provenance) == ("Few.", "Decided for a test.")
    assert find_mapping(path).to_json() == found.to_json()
    assert [entry.mapping.name for entry in known_mappings(("home", "pets"))] == ["pets-to-home"]
    path.write_text("{")
    assert known_mappings(("home", "pets")) == []
    with pytest.raises(UsageError, match="cannot be read as a label mapping"):
        find_mapping("pets-to-home")


def test_names_that_cannot_be_taken() -> None:
    for name, words in (
        ("coco-to-camvid", "comes with SegStudio"),
        ("../evil", "cannot be called"),
        ("", "cannot be called"),
    ):
        mapping = LabelMapping(name, "pets", "home", MINE.mapping.pairs)
        with pytest.raises(UsageError, match=words):
            save_mapping(MappingDocument(mapping))
    with pytest.raises(UnknownNameError, match="coco-to-camvid"):
        find_mapping("coco-to-camvit")


def test_the_command_line_knows_a_users_mapping(tmp_path: Path) -> None:
    from segstudio.cli.common import read_mapping

    save_mapping(MINE)
    assert read_mapping("pets-to-home") == find_mapping("pets-to-home").mapping
    assert read_mapping(None) is None


def test_suggestions_say_why() -> None:
    found = suggest_classes(PETS, HOME)
    assert {name: (idea.classes, idea.reason) for name, idea in found.items()} == {
        "dogs": (("Dog;hound",), "same name"),
        "dining table": (("table",), "part of the name"),
    }
    save_mapping(MINE)
    assert suggest_classes(PETS, HOME)["cat"].reason == "as in pets-to-home"
    assert suggest_classes(PETS, HOME)["cat"].classes == ("animal", "Dog;hound")
    reviewed = suggest_classes(load_label_space("coco"), load_label_space("ade20k"))
    assert reviewed["sheep"].classes[0].startswith("animal")
    space = LabelSpace.from_json({"name": "x", "classes": ["hound"]})
    assert suggest_classes(space, HOME)["hound"].reason == "synonym"


def test_a_mapping_that_maps_nothing_is_one_sentence() -> None:
    check_mapping(MINE.mapping, PETS, HOME)
    assert unmapped_classes(MINE.mapping, PETS, HOME) == ("dogs", "dining table", "ufo")
    nothing = LabelMapping("void", "pets", "home", (("cat", ()),))
    with pytest.raises(UsageError, match="leads every class of pets to ignore"):
        check_mapping(nothing, PETS, HOME)
    with pytest.raises(UsageError, match="not from home to pets"):
        check_mapping(MINE.mapping, HOME, PETS)


def test_a_project_remembers_its_mapping_in_either_direction(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "p.sqlite")) as store:
        assert ProjectMappings(store)(PETS, HOME) is None
        ProjectMappings(store).choose(MINE)
    with closing(Store(tmp_path / "p.sqlite")) as store:
        chosen = ProjectMappings(store)
        for ends in ((PETS, HOME), (HOME, PETS)):
            mapping = chosen(*ends)
            assert mapping is not None and mapping.name == "pets-to-home"
        assert chosen.get("pets", "home").provenance == "Decided for a test."
        assert chosen(PETS, PETS) is None
