"""JSON Schemas of what programs exchange with the engine and read from its records. Pure.

They are published as ``protocol/schemas/NAME.json``, written by ``make schemas``.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter

from protocol.answers import TaggedEngineMessage
from protocol.comparison import RepeatVerdict, VariantComparison
from protocol.plan import ExecutionPlan, RunRequest
from protocol.record import ExecutionRecord
from protocol.record_entry import Entry
from protocol.requests import TaggedClientMessage
from protocol.search_space import annotated

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PUBLISHED: dict[str, Any] = {
    "request": RunRequest,
    "plan": ExecutionPlan,
    "record": ExecutionRecord,
    "record_entry": Entry,
    "repeat_verdict": RepeatVerdict,
    "variant_comparison": VariantComparison,
    "client_messages": TaggedClientMessage,
    "engine_messages": TaggedEngineMessage,
}
SCHEMA_NAMES = tuple(_PUBLISHED)


def make_schema(name: str) -> str:
    """The schema of one of ``SCHEMA_NAMES``, made from the types, as the text of its file. Raises KeyError."""
    schema = TypeAdapter(_PUBLISHED[name]).json_schema()
    if name == "plan":
        schema = annotated(schema)
    return json.dumps({"$schema": _DIALECT, **schema}, indent=1, sort_keys=True) + "\n"


def published_schema(name: str) -> dict[str, Any]:
    """The schema as it is shipped. Raises FileNotFoundError."""
    package = __name__.rpartition(".")[0]
    content: dict[str, Any] = json.loads((files(package) / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return content
