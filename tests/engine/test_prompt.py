from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.artifact.artifact import ModelArtifact
from engine.config import EngineConfig
from engine.models.registry import ModelRegistry
from engine.planning.prompt import prepare_prompt, refuse_hopeless
from engine.text.tokenizer import Tokenizer
from protocol.chat import ChatMessage, JsonObject
from protocol.errors import InvalidModel, InvalidRequest, InvalidTemplate, PromptTooLong
from protocol.plan import ExecutionRequest, RunRequest
from tests.support.gguf_factory import write_tiny_model

HELLO = (ChatMessage(role="user", content="Hello"),)


def make_artifact(directory: Path, **options: Any) -> ModelArtifact:
    path = write_tiny_model(directory / "tiny.gguf", weights=False, **options)
    return ModelRegistry(EngineConfig(directory, directory / "cache", directory)).resolve(str(path))


def make_request(
    prompt: str | None = None,
    messages: tuple[ChatMessage, ...] | None = None,
    tools: tuple[JsonObject, ...] | None = None,
    **execution: Any,
) -> RunRequest:
    return RunRequest(
        model="tiny", prompt=prompt, messages=messages, tools=tools, execution=ExecutionRequest(**execution)
    )


@pytest.mark.parametrize("more_rows", [64, -1])
def test_rows_that_are_no_tokens_are_named_before_anything_runs(more_rows: int, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", more_rows=more_rows)
    artifact = ModelRegistry(EngineConfig(tmp_path, tmp_path / "cache", tmp_path)).resolve(str(path))
    with pytest.raises(InvalidModel, match=r"'token_embd.weight' has \d+ rows, and the vocabulary \d+ tokens"):
        prepare_prompt(make_request("a"), artifact)


def test_a_prompt_is_all_that_the_model_is_given_control_tokens_too(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    prepared = prepare_prompt(make_request("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"), artifact)
    assert prepared.prompt_format == "raw"
    assert prepared.token_ids == prepare_prompt(make_request(messages=HELLO), artifact).token_ids


def test_a_prompt_that_begins_with_bos_gets_no_second(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, vocabulary="spm", pre=None)
    assert prepare_prompt(make_request("<s>the"), artifact).token_ids.count(1) == 1
    assert prepare_prompt(make_request("the"), artifact).token_ids[0] == 1


def test_a_hopeless_prompt_is_refused_before_it_is_tokenized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ModelRegistry(EngineConfig(tmp_path, tmp_path / "cache", tmp_path))
    path = write_tiny_model(tmp_path / "tiny.gguf", weights=False)
    assert registry.opened(str(path)) is None
    artifact = registry.resolve(str(path))
    too_long = make_request("the " * 10_000)
    refuse_hopeless(too_long, artifact)  # its tokenizer is not there yet
    prepare_prompt(make_request("the"), artifact)
    monkeypatch.setattr(Tokenizer, "encode", None)
    for hopeless in (too_long, RunRequest(model="tiny", prompt_token_ids=(1,) * 256)):
        with pytest.raises(PromptTooLong, match="at least"):
            refuse_hopeless(hopeless, artifact)
    with pytest.raises(PromptTooLong):
        prepare_prompt(too_long, artifact)
    refuse_hopeless(make_request("the"), artifact)
    assert registry.opened("tiny") is artifact
    path.write_bytes(path.read_bytes() + b" ")
    assert registry.opened("tiny") is None


def test_token_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    request = RunRequest(model="tiny", prompt_token_ids=(5, 0, 5))
    assert prepare_prompt(request, artifact).token_ids == (5, 0, 5)


def test_token_ids_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    request = RunRequest(model="tiny", prompt_token_ids=(len(artifact.tokenizer),))
    with pytest.raises(InvalidRequest) as refused:
        prepare_prompt(request, artifact)
    assert refused.value.params["field"] == "prompt_token_ids"


@pytest.mark.parametrize("input_fields", [{}, {"prompt": "a", "prompt_token_ids": (1,)}])
def test_a_request_has_one_input(input_fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        RunRequest(model="tiny", **input_fields)


def test_messages_are_rendered_with_their_control_tokens(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    prepared = prepare_prompt(make_request(messages=HELLO), artifact)
    assert prepared.prompt_format == "chat_template"
    names = [artifact.tokenizer.piece(token_id) for token_id in prepared.token_ids]
    assert names[0] == "<|im_start|>"
    assert names.count("<|im_end|>") == 1
    assert artifact.tokenizer.decode(prepared.token_ids) == "user\nHello\nassistant\n"


def test_bos_comes_once_whether_or_not_the_template_has_it(tmp_path: Path) -> None:
    for template in ("{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}"):
        artifact = make_artifact(tmp_path, vocabulary="spm", pre=None, chat_template=template)
        prepared = prepare_prompt(make_request(messages=HELLO), artifact)
        assert prepared.token_ids.count(1) == 1
        assert prepared.token_ids[0] == 1


def test_a_model_without_template_refuses_messages(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, chat_template=None)
    with pytest.raises(InvalidTemplate, match="send the text as `prompt`"):
        prepare_prompt(make_request(messages=HELLO), artifact)


def test_a_built_in_template_is_used_where_it_is_asked_for_and_named(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, chat_template=None)
    prepared = prepare_prompt(make_request(messages=HELLO, chat_template="chatml"), artifact)
    assert prepared.prompt_format == "chatml"
    own = make_artifact(tmp_path)
    assert prepared.token_ids == prepare_prompt(make_request(messages=HELLO), own).token_ids


def test_a_built_in_template_needs_its_tokens(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path, vocabulary="spm", pre=None, chat_template=None)
    with pytest.raises(InvalidTemplate, match=r"needs the token <\|im_start\|>"):
        prepare_prompt(make_request(messages=HELLO, chat_template="chatml"), artifact)


def test_a_refusal_names_the_templates_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidTemplate, match="chatml") as refusal:
        prepare_prompt(make_request(messages=HELLO), make_artifact(tmp_path, chat_template=None))
    assert refusal.value.params["allowed"] == ["chatml"]
    with pytest.raises(InvalidTemplate, match="unknown chat template 'alpaca'"):
        prepare_prompt(make_request(messages=HELLO, chat_template="alpaca"), make_artifact(tmp_path))


def test_a_chat_template_for_a_prompt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="applies to messages"):
        prepare_prompt(make_request("Hello", chat_template="chatml"), make_artifact(tmp_path))


def test_tools_reach_the_template_and_choose_the_one_made_for_them(tmp_path: Path) -> None:
    tools: tuple[JsonObject, ...] = ({"type": "function", "function": {"name": "f"}},)
    artifact = make_artifact(tmp_path, tool_template="{{ tools | tojson }}")
    prepared = prepare_prompt(make_request(messages=HELLO, tools=tools), artifact)
    assert artifact.tokenizer.decode(prepared.token_ids) == '[{"type": "function", "function": {"name": "f"}}]'
    assert "tools" not in artifact.tokenizer.decode(prepare_prompt(make_request(messages=HELLO), artifact).token_ids)


def test_an_empty_prompt_is_the_token_that_begins_a_text(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    assert prepare_prompt(make_request(""), artifact).token_ids == (artifact.tokenizer.bos_token_id,)


def test_an_empty_prompt_needs_such_a_token(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    artifact.tokenizer.bos_token_id = None
    with pytest.raises(InvalidRequest, match="no BOS"):
        prepare_prompt(make_request(""), artifact)


def test_a_hopeless_text_is_refused_before_it_is_tokenized(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    with pytest.raises(PromptTooLong, match="at least"):
        prepare_prompt(make_request("x" * 100_000), artifact)
    with pytest.raises(PromptTooLong, match="at least"):
        prepare_prompt(make_request(messages=(ChatMessage(role="user", content="é" * 100_000),)), artifact)
