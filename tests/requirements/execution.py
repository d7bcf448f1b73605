"""Requests of these tests, and what comes of them."""

from __future__ import annotations

import json
from typing import Any

from protocol.answer_checks import RunMessage
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from tests.requirements.llama import NAME
from tests.tools.command_line import engine_ctl


def make_request(prompt: str = "Olá mundo", max_tokens: int = 8, **execution: Any) -> RunRequest:
    """``execution``: fields of it; of ``limits`` those beside ``max_tokens``."""
    limits = {"max_tokens": max_tokens, **execution.pop("limits", {})}
    return from_json({"model": NAME, "prompt": prompt, "execution": {**execution, "limits": limits}})


def from_json(content: dict[str, Any]) -> RunRequest:
    return RunRequest.model_validate_json(json.dumps(content))


def messages_of(client: BlockingClient, request: RunRequest) -> list[RunMessage]:
    return list(client.run(request))


def record_of(client: BlockingClient, request: RunRequest) -> ExecutionRecord:
    finished = messages_of(client, request)[-1]
    assert isinstance(finished, Finished)
    return finished.record


def run(client: BlockingClient, **request: Any) -> ExecutionRecord:
    """The record of :func:`make_request`."""
    return record_of(client, make_request(**request))


def run_for(client: BlockingClient, joules: float, **execution: Any) -> ExecutionRecord:
    """The record of an execution that ends at a limit in joules: equally long on a fast machine and a slow one."""
    slow: dict[str, Any] = {"backend": "reference", "threads": 1, "stop": {"eos": False}}
    return run(client, **{**slow, "max_tokens": 8000, "limits": {"max_joules": joules}, **execution})


def told(*arguments: str, stdin: str | None = None) -> dict[str, Any]:
    """The object that a command prints with ``--json``, whatever it ends with."""
    result = engine_ctl(*arguments, "--json", stdin=stdin)
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown
