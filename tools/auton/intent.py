"""Intents: what a text wants, told by the words of ``[slm.intents]``, or by a model that is held to their names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from auton.errors import AutonError
from auton.provider import Provider, Question
from auton.settings import Settings

_UNKNOWN = "unknown"
_TOOL = "say_intent"
_MAX_TOKENS = 256


@dataclass(frozen=True)
class Intent:
    """An intent's name, or ``None`` where it is none of them, and the reason."""

    name: str | None
    reason: str


def classify(text: str, settings: Settings, provider: Provider) -> Intent:
    """Classify a text as ``slm.backend`` says; ``provider`` is asked by ``neural_backend`` alone.

    Raises AutonError: there are no intents, or the model cannot be asked.
    """
    if not settings.slm.intents:
        raise AutonError("slm.intents is empty: name intents there, each with its words")
    if settings.slm.backend == "rule_engine":
        return by_rules(text, settings)
    return by_model(text, settings, provider)


def by_rules(text: str, settings: Settings) -> Intent:
    """The intent most of whose words are in the text; capitals do not count."""
    said = set(_words(text))
    found = {
        name: [word for word in words if said.issuperset(_words(word))] for name, words in settings.slm.intents.items()
    }
    most = max(map(len, found.values()))
    best = [name for name, words in found.items() if len(words) == most]
    if most == 0:
        return Intent(None, "no intent's words are in it")
    if len(best) > 1:
        return Intent(None, f"as many words speak for {' and '.join(best)}")
    return Intent(best[0], f"by {', '.join(found[best[0]])}")


def by_model(text: str, settings: Settings, provider: Provider) -> Intent:
    """The same from ``llm.model``: its answer is a call whose only argument is an intent's name, or ``unknown``."""
    intents = settings.slm.intents
    about = "\n".join(f"{name}: {', '.join(words)}" for name, words in intents.items())
    names = {"type": "string", "enum": [*intents, _UNKNOWN]}
    parameters = {
        "type": "object",
        "properties": {"intent": names},
        "required": ["intent"],
        "additionalProperties": False,
    }
    function = {"name": _TOOL, "description": "Say what the text wants.", "parameters": parameters}
    reply = provider.ask(
        Question(
            role="classifier",
            task="intent",
            attempt=1,
            turn=0,
            model=settings.llm.model,
            messages=(
                {"role": "system", "content": f"Say which intent a text has, or {_UNKNOWN}.\n{about}"},
                {"role": "user", "content": text},
            ),
            tools=({"type": "function", "function": function},),
            max_tokens=_MAX_TOKENS,
            temperature=settings.llm.temperature,
            api_base=settings.llm.api_base,
        )
    )
    said = _said([call.arguments for call in reply.calls if call.name == _TOOL])
    if said in intents:
        return Intent(said, f"by {settings.llm.model}")
    return Intent(None, f"{settings.llm.model} knows none" if said == _UNKNOWN else f"{settings.llm.model} named none")


def _said(arguments: list[str]) -> str | None:
    try:
        said = json.loads(arguments[0])["intent"]
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return said if isinstance(said, str) else None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
