"""Editors put a byte order mark before a text: it is no part of what a file says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click import BadParameter

from engine_ctl.grammar_options import chosen_grammar
from engine_ctl.json_source import read_json
from engine_ctl.text_source import read_document, read_text

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_bytes(MARK + b'{"type": "boolean"}')
    (tmp_path / "a.gbnf").write_bytes(MARK + b'root ::= "x"\r\n  | "y"\r\n')
    (tmp_path / "a.txt").write_bytes(MARK + "Olá\ufeff".encode())
    return tmp_path


def test_prompts_json_and_grammars_have_none(marked: Path) -> None:
    flags = {"json_schema": None, "regex": None, "grammar": None}
    assert read_document(str(marked / "a.txt")) == "Olá\ufeff"
    assert read_json(str(marked / "a.json"), "--messages") == {"type": "boolean"}
    schema = chosen_grammar({**flags, "json_schema": str(marked / "a.json")})
    assert schema is not None
    assert json.loads(schema["source"]) == {"type": "boolean"}
    grammar = chosen_grammar({**flags, "grammar": str(marked / "a.gbnf")})
    assert grammar is not None
    assert grammar["source"].startswith("root")


def test_a_text_that_is_tokenized_is_taken_as_it_is(marked: Path) -> None:
    assert read_text(str(marked / "a.txt")) == "\ufeffOlá\ufeff"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_another_encoding_is_named(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffhi".encode(encoding))
    with pytest.raises(BadParameter, match="begins as UTF-16 does"):
        read_document(str(tmp_path / "a.txt"))
