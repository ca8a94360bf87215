"""The catalogue of published checkpoints: its entries agree with themselves and with the facts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segstudio.checkpoints import catalogue
from segstudio.checkpoints.catalogue import (
    PublishedFile,
    cache_folder,
    cached_path,
    entry_folder,
    entry_of_file,
    find_entry,
    load_catalogue,
)
from segstudio.core.errors import SegStudioError, UnknownNameError
from segstudio.core.label_space import load_label_space
from segstudio.core.preprocessing import Preprocessing

SOURCES = {"mmsegmentation": 75, "huggingface": 19, "segmenter": 9, "torchvision": 6}
ARCHITECTURES = {
    "deeplabv3",
    "deeplabv3plus",
    "fcn",
    "lraspp",
    "pspnet",
    "segformer",
    "segmenter",
    "setr",
    "unet",
    "upernet",
}


@pytest.fixture
def fresh() -> Iterator[None]:
    """Have the catalogue read anew in this test and after it."""
    for cached in (catalogue.load_catalogue, catalogue._owners):
        cached.cache_clear()
    yield
    for cached in (catalogue.load_catalogue, catalogue._owners):
        cached.cache_clear()


def test_every_published_checkpoint_is_there() -> None:
    entries = load_catalogue()
    counts = {source: sum(entry.source == source for entry in entries) for source in SOURCES}
    assert counts == SOURCES
    assert {entry.architecture for entry in entries} == ARCHITECTURES
    names = [entry.name for entry in entries]
    titles = [entry.title for entry in entries]
    assert names == sorted(set(names)) and len(set(titles)) == len(titles)
    urls = [file.url for entry in entries for file in entry.weights]
    assert len(set(urls)) == len(urls)
    assert all(url.startswith("https://") for url in urls)


def test_an_entry_agrees_with_itself() -> None:
    for entry in load_catalogue():
        assert len(load_label_space(entry.label_space)) == entry.classes, entry.name
        # The hash that the publishers work into their file names is the one that is checked.
        if entry.source in {"mmsegmentation", "torchvision"}:
            prefix = entry.weights[0].sha256_prefix
            assert prefix and Path(entry.weights[0].name).stem.endswith(f"-{prefix}"), entry.name
            assert not entry.beside and len(entry.weights) == 1
        # Four bytes a parameter and little else; auxiliary heads are left out of the parameters.
        assert 3.9 < entry.estimated_bytes / entry.parameters < 5.3, entry.name
        if entry.miou is not None and entry.miou_ms_flip is not None:
            assert 0 < entry.miou_ms_flip - entry.miou < 3, entry.name
        assert entry.miou is None or 15 < entry.miou < 85
        rule = entry.preprocessing
        assert all(50 < value < 130 for value in (*rule.mean, *rule.std)), entry.name
        assert (rule.window is None) == (rule.stride is None)
        if rule.window is not None and rule.stride is not None:
            assert rule.stride < rule.window
            assert rule.size is not None and min(rule.size) >= rule.window[0]


def test_facts_that_are_known_from_the_literature() -> None:
    plus = find_entry("mmseg_deeplabv3plus_r101-d8_160k_ade20k")
    assert (plus.title, plus.dataset) == ("DeepLabV3+ R101-d8, ADE20K, 160k", "ADE20K")
    assert (plus.miou, plus.miou_ms_flip, plus.licence) == (45.47, 46.35, "Apache-2.0")
    assert plus.weights[0].sha256_prefix == "38ed86bb"
    assert plus.preprocessing == Preprocessing(resize="keep-ratio", size=(2048, 512))

    # torchvision counts 35,322,218 parameters; 2,372,629 of them are the auxiliary head's.
    fcn = find_entry("tv_fcn_resnet50")
    assert fcn.parameters == 35_322_218 - (1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21)
    assert math.isclose(fcn.estimated_bytes, 135.009 * 2**20, rel_tol=1e-6)
    assert (fcn.label_space, fcn.licence, fcn.miou_ms_flip) == ("voc", "BSD-3-Clause", None)
    assert fcn.preprocessing.resize == "short-side" and fcn.preprocessing.antialias

    segformer = find_entry("hf_segformer-b0-finetuned-ade-512-512")
    assert segformer.parameters == 3_752_694 and segformer.miou == 37.4
    assert [file.name for file in segformer.weights] == ["model.safetensors", "pytorch_model.bin"]
    assert [file.name for file in segformer.beside] == ["config.json", "preprocessor_config.json"]
    assert "non-commercial" in segformer.licence
    assert not segformer.preprocessing.upsample_to_input
    upernet = find_entry("hf_upernet-swin-tiny")
    assert upernet.licence == "MIT" and upernet.preprocessing.upsample_to_input
    assert upernet.parameters == find_entry("mmseg_upernet_swin-t_in1k_ade20k").parameters

    setr = find_entry("mmseg_setr_vit-l_pup_cityscapes").preprocessing
    assert (setr.size, setr.window, setr.stride) == ((2049, 1025), (768, 768), (512, 512))
    context = find_entry("segm_seg-l-mask16_pcontext")
    assert (context.label_space, context.classes, context.licence) == ("pascal_context", 60, "MIT")
    assert context.preprocessing.mean == (127.5, 127.5, 127.5)
    assert context.preprocessing.fill_window and context.preprocessing.window == (480, 480)
    assert context.beside[0].name == "variant.yml"


def test_alternatives_have_telling_names() -> None:
    old = find_entry("mmseg_segformer_mit-b0_ade20k-512")
    new = find_entry("mmseg_segformer_mit-b0_ade20k-512_2022")
    assert (old.miou, new.miou) == (37.41, 37.85)
    assert old.preprocessing == new.preprocessing and "2022" in new.title
    assert find_entry("mmseg_fcn_m-v2-d8_cityscapes_2020").miou == 61.54
    assert find_entry("mmseg_segmenter_vit-l_mask_ade20k_640x640").miou == 51.65


def test_pascal_context_has_background_first() -> None:
    space = load_label_space("pascal_context")
    assert len(space) == 60
    assert (space.names[0], space.names[1], space.names[59]) == ("background", "aeroplane", "wood")
    assert [entry.source_id for entry in space.classes] == list(range(60))
    assert space.colors[3] == (80, 50, 50) and space.ignore_ids == (255,)


def test_unknown_names_are_met_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean tv_fcn_resnet50"):
        find_entry("tv_fcn_resnet5")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: "{", "Expecting"),
        (lambda data: json.dumps([]), "list indices"),
        (lambda data: json.dumps({**data, "entries": [{}]}), "no 'name'"),
        (lambda data: _with(data, name="../x"), "is no name"),
        (lambda data: _with(data, weights=[]), "has no file"),
        (lambda data: _with(data, weights=[{"url": "file:///etc/passwd"}]), "not an http address"),
        (lambda data: _with(data, weights=[{"url": "https://a.b/.."}]), "not end in a file name"),
        (lambda data: _with(data, weights=[{"url": "https://a.b/c", "sha256_prefix": "x"}]), "SHA"),
        (lambda data: _with(data, classes="many"), "classes is 'many'"),
        (lambda data: _with(data, miou=0.5e3), "miou is 500"),
        (lambda data: json.dumps({**data, "entries": data["entries"] * 2}), "stands there twice"),
    ],
)
def test_a_damaged_catalogue_is_named(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage, words: str
) -> None:
    original = json.loads(catalogue.resource_path("catalogue", "torchvision.json").read_text())
    path = tmp_path / "catalogue" / "broken.json"
    path.parent.mkdir()
    path.write_text(damage(original))
    monkeypatch.setattr(catalogue, "resource_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(SegStudioError) as caught:
        load_catalogue()
    sentence = str(caught.value)
    assert str(path) in sentence and words in sentence
    assert sentence.endswith("please install SegStudio again.")


def _with(data: dict, **changes: object) -> str:
    return json.dumps({**data, "entries": [{**data["entries"][0], **changes}]})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("deeplabv3_resnet50_coco-cd0a2569.pth", "tv_deeplabv3_resnet50"),
        ("elsewhere/seg_tiny_mask/checkpoint.pth", "segm_seg-t-mask16_ade20k"),
        ("cityscapes/seg_large_mask/checkpoint.pth", "segm_seg-l-mask16_cityscapes"),
        ("pascal_context/seg_large_mask", "segm_seg-l-mask16_pcontext"),
        ("seg_large_mask/checkpoint.pth", None),  # published for two data sets
        ("upernet-swin-tiny/model.safetensors", "hf_upernet-swin-tiny"),
        ("upernet-swin-tiny/pytorch_model.bin", "hf_upernet-swin-tiny"),
        ("upernet-swin-tiny/other.bin", None),
        (
            "models--openmmlab--upernet-swin-tiny/snapshots/0a1b/model.safetensors",
            "hf_upernet-swin-tiny",
        ),
        ("models--openmmlab--upernet-swin-tiny/snapshots/0a1b", "hf_upernet-swin-tiny"),
        ("hf_upernet-swin-base", "hf_upernet-swin-base"),
        ("somewhere/model.safetensors", None),
        ("checkpoint.pth", None),
        ("mine.pth", None),
    ],
)
def test_a_file_is_known_by_its_published_name(tmp_path: Path, path: str, name: str | None) -> None:
    found = entry_of_file(tmp_path / path)
    assert (None if found is None else found.name) == name


def test_what_is_in_the_cache_folder_is_found() -> None:
    for name in ("segm_seg-l-mask16_pcontext", "tv_fcn_resnet50"):
        entry = find_entry(name)
        assert cached_path(entry) is None
        folder = entry_folder(entry)
        assert folder == cache_folder() / name
        folder.mkdir(parents=True)
        file = folder / entry.weights[0].name
        file.with_name(f"{file.name}.part").touch()
        assert cached_path(entry) is None
        file.touch()
        # The folder where other files say more, the file where there are none.
        assert cached_path(entry) == (folder if entry.beside else file)
        assert entry_of_file(file) == entry_of_file(folder) == entry


def test_the_cache_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = cache_folder()
    monkeypatch.setenv("SEGSTUDIO_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "checkpoints" != usual
    monkeypatch.setenv("SEGSTUDIO_CACHE", "")
    assert cache_folder() == usual


def test_a_published_file_is_called_as_its_address_ends() -> None:
    assert PublishedFile("https://a.invalid/b/net.pth?download=1").name == "net.pth"


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys, segstudio.checkpoints.catalogue as c; assert c.load_catalogue(); "
        "assert not {'torch', 'numpy', 'cv2', 'safetensors'} & set(sys.modules), 'loaded'"
    )
    root = Path(catalogue.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
