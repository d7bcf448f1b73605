"""The answers of ``/completion``: in one piece, or an event for each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.dialects.event_stream import TextEvent, sse
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.llama_server.completion import LlamaCompletionRequest
from protocol.dialects.llama_server.settings import generation_settings
from protocol.dialects.llama_server.timings import timings
from protocol.dialects.openai.account import require_whole
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.shape import to_json
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.record import ChoiceRecord, ExecutionRecord

_NO_SLOT = -1
"""Executions have no slots here."""


def from_outcomes(
    asked: LlamaCompletionRequest, outcomes: Sequence[Outcome], prompts: Sequence[str]
) -> dict[str, Any] | list[dict[str, Any]]:
    """The answer, or a list of them where there are several. Raises InternalError where an execution failed.

    ``prompts``: the text of each, with its control tokens.
    """
    answers = []
    for at, outcome in enumerate(outcomes):
        require_whole(outcome.record)
        for index, choice in enumerate(outcome.choices):
            number = at * len(outcome.choices) + index
            answer = completion(outcome.record, choice, number, prompts[at], stream=False)
            answer["content"] = choice.result
            answer["tokens"] = choice.token_ids if asked.return_tokens else ()
            if asked.n_probs:
                answer["completion_probabilities"] = _probabilities(outcome.logprobs(index), outcome.pieces)
            answers.append(_chosen(answer, asked.response_fields))
    return answers[0] if len(answers) == 1 else answers


def completion(
    record: ExecutionRecord, choice: ChoiceRecord, index: int, prompt: str, *, stream: bool
) -> dict[str, Any]:
    """All that is told of a choice when it ends, but for its text and tokens."""
    return {
        "index": index,
        "content": "",
        "tokens": (),
        "id_slot": _NO_SLOT,
        "stop": True,
        "model": record.model,
        "tokens_predicted": len(choice.token_ids),
        "tokens_evaluated": record.metrics.prompt_tokens,
        "generation_settings": generation_settings(record.plan, stream=stream),
        "prompt": prompt,
        "has_new_line": "\n" in choice.result,
        "truncated": choice.stop_reason == "context_full",
        "stop_type": {"eos": "eos", "stop_string": "word", "stop_token": "eos"}.get(choice.stop_reason, "limit"),
        "stopping_word": _stopping_word(record, choice),
        "tokens_cached": record.metrics.cached_prompt_tokens,
        "timings": timings(record),
    }


def _stopping_word(record: ExecutionRecord, choice: ChoiceRecord) -> str | None:
    """``None``: of several, the record does not tell which it was."""
    if choice.stop_reason != "stop_string":
        return ""
    strings = record.plan.stop.strings
    return strings[0] if len(strings) == 1 else None


def _chosen(answer: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The fields that were asked for, ``a/b`` being ``b`` in ``a``; all of them where none was."""
    if not fields:
        return dict(answer)
    chosen: dict[str, Any] = {}
    for name in fields:
        found: Any = answer
        for part in name.split("/"):
            found = found.get(part, _MISSING) if isinstance(found, Mapping) else _MISSING
        if found is not _MISSING:
            chosen[name] = found
    return chosen


_MISSING = object()


def _probabilities(drawn: Sequence[DrawnLogprobs], pieces: Pieces) -> list[dict[str, Any]]:
    def told(one: TokenLogprob) -> dict[str, Any]:
        piece = pieces[one.token_id]
        return {
            "id": one.token_id,
            "token": piece,
            "bytes": tuple(piece.encode("utf-8", "replace")),
            "logprob": one.logprob,
        }

    return [{**told(one), "top_logprobs": [told(other) for other in one.top]} for one in drawn]


class LlamaCompletionStream:
    """Events of the answers to all prompts; the last of each has ``stop`` and all that is told of it."""

    def __init__(self, asked: LlamaCompletionRequest, prompts: Sequence[str]) -> None:
        self._asked = asked
        self._prompts = prompts
        self._n = 1
        self._tokens: dict[int, int] = {}
        """Tokens sent so far, by choice."""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The events that a message becomes. ``index`` says whose it is."""
        match message:
            case Accepted():
                self._n = message.plan.n
                return b""
            case Progress():
                return b""
            case Tokens():
                return b"".join(
                    sse(to_json(part)) for part in self._parts(index * self._n + message.choice, message, pieces)
                )
            case Finished(record=record):
                require_whole(record)
                choices = enumerate((record, *record.other_choices))
                return b"".join(
                    sse(to_json(self._end(record, choice, index * self._n + at, self._prompts[index])))
                    for at, choice in choices
                )

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """None: every event counts the tokens before it."""
        return ()

    def fail(self, fault: HttpFault) -> bytes:
        """The event that ends a stream which cannot be finished."""
        return sse(to_json(error_content("openai", fault)))

    def end(self) -> bytes:
        """Nothing: the last event of each answer ends it."""
        return b""

    def _parts(self, index: int, message: Tokens, pieces: Pieces) -> list[dict[str, Any]]:
        """One part; with probabilities one for each token, of which the last has the text that became certain."""
        if not self._asked.n_probs:
            return [self._part(index, message.text, message.token_ids)]
        last = len(message.token_ids) - 1
        return [
            self._part(index, message.text if at == last else "", (token_id,))
            | {"completion_probabilities": _probabilities(message.logprobs[at : at + 1], pieces)}
            for at, token_id in enumerate(message.token_ids)
        ]

    def _part(self, index: int, text: str, token_ids: tuple[int, ...]) -> dict[str, Any]:
        self._tokens[index] = self._tokens.get(index, 0) + len(token_ids)
        return {
            "index": index,
            "content": text,
            "tokens": token_ids,
            "stop": False,
            "id_slot": _NO_SLOT,
            "tokens_predicted": self._tokens[index],
        }

    def _end(self, record: ExecutionRecord, choice: ChoiceRecord, index: int, prompt: str) -> dict[str, Any]:
        return _chosen(completion(record, choice, index, prompt, stream=True), self._asked.response_fields)
