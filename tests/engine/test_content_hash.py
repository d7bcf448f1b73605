from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes, unread_files_told
from engine.artifact.unread_files import UnreadFiles
from engine.host.file_memory import file_identity
from protocol.errors import InvalidModel
from tests.support.changed_files import CHANGES, Change


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


def test_a_large_file_that_is_not_known_is_told_of_where_there_is_no_time(tmp_path: Path) -> None:
    hashes, path = ContentHashes(tmp_path / "memory.json"), tmp_path / "large"
    path.write_bytes(b"")
    os.truncate(path, 65 << 20)
    with unread_files_told(), pytest.raises(UnreadFiles) as unread:
        hashes.of(path)
    unread.value.read()
    with unread_files_told():
        assert hashes.of(path) == hashes.known(path)
    write(tmp_path / "small", b"content")
    with unread_files_told():
        hashes.of(tmp_path / "small")


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


def test_as_many_bytes_under_the_old_time_are_another_content(tmp_path: Path) -> None:
    """At once after the hash was made: no tick of the clock lies between them that was not waited for."""
    path = tmp_path / "file"
    hashes = ContentHashes(tmp_path / "memory.json")
    path.write_bytes(b"one")
    before, first = path.stat(), hashes.of(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashes.known(path) is None
    assert hashes.of(path) == f"sha256:{hashlib.sha256(b'two').hexdigest()}" != first


def test_a_hash_is_of_the_state_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    hashes, identity = ContentHashes(tmp_path / "memory.json"), file_identity(path)
    assert hashes.of(path, identity=identity) == hashes.of(path)
    path.write_bytes(b"two")
    with pytest.raises(InvalidModel, match="has changed while it was read") as refusal:
        hashes.of(path, identity=identity)
    assert refusal.value.params["reason"] == "file_changed"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_while_it_is_hashed_has_no_hash(
    tmp_path: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    act = change(path)
    monkeypatch.setattr("engine.artifact.content_hash.outwait_tick", lambda status: act())
    hashes = ContentHashes(tmp_path / "memory.json")
    with pytest.raises((InvalidModel, FileNotFoundError)):
        hashes.of(path)
    assert not path.exists() or hashes.known(path) is None


def test_a_memory_nested_200_000_deep_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    memory = tmp_path / "hashes.json"
    memory.write_text("[" * 200_000)
    model = tmp_path / "model"
    model.write_bytes(b"abc")
    assert ContentHashes(memory).of(model) == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"


def test_a_pipe_is_not_hashed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        ContentHashes(tmp_path / "hashes.json").of(tmp_path / "pipe")
