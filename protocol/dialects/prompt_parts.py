"""Prompts as llama-server takes them: texts, token ids, and both mixed in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from protocol.errors import InvalidRequest

PromptParts = tuple[str | int, ...]
"""One prompt: texts and token ids, in their order."""


class UntokenizedText(NamedTuple):
    """A text whose token ids are asked of the engine."""

    text: str
    begins: bool
    """It begins a prompt: BOS goes before it where the vocabulary says so."""


IdsOfTexts = Mapping[UntokenizedText, tuple[int, ...]]


def read_prompts(given: Any, field: str) -> tuple[PromptParts, ...]:
    """All prompts of a field: one, or a list of them; a list with numbers in it is one.

    Raises:
        InvalidRequest: there is none, or one is neither text nor token ids.
    """
    if given is None or given == []:
        raise InvalidRequest(f"{field}: give one at least", field=field, reason="missing")
    if isinstance(given, list) and not all(_is_part(one) for one in given):
        return tuple(_parts(one, field) for one in given)
    if isinstance(given, list) and not any(isinstance(one, int) for one in given):
        return tuple((one,) for one in given)
    return (_parts(given, field),)


def texts_of(prompts: Iterable[PromptParts]) -> tuple[UntokenizedText, ...]:
    """The texts whose ids are needed, each once."""
    texts = (
        UntokenizedText(part, at == 0) for parts in prompts for at, part in enumerate(parts) if isinstance(part, str)
    )
    return tuple(dict.fromkeys(texts))


def token_ids_of(parts: PromptParts, ids: IdsOfTexts) -> tuple[int, ...]:
    """A prompt's token ids."""
    joined: list[int] = []
    for at, part in enumerate(parts):
        joined += ids[UntokenizedText(part, at == 0)] if isinstance(part, str) else (part,)
    return tuple(joined)


def _is_part(one: Any) -> bool:
    return isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool))


def _parts(one: Any, field: str) -> PromptParts:
    match one:
        case str():
            return (one,)
        case list() if one and all(_is_part(part) for part in one):
            return tuple(one)
        case {"prompt_string": str(text)} if not one.get("multimodal_data"):
            return (text,)
        case {"content": list(content)} if all(_is_text_part(part) for part in content):
            return ("".join(part["text"] for part in content),)
        case _:
            reason = f"{field}: texts and token ids alone can be read here"
            raise InvalidRequest(reason, field=field, reason=reason)


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
