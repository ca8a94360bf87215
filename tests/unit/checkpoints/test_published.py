"""Every published checkpoint of the manifests: one page claims it, and the catalogue agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from segstudio.architectures._base import ARCHITECTURES
from segstudio.checkpoints.catalogue import load_catalogue

_UNTOLD = {
    # Published for two sizes, and the tensors do not say which.
    "mmseg_segformer_mit-b5_ade20k-640",
    # Its first file was tested at another size.
    "mmseg_segmenter_vit-l_mask_ade20k",
}


@pytest.fixture(scope="module")
def manifests(shared: Path) -> list[Path]:
    found = sorted((shared.parent / "reference" / "manifests").glob("[a-z]*.json"))
    if not found:
        pytest.skip("there are no manifests beside the real data")
    return found


def test_the_catalogue_holds_every_manifest(manifests: list[Path]) -> None:
    names = {entry.name for entry in load_catalogue()}
    assert len(manifests) > 100
    assert {path.stem for path in manifests} <= names


def test_names_and_shapes_decide(manifests: list[Path]) -> None:
    entries = {entry.name: entry for entry in load_catalogue()}
    for path in manifests:
        manifest = json.loads(path.read_text())
        tensors = {
            name: torch.empty(shape, device="meta") for name, shape, _ in manifest["state_dict"]
        }
        claims = {
            name: claim
            for name, page in ARCHITECTURES.items()
            if (claim := page.recognise(tensors)) is not None
        }
        entry = entries[path.stem]
        assert list(claims) == [entry.architecture], path.stem
        claim = claims[entry.architecture]
        assert (claim.source, claim.classes) == (entry.source, entry.classes), path.stem
        if path.stem not in _UNTOLD:
            assert claim.preprocessing == entry.preprocessing, path.stem
