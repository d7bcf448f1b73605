"""Who is asked: models by LiteLLM, or a script of answers. A question and its answer are data, and nothing else."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auton.errors import ProviderError
from auton.settings import Role
from auton.text import whole

MOST_CALLS = 64
"""Calls of an answer that are made."""
_Text = Annotated[str, AfterValidator(whole)]
_Tokens = Annotated[int, Field(ge=0)]
_Amount = Annotated[float, Field(ge=0)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ToolCall(_Data):
    """A call that a model asks for, in OpenAI's form."""

    call_id: _Text
    name: _Text
    arguments: _Text
    """JSON, as the model wrote it."""


class Usage(_Data):
    """What an answer took; ``None``: the provider does not say."""

    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0
    cost: _Amount | None = None
    """Cost in dollars."""
    joules: _Amount | None = None


class Reply(_Data):
    """What a model answered."""

    text: _Text = ""
    calls: Annotated[tuple[ToolCall, ...], Field(max_length=MOST_CALLS)] = ()
    left_out: Annotated[int, Field(ge=0)] = 0
    """How many calls more it asked for, which are not made."""
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
        """Raises ProviderError: it refused, did not answer, is not reached, or its answer cannot be read."""
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
            return _read(answer)
        except Exception as error:
            # Its classes of errors have no base of their own.
            raise ProviderError(f"{question.model}: {type(error).__name__}: {error}") from error


def _read(answer: Any) -> Reply:
    message, usage = answer.choices[0].message, answer.usage
    asked = message.tool_calls or ()
    energy = usage.model_dump().get("energy") or {}
    calls = [
        ToolCall(
            call_id=one.id or f"call-{place}", name=one.function.name or "", arguments=one.function.arguments or "{}"
        )
        for place, one in enumerate(asked[:MOST_CALLS])
    ]
    return Reply(
        text=message.content or "",
        calls=tuple(calls),
        left_out=len(asked) - len(calls),
        usage=Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=answer._hidden_params.get("response_cost"),
            joules=energy.get("joules"),
        ),
    )


class _Place(_Data):
    """The place in a script where an answer belongs."""

    role: str
    task: str


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
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderError(f"{path}: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                role, task, reply = self._read_line(line, number)
                self._replies[role, task].append(reply)

    def _read_line(self, line: str, number: int) -> tuple[str, str, Reply]:
        try:
            found = json.loads(line)
            place = _Place(role=found["role"], task=found["task"])
            asked = found.get("calls", [])
            calls = tuple(
                ToolCall(call_id=f"{number}.{turn}", name=one["name"], arguments=json.dumps(one.get("arguments", {})))
                for turn, one in enumerate(asked[:MOST_CALLS])
            )
            usage = Usage.model_validate(found.get("usage", {}))
            reply = Reply(text=found.get("text", ""), calls=calls, left_out=len(asked) - len(calls), usage=usage)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ProviderError(f"{self._path}:{number}: {error}") from error
        return place.role, place.task, reply

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
