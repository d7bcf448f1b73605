"""llama-server's flags as this engine's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.llama_server.flags import CHATML, LLAMA3, SAMPLING, read_flags


def test_what_slots_share_is_divided_among_executions() -> None:
    flags = read_flags(["--ctx-size", "512", "--parallel", "2", "--batch-size", "32", "--n-predict", "64"])
    assert flags.defaults["execution"] == {"max_sequences": 2, "prefill_chunk": 32, "context_length": 256}
    assert (flags.defaults["n_predict"], flags.defaults["max_tokens"]) == (64, 64)
    unified = read_flags(["--ctx-size", "512", "--parallel", "2", "--kv-unified"])
    assert unified.defaults["execution"]["context_length"] == 512


def test_what_is_not_said_is_no_default() -> None:
    assert read_flags([]).defaults == SAMPLING | {"execution": {}}
    assert read_flags(["--n-predict", "-1"]).defaults == SAMPLING | {"execution": {}}
    assert read_flags(["--temp", "0.0", "--seed", "0"]).defaults == SAMPLING | {
        "execution": {},
        "temperature": 0.0,
        "seed": 0,
    }


def test_all_addresses_and_the_first_alias_count() -> None:
    flags = read_flags(["--host", "127.0.0.1,::1", "--port", "9", "--alias", "a,b", "--api-key", "k", "--no-slots"])
    assert (flags.hosts, flags.port, flags.alias, flags.secret) == (("127.0.0.1", "::1"), 9, "a", "k")


def test_templates_are_named_spelled_out_or_in_files(tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("of a file")
    assert read_flags([]).chat_template == CHATML
    assert read_flags(["--chat-template", "llama3"]).chat_template == LLAMA3
    assert read_flags(["--chat-template", "spelled out"]).chat_template == "spelled out"
    assert read_flags(["--chat-template-file", str(file)]).chat_template == "of a file"


@pytest.mark.parametrize(("word", "enabled"), [("on", True), ("auto", True), ("off", False)])
def test_thinking_is_a_variable_of_the_template(word: str, enabled: bool) -> None:
    assert read_flags(["--reasoning", word]).defaults["chat_template_kwargs"] == {"enable_thinking": enabled}
    assert "chat_template_kwargs" not in read_flags([]).defaults
