"""The digest of a file: any single changed byte and any length shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import _core


def digest(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return _core.file_digest(str(path))


@given(content=st.binary(min_size=1, max_size=200), data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_changed_byte_shows(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "file"
    assert digest(path, content) == digest(path, content)
    assert digest(path, content) != digest(path, bytes(changed))


def test_every_length_of_nothing_differs(tmp_path: Path) -> None:
    digests = {digest(tmp_path / "file", bytes(length)) for length in range(1, 100)}
    assert len(digests) == 99


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _core.file_digest(str(tmp_path / "nothing"))
    (tmp_path / "empty").touch()
    for path in (tmp_path, tmp_path / "empty"):
        with pytest.raises((_core.GgufError, OSError)):
            _core.file_digest(str(path))
