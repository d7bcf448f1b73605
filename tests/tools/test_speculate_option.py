"""What ``--speculate`` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from engine_ctl.request_options import settings_content


def asked(word: str) -> dict[str, Any]:
    speculation: dict[str, Any] = settings_content(["--speculate", word])["speculation"]
    return speculation


@pytest.mark.parametrize(
    ("word", "speculation"),
    [
        ("off", {"kind": "off"}),
        ("lookup", {"kind": "lookup"}),
        ("nonsense", {"kind": "nonsense"}),
        ("self=q4_k_m", {"kind": "self", "quantization": "q4_k_m"}),
        ("draft=small", {"kind": "draft", "model": "small"}),
        ("draft=small:Q8_0", {"kind": "draft", "model": "small", "quantization": "Q8_0"}),
        ("draft=ollama:qwen:0.5b", {"kind": "draft", "model": "ollama:qwen:0.5b"}),
        ("draft=ollama:qwen:0.5b:native", {"kind": "draft", "model": "ollama:qwen:0.5b", "quantization": "native"}),
    ],
)
def test_a_word_is_a_requests_field(word: str, speculation: dict[str, str]) -> None:
    assert asked(word) == speculation


def test_a_file_is_named_by_its_full_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.gguf").touch()
    monkeypatch.chdir(tmp_path)
    assert asked("draft=small.gguf:q8_0")["model"] == str(tmp_path / "small.gguf")


@pytest.mark.parametrize("word", ["draft", "draft=", "self", "self="])
def test_what_names_nothing_is_wrong_usage(word: str) -> None:
    with pytest.raises(click.BadParameter, match="is not of the form"):
        asked(word)
