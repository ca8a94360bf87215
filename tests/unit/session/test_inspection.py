"""The facts of a checkpoint and the words made of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import NotACheckpointError
from segstudio.session.inspection import (
    checkpoint_facts,
    describe,
    facts_card,
    fit_problem,
    holds_checkpoint,
    shorten_facts,
)


@pytest.fixture
def part(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model without nine of its tensors, with one too many and one of another shape."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tiny_model, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    means = [name for name in tensors if name.endswith("running_mean")]
    for name in means[2:11]:
        del tensors[name]
    tensors[means[12]] = torch.zeros(3)
    tensors["extra.weight"] = torch.zeros(2)
    path = tmp_path / "part.safetensors"
    save_file(tensors, path, metadata=metadata)
    return path


def test_facts_of_a_whole_checkpoint(tiny_model: Path) -> None:
    facts = checkpoint_facts(tiny_model)
    assert facts["fits"] and facts["filled"] == facts["tensors"] > 100
    assert (facts["title"], facts["classes"], facts["label_space"]) == ("ENet", 11, "camvid")
    assert facts["bytes"] == tiny_model.stat().st_size
    assert fit_problem(facts) is None
    assert json.loads(json.dumps(facts)) == facts
    assert describe(facts) == "ENet, 11 classes of CamVid, 360 k parameters · SegStudio"
    card = facts_card(facts)
    assert f"all {facts['tensors']} filled" in card and "Sky" in card and "partly" not in card


def test_a_checkpoint_that_fits_partly_is_reported_and_not_refused(part: Path) -> None:
    facts = checkpoint_facts(part)
    assert not facts["fits"]
    assert (len(facts["missing"]), len(facts["unexpected"]), len(facts["misshapen"])) == (9, 1, 1)
    assert facts["filled"] == facts["tensors"] - 10
    sentence = fit_problem(facts)
    assert sentence == (
        f"part.safetensors looks like ENet but fits only partly: {facts['filled']} of "
        f"{facts['tensors']} tensors are filled (9 missing, 1 of another shape, 1 unexpected)."
    )
    card = facts_card(facts)
    assert "**9 missing:**" in card and "and 1 more" in card and "`extra.weight`" in card
    assert "What to do" in card and "variant" in card and "--json" in card


def test_an_incomplete_file_is_to_be_fetched_again(part: Path) -> None:
    facts = checkpoint_facts(part) | {"unexpected": [], "misshapen": []}
    assert "incomplete" in facts_card(facts)


def test_short_facts_say_the_same(part: Path) -> None:
    facts = checkpoint_facts(part)
    short = shorten_facts(facts)
    assert len(short["missing"]) == 8 and short["counts"]["missing"] == 9
    assert len(json.dumps(short)) < 3000
    assert facts_card(short) == facts_card(facts)
    assert fit_problem(short) == fit_problem(facts) and describe(short) == describe(facts)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"variant": "b0", "title": "SegFormer"}, "SegFormer B0, 11 classes of CamVid"),
        ({"variant": "backbone=r50, head=x", "title": "FCN"}, "FCN r50, 11 classes of CamVid"),
        ({"label_space_title": None}, "ENet, 11 classes, 360 k"),
        ({"parameters": None, "source": "onnx"}, "ENet, 11 classes of CamVid · onnx"),
        ({"parameters": 3_753_718}, "3.8 M parameters"),
    ],
)
def test_one_line(tiny_model: Path, changes: dict, line: str) -> None:
    assert line in describe(checkpoint_facts(tiny_model) | changes)


def test_auxiliary_heads_and_windows_stand_on_the_card(tiny_model: Path) -> None:
    facts = checkpoint_facts(tiny_model)
    test = facts["test"] | {"window": [512, 512], "stride": [341, 341], "size": [2048, 512]}
    card = facts_card(facts | {"unused": ["aux_head.weight"], "test": test, "class_names": []})
    assert "1 tensors of heads that only help the training" in card
    assert "windows of 512 x 512, 341 apart" in card
    assert "nothing says which" in card


def test_what_is_no_checkpoint_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"")
    with pytest.raises(NotACheckpointError, match="empty file"):
        checkpoint_facts(path)


def test_a_models_folder_is_told_from_a_datasets(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert not holds_checkpoint(folder)
    (folder / "model.safetensors").touch()
    (folder / "config.json").write_text("{}")
    assert holds_checkpoint(folder)
    cv2.imwrite(str(folder / "0.png"), np.zeros((4, 4, 3), np.uint8))
    assert not holds_checkpoint(folder), "images make it a dataset"
    assert not holds_checkpoint(tmp_path / "nowhere")


def test_words_need_no_torch() -> None:
    code = "import sys, segstudio.session.inspection; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
