from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine.content_hash import ContentHashes


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    expected = write(tmp_path / "file", content)
    assert ContentHashes(tmp_path / "memory.json").of(tmp_path / "file") == expected


def test_a_known_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write(tmp_path / "file", b"content")
    ContentHashes(tmp_path / "cache" / "memory.json").of(tmp_path / "file")
    monkeypatch.setattr(hashlib, "sha256", None)
    assert ContentHashes(tmp_path / "cache" / "memory.json").of(tmp_path / "file") == expected


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    hashes = ContentHashes(tmp_path / "memory.json")
    before = hashes.of((tmp_path / "file", write(tmp_path / "file", b"one"))[0])
    after = write(tmp_path / "file", b"other")
    assert hashes.of(tmp_path / "file") == after != before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a": 1}', b"\xff\xfe"])
def test_a_damaged_memory_costs_time_only(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "memory.json").write_bytes(damage)
    expected = write(tmp_path / "file", b"content")
    assert ContentHashes(tmp_path / "memory.json").of(tmp_path / "file") == expected


def test_a_memory_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "not-a-directory").write_text("")
    expected = write(tmp_path / "file", b"content")
    assert ContentHashes(tmp_path / "not-a-directory" / "memory.json").of(tmp_path / "file") == expected


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ContentHashes(tmp_path / "memory.json").of(tmp_path / "absent")
