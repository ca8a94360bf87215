"""Models told from their cards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.inference import catalogue
from segstudio.inference.catalogue import embedded_models, find_model

FACTS = {
    "title": "ENet on CamVid",
    "architecture": "enet",
    "label_space": "camvid",
    "measured_miou": 0.52,
    "parameters": 350_000,
}


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that embeds a model in an otherwise empty catalogue."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(catalogue, "resource_path", lambda *parts: tmp_path.joinpath(*parts))

    def write(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        path.write_bytes(b"weights are not opened")
        path.with_suffix(".json").write_text(json.dumps(FACTS))
        path.with_suffix(".md").write_text(f"# {name}\n", encoding="utf-8")
        return path

    return write


def test_models_are_told_from_their_cards(put: Callable[[str], Path]) -> None:
    path = put("enet-camvid")
    put("another")
    another, enet = embedded_models()
    assert (another.name, enet.name, enet.path) == ("another", "enet-camvid", path)
    assert enet.embedded and enet.card == "# enet-camvid\n" and enet.measured_miou == 0.52
    data = enet.to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["on_disk"] is True and data["parameters"] == 350_000


def test_a_name_a_path_or_a_sentence(put: Callable[[str], Path], tmp_path: Path) -> None:
    path = put("enet-camvid")
    assert find_model("enet-camvid") == path
    other = tmp_path / "enet-camvid.pth"
    other.touch()
    assert find_model(str(other)) == find_model(other) == other
    with pytest.raises(UnknownNameError, match="'enet-camvit': did you mean enet-camvid"):
        find_model("enet-camvit")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"title": "x"}'])
def test_a_damaged_card_is_named(put: Callable[[str], Path], damage: str) -> None:
    card = put("enet-camvid").with_suffix(".json")
    card.write_text(damage)
    with pytest.raises(SegStudioError, match="install SegStudio again") as caught:
        embedded_models()
    assert str(card) in str(caught.value)


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys, segstudio.inference.catalogue as c; c.embedded_models(); "
        "assert not {'torch', 'numba', 'cv2'} & set(sys.modules), 'loaded'"
    )
    root = Path(catalogue.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "resource models is missing" in done.stderr, done.stderr
