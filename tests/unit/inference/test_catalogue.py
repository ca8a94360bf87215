"""Models told from their cards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segstudio.checkpoints.catalogue import entry_folder, find_entry
from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.inference import catalogue
from segstudio.inference.catalogue import (
    all_models,
    embedded_models,
    find_model,
    published_models,
    select_models,
)

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


def fetched(name: str, data: bytes = b"weights") -> Path:
    """Put a file where the download of a published model puts it."""
    entry = find_entry(name)
    path = entry_folder(entry) / entry.weights[0].name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def test_published_models_are_told_from_the_catalogue() -> None:
    models = {model.name: model for model in published_models()}
    pspnet = models["mmseg_pspnet_r101-d8_160k_ade20k"]
    assert not pspnet.embedded and not pspnet.on_disk and pspnet.measured_miou is None
    assert (pspnet.published_miou, pspnet.published_miou_ms) == (0.4439, 0.4535)
    assert pspnet.url is not None and pspnet.url.endswith("-967c316f.pth")
    assert (pspnet.architecture, pspnet.variant, pspnet.dataset) == ("pspnet", "R101-d8", "ADE20K")
    data = pspnet.to_json()
    assert json.loads(json.dumps(data)) == data and data["on_disk"] is False
    assert {"dataset", "published_miou_ms", "licence", "size"} <= data.keys()
    assert "44.39 % single scale, 45.35 % several scales" in pspnet.card
    slides = models["segm_seg-t-mask16_ade20k"].card
    assert "windows of 512 x 512, 480 apart" in slides and "MIT" in slides
    unscored = models["hf_segformer-b0-finetuned-cityscapes-512-1024"]
    assert unscored.published_miou is None and "not published" in unscored.card


def test_a_fetched_model_is_found_by_its_name() -> None:
    name = "mmseg_fcn_r50-d8_160k_ade20k"
    command = f"is not on this machine; fetch it with: segstudio download {name}."
    with pytest.raises(UnknownNameError) as caught:
        find_model(name)
    assert str(caught.value).endswith(command)
    path = fetched(name, bytes(1234))
    assert find_model(name) == path
    (model,) = (model for model in published_models() if model.on_disk)
    assert (model.name, model.path, model.size) == (name, path, 1234)
    # A model that consists of several files is the folder of them.
    folder = fetched("hf_upernet-swin-tiny").parent
    assert find_model("hf_upernet-swin-tiny") == folder


def test_a_near_name_is_offered_from_both_lists() -> None:
    with pytest.raises(UnknownNameError, match="did you mean tv_lraspp_mobilenet_v3_large"):
        find_model("lraspp_mobilenet_v3_large")


def test_select_models() -> None:
    fetched("tv_lraspp_mobilenet_v3_large")
    models = published_models()

    def names(**query: object) -> set[str]:
        return {model.name for model in select_models(models, **query)}  # type: ignore[arg-type]

    assert names() == {model.name for model in models}
    assert names(text="SEGMENTER  pascal") == {"segm_seg-l-mask16_pcontext"}
    assert names(text="no such words") == set()
    assert {find_entry(name).architecture for name in names(architecture="setr")} == {"setr"}
    assert len(names(architecture="setr", dataset="Cityscapes")) == 3
    assert names(dataset="ADE20K", minimum_miou=0.522) == {"hf_upernet-swin-large"}
    assert names(text="tv_", maximum_size=20_000_000) == {"tv_lraspp_mobilenet_v3_large"}
    assert names(on_disk=True) == {"tv_lraspp_mobilenet_v3_large"}
    assert names(on_disk=False) == names() - names(on_disk=True)
    # Without a published score ours counts, and without any a model cannot be said to reach it.
    enet = next(model for model in embedded_models() if model.name == "enet-camvid")
    assert select_models([enet], minimum_miou=0.5) == [enet]
    assert "hf_segformer-b0-finetuned-cityscapes-512-1024" not in names(minimum_miou=0.0)
    assert all_models() == [*embedded_models(), *models]


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys, segstudio.inference.catalogue as c; c.all_models(); "
        "assert not {'torch', 'numba', 'cv2', 'numpy'} & set(sys.modules), 'loaded'"
    )
    root = Path(catalogue.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "resource models is missing" in done.stderr, done.stderr
