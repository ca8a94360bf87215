"""A file that is another one than before is noticed; one that only looks so is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segstudio.core.errors import UnreadableImageError
from segstudio.project.signature import look_again, sign_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one content")
    os.utime(path, ns=(10**18, 10**18))
    return path


def test_an_untouched_file_is_not_read_again(path: Path, monkeypatch) -> None:
    signature = sign_file(path)
    assert (signature.size, signature.mtime_ns, len(signature.digest)) == (11, 10**18, 64)
    monkeypatch.setattr(Path, "open", None)
    assert look_again(path, signature, 0.0) == (False, signature)


def test_the_same_content_under_another_time_has_not_changed(path: Path) -> None:
    signature = sign_file(path)
    os.utime(path, ns=(5, 5))
    changed, found = look_again(path, signature, 0.0)
    assert not changed and found == sign_file(path) != signature


def test_other_contents_have_changed(path: Path) -> None:
    signature = sign_file(path)
    path.write_bytes(b"two content")  # as long
    assert look_again(path, signature, 0.0) == (True, None)
    path.write_bytes(b"longer content")
    os.utime(path, ns=(10**18, 10**18))
    assert look_again(path, signature, 0.0) == (True, None)


def test_without_a_signature_time_decides(path: Path) -> None:
    assert look_again(path, None, 1e9 + 1) == (False, None)
    assert look_again(path, None, 1e9 - 1) == (True, None)


def test_a_file_that_is_gone_has_not_changed(path: Path) -> None:
    signature = sign_file(path)
    path.unlink()
    assert look_again(path, signature, 0.0) == (False, signature)
    assert look_again(path, None, 0.0) == (False, None)


def test_what_cannot_be_signed_is_one_sentence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"is a folder, not an image\.$"):
        sign_file(tmp_path)
    path.unlink()
    with pytest.raises(UnreadableImageError, match=r"a\.jpg does not exist\.$"):
        sign_file(path)
