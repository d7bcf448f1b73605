"""Who is asked: models by LiteLLM, or a script of answers. A question and its answer are data, and nothing else."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from auton.errors import ProviderError
from auton.settings import Role


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(_Data):
    """A call that a model asks for, in OpenAI's form."""

    call_id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


class Usage(_Data):
    """What an answer took; ``None``: the provider does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """Cost in dollars."""
    joules: float | None = None


class Reply(_Data):
    """What a model answered."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()

    def as_message(self) -> dict[str, Any]:
        """The same as a message of the conversation."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            message["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.calls
            ]
        return message


class Question(_Data):
    """What a role asks in a turn of its conversation about a task."""

    role: Role | Literal["classifier"]
    task: str
    attempt: int
    turn: int
    model: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]
    max_tokens: int
    temperature: float
    api_base: str | None = None

    @property
    def key(self) -> str:
        """Where in the run it is asked."""
        return f"{self.role}/{self.task}/{self.attempt}/{self.turn}"


class Provider(Protocol):
    """Answers questions, each in a thread of its own."""

    def ask(self, question: Question) -> Reply:
        """Raises ProviderError."""


class LiteLlmProvider:
    """Any provider that LiteLLM knows: ``openai/MODEL`` and ``ollama_chat/MODEL`` with ``api_base`` are this engine."""

    def ask(self, question: Question) -> Reply:
        """Raises ProviderError: it refused, did not answer, or is not reached."""
        import litellm  # noqa: PLC0415  seconds, and only where a model is asked

        try:
            answer = litellm.completion(
                model=question.model,
                messages=list(question.messages),
                tools=list(question.tools),
                # Every turn is a call. Where a server can, it holds the answer to one that is valid for its tool.
                tool_choice="required",
                drop_params=True,
                max_tokens=question.max_tokens,
                temperature=question.temperature,
                api_base=question.api_base,
                num_retries=2,
            )
        except Exception as error:
            # Its classes of errors have no base of their own.
            raise ProviderError(f"{question.model}: {type(error).__name__}: {error}") from error
        return _read(answer)


def _read(answer: Any) -> Reply:
    message, usage = answer.choices[0].message, answer.usage
    energy = usage.model_dump().get("energy") or {}
    calls = [
        ToolCall(
            call_id=one.id or f"call-{place}", name=one.function.name or "", arguments=one.function.arguments or "{}"
        )
        for place, one in enumerate(message.tool_calls or ())
    ]
    return Reply(
        text=message.content or "",
        calls=tuple(calls),
        usage=Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=answer._hidden_params.get("response_cost"),
            joules=energy.get("joules"),
        ),
    )


class ScriptedProvider:
    """Answers from a file of JSON lines: ``{"role": …, "task": …, "calls": [{"name": …, "arguments": {…}}]}``.

    Those of a role and task answer its questions in their order, whatever these are.
    """

    def __init__(self, path: Path) -> None:
        """Raises ProviderError: there is no such file, or a line is not such an answer."""
        self._path = path
        self._replies: defaultdict[tuple[str, str], list[Reply]] = defaultdict(list)
        self._asked: defaultdict[tuple[str, str], int] = defaultdict(int)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ProviderError(f"{path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                role, task, reply = self._read_line(line, number)
                self._replies[role, task].append(reply)

    def _read_line(self, line: str, number: int) -> tuple[str, str, Reply]:
        try:
            found = json.loads(line)
            calls = tuple(
                ToolCall(call_id=f"{number}.{place}", name=one["name"], arguments=json.dumps(one.get("arguments", {})))
                for place, one in enumerate(found.get("calls", ()))
            )
            usage = Usage.model_validate(found.get("usage", {}))
            return found["role"], found["task"], Reply(text=found.get("text", ""), calls=calls, usage=usage)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise ProviderError(f"{self._path}:{number}: {error}") from error

    def skip(self, question: Question) -> None:
        """Leave out the next answer of a role and task: the journal has it."""
        self._asked[question.role, question.task] += 1

    def ask(self, question: Question) -> Reply:
        """Raises ProviderError: the script has no more answers for it."""
        place = (question.role, question.task)
        replies, asked = self._replies[place], self._asked[place]
        if asked >= len(replies):
            raise ProviderError(f"{self._path} has no answer {asked + 1} of {question.role} for {question.task}")
        self._asked[place] += 1
        return replies[asked]
