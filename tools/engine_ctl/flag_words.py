"""Messages about a request's fields, in the words of the flags that set them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FLAGS: Mapping[str, str] = {
    "model": "MODEL",
    "prompt": "the prompt",
    "messages": "the conversation",
    "tools": "--tools",
    "tool_choice": "--tool-choice",
    "execution.quantization": "--quant",
    "execution.scheduler_policy": "--policy",
    "execution.reasoning.enabled": "--thinking",
    "execution.reasoning.max_tokens": "--thinking-tokens",
    "execution.stop.strings": "--stop",
    "execution.stop.token_ids": "--stop-token",
    "execution.sampling.order": "--samplers",
    "execution.sampling.dry_breakers": "--dry-breaker",
    "execution.speculation.kind": "--speculate",
    "execution.n": "-n",
    "execution.chat_template": "--chat-template",
    "execution.chat_date": "--chat-date",
    "execution.backend": "--backend",
    "execution.kv_cache": "--kv-cache",
    "execution.prefix_cache": "--prefix-cache",
    "execution.threads": "--threads",
    "execution.context_length": "--context-length",
    "execution.priority": "--priority",
    "execution.energy_source": "--energy-source",
    "execution.logprobs": "--logprobs",
    "execution.grammar": "the grammar",
}
"""Flags by the dotted fields that they set, where the name is another one."""
_SAME_NAME = re.compile(r"execution\.(?:limits|sampling)\.(?P<name>[a-z_]+)")
_NO_FLAG = frozenset({"dry_last_n"})
_FIELD = re.compile(
    r"(?<![\w./`-])(?:request\.)?(?P<field>(?:execution\.)?[a-z_]+(?:\.[a-z_]+)*)(?:\.\d+(?:\.[a-z_]+)*)?(?![\w/])"
)
_PHRASES = (
    (re.compile(r"(\S+): Input should be "), r"\1 must be "),
    (re.compile(r"(\S+): Value error, "), r"\1: "),
    (re.compile(r"(\S+): Extra inputs are not permitted"), r"\1: there is no such field"),
)


def in_flags(message: str) -> str:
    """The message with each dotted field of a request as the flag that sets it, as in ``--max-tokens must be greater
    than or equal to 1``. Other words stay."""
    told = _FIELD.sub(lambda found: _flag(found["field"]) or found[0], message)
    for pattern, words in _PHRASES:
        told = pattern.sub(words, told)
    return told


def _flag(field: str) -> str | None:
    """``None`` for a word that names no field: only dotted ones do for certain."""
    if "." not in field:
        return None
    dotted = field if field.startswith("execution.") else f"execution.{field}"
    if dotted in _FLAGS:
        return _FLAGS[dotted]
    same = _SAME_NAME.fullmatch(dotted)
    return None if same is None or same["name"] in _NO_FLAG else f"--{same['name'].replace('_', '-')}"
