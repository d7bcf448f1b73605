from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from protocol.address import default_socket_path


def test_the_named_socket_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_SOCKET", "/somewhere/else.sock")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert default_socket_path() == Path("/somewhere/else.sock")


def test_then_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    assert default_socket_path() == Path("/run/user/1/engine/engine.sock")


def test_then_a_directory_of_ones_own_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert default_socket_path() == Path(tempfile.gettempdir()) / f"engine-{os.getuid()}" / "engine.sock"
