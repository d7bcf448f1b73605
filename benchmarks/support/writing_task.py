"""What drafting is measured on: texts that repeat what was given, answers of a schema, and free chat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from protocol.chat import ChatMessage
from protocol.grammar import Grammar

_ROOT = Path(__file__).parents[2]
_EDITS = (
    ("engine/batch_key.py", "Rename the field spin_us to spin_microseconds."),
    ("protocol/grammar.py", "Add a field `note: str = ''` at the end of the first class."),
    ("protocol/framing.py", "Rename the class FrameDecoder to FrameReader everywhere."),
    ("protocol/reasoning.py", "Add a comment `# checked` above every class."),
    ("protocol/named_plan.py", "Replace the word plan by blueprint in the first docstring."),
    ("protocol/power_curve.py", "Add a method `def __len__(self) -> int: return 0` to the class."),
    ("protocol/logprobs.py", "Rename the function recorded_tokens to kept_tokens."),
    ("protocol/metric_family.py", "Remove the docstring of the module."),
)
_TEXTS = ("docs/prefix-cache.md", "docs/memory.md", "docs/limits.md", "docs/chat.md")
_TEXT_CHARACTERS = 2400
_PEOPLE = (
    "Ana Ribeiro, 34, lives in Porto and repairs bicycles. Her sister Beatriz Ribeiro, 29, lives in Braga and teaches "
    "physics. Carlos Nunes, 51, from Lisbon, drives a tram. Duarte Lopes, 42, from Faro, cooks. Elsa Matos, 63, from "
    "Coimbra, is a judge. Filipe Reis, 19, from Évora, studies music. Gil Santos, 38, from Aveiro, builds boats."
)
_PERSON = {
    "type": "object",
    "properties": {
        "full_name": {"type": "string"},
        "age_in_years": {"type": "integer"},
        "city_of_residence": {"type": "string"},
        "occupation": {"type": "string"},
    },
    "required": ["full_name", "age_in_years", "city_of_residence", "occupation"],
    "additionalProperties": False,
}
_SCHEMA = {"type": "array", "items": _PERSON, "minItems": 7, "maxItems": 7}
_ORDERS = ("in their order", "from the oldest to the youngest", "by their first names", "from the youngest on")
_QUESTIONS = (
    "Why is the sky blue by day and red in the evening?",
    "Tell a short story about a lighthouse keeper who finds a letter.",
    "What should I think of before I buy a used bicycle?",
    "Explain recursion to somebody who has never written a program.",
)


@dataclass(frozen=True, slots=True)
class WritingTask:
    """One question."""

    kind: str
    messages: tuple[ChatMessage, ...]
    grammar: Grammar | None = None


def writing_tasks(each: int) -> list[WritingTask]:
    """At most so many of each kind."""
    return [
        *(_task("code edits", _edit(*edit)) for edit in _EDITS[:each]),
        *(_task("extraction", _extraction(name)) for name in _TEXTS[:each]),
        *(_task("JSON by schema", _json(order), _grammar()) for order in _ORDERS[:each]),
        *(_task("free chat", question) for question in _QUESTIONS[:each]),
    ]


def _task(kind: str, text: str, grammar: Grammar | None = None) -> WritingTask:
    return WritingTask(kind, (ChatMessage(role="user", content=text),), grammar)


def _edit(name: str, change: str) -> str:
    source = (_ROOT / name).read_text(encoding="utf-8")
    return f"Here is a file:\n\n```python\n{source}```\n\n{change} Answer with the whole changed file and nothing else."


def _extraction(name: str) -> str:
    text = (_ROOT / name).read_text(encoding="utf-8")[:_TEXT_CHARACTERS]
    return f"{text}\n\nQuote, word for word, every sentence of this text that states a rule or a number."


def _json(order: str) -> str:
    return f"{_PEOPLE}\n\nList these people as JSON, {order}."


def _grammar() -> Grammar:
    return Grammar(kind="json_schema", source=json.dumps(_SCHEMA))
