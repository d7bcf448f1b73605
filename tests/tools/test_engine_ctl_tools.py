"""Calls of tools and thinking on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from protocol.answers import EngineMessage, Finished, Tokens
from protocol.requests import ClientMessage, Run
from protocol.tool_calls import MadeCall, NamedTool, ToolCallDelta
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import EXECUTION_ID, accepted, answers_in_full, make_record

CALL = MadeCall(id="abcdefghi", name="get_weather", arguments='{"city": "Paris"}')
TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]


def thinks_and_calls(message: ClientMessage) -> Sequence[EngineMessage]:
    if not isinstance(message, Run):
        return answers_in_full(message)
    request_id = message.request_id
    delta = ToolCallDelta(index=0, id=CALL.id, name=CALL.name, arguments=CALL.arguments)
    tokens = Tokens(
        request_id=request_id,
        execution_id=EXECUTION_ID,
        token_ids=(1, 2),
        text="Hm.",
        reasoning="I should look.",
        tool_calls=(delta,),
    )
    record = make_record(result="Hm.", reasoning="I should look.", tool_calls=(CALL,))
    return [accepted(request_id), tokens, Finished(request_id=request_id, record=record)]


def test_calls_follow_the_text_and_thinking_goes_to_stderr(
    start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(thinks_and_calls)
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    result = engine_ctl(
        *("run", "--socket", str(socket_path), "--model", "tiny", "--chat", "--prompt", "How warm is it?"),
        *("--tools", str(tools), "--tool-choice", "get_weather", "--no-thinking", "--thinking-tokens", "9"),
    )
    assert result.exit_code == 0
    assert result.stdout == 'Hm.\nget_weather {"city": "Paris"}\n'
    assert "I should look." in result.stderr
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    assert message.request.tool_choice == NamedTool(name="get_weather")
    reasoning = message.request.execution.reasoning
    assert (reasoning.enabled, reasoning.max_tokens) == (False, 9)


def test_they_need_a_chat() -> None:
    for flag in ("--tool-choice", "--thinking-tokens"):
        result = engine_ctl("run", "--model", "tiny", "--prompt", "a", flag, "5")
        assert result.exit_code == 2
        assert f"{flag} needs --chat" in result.stderr
