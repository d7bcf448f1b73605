from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.chat import ChatMessage
from protocol.codec import client_message, decode_client, encode, encode_request
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest
from protocol.requests import Run

CALL = {"id": "1", "function": {"name": "f", "arguments": {"none": None, "list": ({"a": 1.5}, "b")}}}


_DEEP = '{"a":' * 500 + "1" + "}" * 500
_HALF = '{"a": "\\ud800"}'
"""Half a surrogate pair, which no text can hold."""


def run(*messages: dict[str, Any], **request: Any) -> dict[str, Any]:
    return {"type": "Run", "request_id": 1, "request": {"model": "tiny", "messages": messages, **request}}


def test_tools_and_calls_survive_the_wire_as_they_were_given() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"z": True, "a": ("c", "b")}}}
    said = run({"role": "assistant", "tool_calls": (CALL,)}, {"role": "tool", "content": "7"}, tools=(tool,))
    message = client_message(said)
    assert decode_client(encode(message)) == message
    assert isinstance(message, Run)
    assert message.request.messages is not None
    (call,) = message.request.messages[0].tool_calls
    assert call.function.arguments == {"none": None, "list": [{"a": 1.5}, "b"]}
    (given,) = message.request.tools or ()
    function: Any = given["function"]
    assert list(function["parameters"]) == ["z", "a"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (run({"role": "user"}), "content"),
        (run({"role": "user", "content": "a", "tool_calls": (CALL,)}), "tool_calls"),
        (run({"role": "user", "content": "a", "tool_call_id": "1"}), "tool_call_id"),
        (run({"role": "critic", "content": "a"}), "role"),
        (run({"role": "user", "content": ({"type": "image_url", "image_url": {"url": "x"}},)}), "image_url"),
        (run({"role": "user", "content": ({"type": "text", "text": 5},)}), "part 0"),
        (run({"role": "user", "content": "a", "reasoning_content": "b"}), "reasoning_content"),
        (run({"role": "user", "content": "a"}, tool_choice="required"), "tool_choice"),
        (run({"role": "user", "content": "a"}, tools=({},), tool_choice="any"), "tool_choice"),
        (run({"role": "user", "content": "a"}, tools=()), "tools"),
        (run({"role": "user", "content": "a"}, tools=("f",)), "tools"),
        (run({"role": "assistant", "tool_calls": ({"function": {"name": "f", "arguments": "{"}},)}), "no JSON"),
        (run({"role": "assistant", "tool_calls": ({"function": {"name": "f", "arguments": "[1]"}},)}), "arguments"),
        (run({"role": "assistant", "tool_calls": ({"function": {"name": "f", "arguments": _DEEP}},)}), "no JSON"),
        (run({"role": "assistant", "tool_calls": ({"function": {"name": "f", "arguments": _HALF}},)}), "no JSON"),
        (run({"role": "user", "content": "a"}, execution={"chat_date": "yesterday"}), "chat_date"),
        ({"type": "Run", "request_id": 1, "request": {"model": "m", "prompt": "a", "tools": ({},)}}, "tools"),
    ],
)
def test_what_makes_no_conversation_is_refused(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        client_message(said)


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ({"role": "user", "content": None}, ""),
        ({"role": "user", "content": ""}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None, "tool_calls": None}, ""),
        ({"role": "user", "content": ({"type": "text", "text": "a"}, {"type": "text", "text": "b"})}, "a\nb"),
        ({"role": "developer", "content": ()}, ""),
    ],
)
def test_content_is_one_text_however_it_is_written(said: dict[str, Any], content: str) -> None:
    message = client_message(run(said))
    assert isinstance(message, Run)
    assert message.request.messages is not None
    assert message.request.messages[0].text == content


@pytest.mark.parametrize(
    ("written", "arguments"),
    [('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}), ("", {}), (None, {})],
)
def test_arguments_may_be_their_json_and_keep_every_digit(written: str | None, arguments: dict[str, Any]) -> None:
    call = {"id": None, "function": {"name": "f", "arguments": written}}
    message = client_message(run({"role": "assistant", "tool_calls": (call,)}))
    assert isinstance(message, Run)
    assert message.request.messages is not None
    assert message.request.messages[0].tool_calls[0].function.arguments == arguments


def test_calls_may_come_as_json() -> None:
    said = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1]}}}]}
    message = ChatMessage.model_validate_json(json.dumps(said))
    assert message.tool_calls[0].function.arguments == {"a": [1]}


def over_the_wire(request: dict[str, Any]) -> RunRequest:
    message = decode_client(
        encode_request(Run(request_id=1, request=RunRequest.model_validate_json(json.dumps(request))))
    )
    assert isinstance(message, Run)
    return message.request


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**300])
def test_integers_of_any_size_stay_numbers(number: int) -> None:
    said = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"x": [number, 1.0]}}}]}
    request = over_the_wire({"model": "tiny", "messages": [said], "tools": [{"maximum": {"is": number}}]})
    assert request.messages is not None
    assert request.messages[0].tool_calls[0].function.arguments == {"x": [number, 1.0]}
    assert request.tools == ({"maximum": {"is": number}},)


def nested(levels: int) -> Any:
    value: Any = "string"
    for _ in range(levels):
        value = {"items": value}
    return value


def test_tools_nest_64_levels_deep_and_are_refused_beyond_that_by_name() -> None:
    said = [{"role": "user", "content": "a"}]
    call = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": nested(64)}}]}]
    assert over_the_wire({"model": "tiny", "messages": said, "tools": [nested(64)]}).tools == (nested(64),)
    assert over_the_wire({"model": "tiny", "messages": call}).messages is not None
    with pytest.raises(InvalidRequest, match="deeper than 64 levels") as refused:
        client_message(run(*said, tools=(nested(65),)))
    assert refused.value.params["field"] == "request.tools.0"
