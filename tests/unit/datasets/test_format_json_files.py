"""Finding the arrays of a JSON file without parsing it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from segstudio.core.errors import UsageError
from segstudio.datasets import json_files
from segstudio.datasets.json_files import index_arrays, read_json


def value(source: random.Random, depth: int) -> Any:
    words = ["", 'quote"', "back\\", "\\\\", '\\"', "{[", "]}", "ü", "a\nb", '":[', ","]
    kind = source.randrange(6 if depth else 3)
    if kind < 3:
        return [source.choice(words), source.random(), None][kind]
    if kind == 3:
        return [value(source, depth - 1) for _ in range(source.randrange(4))]
    return {
        source.choice(words) + str(n): value(source, depth - 1) for n in range(source.randrange(4))
    }


@pytest.mark.parametrize("step", [1, 2, 4096])
@pytest.mark.parametrize("chunk", [1, 3, 17, 1 << 20])
def test_it_finds_what_a_parser_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, step: int
) -> None:
    monkeypatch.setattr(json_files, "_CHUNK", chunk)
    monkeypatch.setattr(json_files, "_STEP", step)
    source = random.Random(chunk)
    path = tmp_path / "x.json"
    for _ in range(40):
        arrays = {
            name: [{"id": n, "more": value(source, 3)} for n in range(source.randrange(4))]
            for name in ("images", "annotations")
        }
        document = {"info": value(source, 3), **arrays, "tail": value(source, 2)}
        path.write_text(json.dumps(document, indent=source.choice([None, 1])), encoding="utf-8")
        found = index_arrays(path)
        data = path.read_bytes()
        for name, expected in arrays.items():
            assert found.load(name) == expected
            span = found.arrays[name]
            places = zip(span.starts.tolist(), span.ends.tolist(), strict=True)
            assert [json.loads(data[start:end]) for start, end in places] == expected
        assert found.load("nothing") == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": [1, 2}', "line 1, column 12"),
        ('{"a": ["x\n]}', "character at line 1, column 10"),
        ('{\n"a": [],\n"b": [}', "line 3, column 7"),
        ("}{", "line 1, column 1"),
        ("[" * 200_000, "not"),
    ],
)
def test_broken_brackets_are_placed(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=place) as caught:
        index_arrays(path)
    assert str(path) in str(caught.value)


def test_a_mistake_inside_an_array_is_placed_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [],\n "b": [{"c": 1},\n  {"c": tru}]}')
    with pytest.raises(UsageError, match="line 3, column 9"):
        index_arrays(path).load("b")
    path.write_text('{"a": [], "b": [nul]}')
    with pytest.raises(UsageError, match="line 1, column 17"):
        index_arrays(path).load("b")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("")
    with pytest.raises(UsageError, match="is empty"):
        index_arrays(path)
    with pytest.raises(UsageError, match="cannot be read"):
        index_arrays(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_json(tmp_path / "nowhere.json")
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UsageError, match="no UTF-8 text"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match="not usable JSON"):
        read_json(path)
    with pytest.raises(UsageError, match="larger than"):
        read_json(path, 1000)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"a": 1}, {"a": 2}, {"a": 3}]', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('[ {"a": 1} ,\n{"a": 2}\n,{"a": 3} ]', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('[{"a": 1}, 7, {"a": 2}, "x"]', [{"a": 1}, 7, {"a": 2}, "x"]),
        ('[0, {"a": 1}, [{"b": 1}], {"a": 2}]', [0, {"a": 1}, [{"b": 1}], {"a": 2}]),
        ('[{"a": 1} {"a": 2}, {"a": 3}]', None),
        ('[{"a": 1}, {"a": 2},, {"a": 3}]', None),
        ('[{"a": 1}, {"a": 2}, {"a": 3},]', None),
        ('[{"a": 1}, {"a": }, {"a": 3}]', None),
    ],
)
@pytest.mark.parametrize("step", [1, 2])
def test_arrays_that_are_parsed_by_and_by_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: Any, step: int
) -> None:
    monkeypatch.setattr(json_files, "_STEP", step)
    path = tmp_path / "x.json"
    path.write_text(f'{{"x": {text}, "y": 1}}')
    if found is not None:
        assert index_arrays(path).load("x") == found
        return
    with pytest.raises(json.JSONDecodeError) as theirs:
        json.loads(path.read_text())
    with pytest.raises(UsageError, match=f"line 1, column {theirs.value.colno}"):
        index_arrays(path).load("x")
