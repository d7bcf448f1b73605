from __future__ import annotations

from typing import Any

import pytest

from protocol.codec import client_message, decode_client, encode
from protocol.errors import InvalidRequest
from protocol.requests import Run

CALL = {"id": "1", "function": {"name": "f", "arguments": {"none": None, "list": ({"a": 1.5}, "b")}}}


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
        (run({"role": "developer", "content": "a"}), "role"),
        (run({"role": "user", "content": "a"}, tools=()), "tools"),
        (run({"role": "user", "content": "a"}, tools=("f",)), "tools"),
        (run({"role": "assistant", "tool_calls": ({"function": {"name": "f", "arguments": "{}"}},)}), "arguments"),
        (run({"role": "user", "content": "a"}, execution={"chat_date": "yesterday"}), "chat_date"),
        ({"type": "Run", "request_id": 1, "request": {"model": "m", "prompt": "a", "tools": ({},)}}, "tools"),
    ],
)
def test_what_makes_no_conversation_is_refused(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        client_message(said)
