"""What a request asks of tools, checked and made part of a plan; and the grammar that holds the calls it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from engine.grammar.schema_grammar import lark_rules
from engine.grammar.schema_numbers import SchemaError
from engine.planning.grammar_rules import hold_lark
from engine.text.answer.call_formats import CALL_FORMATS, CallFormat, format_of_template
from engine.text.chat import TemplatePlace
from protocol.chat import JsonObject
from protocol.errors import InvalidGrammar, InvalidPlan, InvalidRequest
from protocol.grammar import PlanGrammar
from protocol.plan import RunRequest
from protocol.tool_calls import TOOL_FORMATS, NamedTool, PlanTools, ToolFormat


def offered_tools(request: RunRequest) -> tuple[JsonObject, ...]:
    """Those that the model is told of."""
    return () if request.tool_choice == "none" else request.tools or ()


def check_tools(request: RunRequest) -> None:
    """Refuse what can be refused before a model is opened.

    Raises:
        InvalidRequest: an unknown format; tools that could not be told apart, or be called with an object; or a call
            that must be made, of a tool that is not there.
        InvalidPlan: a call that must be made, beside a grammar or without an end.
    """
    execution = request.execution
    if execution.tool_format is not None and execution.tool_format not in TOOL_FORMATS:
        raise InvalidRequest(
            f"no tool format {execution.tool_format!r}; there is {', '.join(TOOL_FORMATS)}",
            field="execution.tool_format",
            value=execution.tool_format,
            allowed=list(TOOL_FORMATS),
        )
    names = _check_offered(offered_tools(request))
    if request.tool_choice in ("auto", "none"):
        return
    choice = request.tool_choice
    if isinstance(choice, NamedTool) and choice.name not in names:
        raise InvalidRequest(
            f"tool_choice names {choice.name!r}; the tools are {', '.join(names)}",
            field="tool_choice.name",
            value=choice.name,
            allowed=names,
        )
    if execution.grammar is not None:
        raise InvalidPlan("a call is asked for, and a grammar that the answer must follow", field="execution.grammar")
    if not execution.stop.eos:
        raise InvalidPlan("stop.eos is off, and calls that are asked for need it", field="execution.stop.eos")


def _check_offered(tools: Sequence[JsonObject]) -> list[str]:
    """Their names. Raises InvalidRequest."""
    names: list[str] = []
    for index, tool in enumerate(tools):
        name, parameters = tool_name(tool), tool_parameters(tool)
        if not name:
            raise InvalidRequest(f"tool {index} has no name to call it by", field=f"tools.{index}")
        if name in names:
            first = names.index(name)
            raise InvalidRequest(f"tools {first} and {index} have the same name, {name!r}", field=f"tools.{index}")
        if not (parameters is None or (isinstance(parameters, dict) and _takes_object(parameters))):
            raise InvalidRequest(
                f"the parameters of tool {index} are no JSON Schema of an object", field=f"tools.{index}.parameters"
            )
        names.append(name)
    return names


def _takes_object(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", "object")
    return "object" in kinds if isinstance(kinds, list) else kinds == "object"


def plan_tools(request: RunRequest, template: str, place: TemplatePlace) -> PlanTools | None:
    """How the answer's calls are written; ``None`` where the model is told of no tools."""
    tools, choice = offered_tools(request), request.tool_choice
    if not tools or choice == "none":
        return None
    shown: ToolFormat = format_of_template(template) if place.tools else "json"
    return PlanTools(
        format=cast("ToolFormat", request.execution.tool_format or shown),
        choice=choice,
        parallel=request.parallel_tool_calls,
        names=tuple(name for tool in tools if (name := tool_name(tool))),
        instruction=not place.tools,
    )


def tool_name(tool: JsonObject) -> str:
    """Empty where it has none."""
    name = _function(tool).get("name")
    return name if isinstance(name, str) else ""


def plan_call_grammar(
    planned: PlanTools | None, tools: Sequence[JsonObject], control_id: Callable[[str], int | None]
) -> PlanGrammar | None:
    """What holds an answer to calls that are valid for their tools' schemas, and to one where a tool is named; ``None``
    where the model decides.

    ``control_id`` tells which markers are control tokens of the vocabulary. A tool without ``parameters`` takes none.

    Raises:
        InvalidGrammar: a schema cannot be held exactly; the reason says what of it and where.
        GrammarTooLarge, GrammarTooDeep: beyond the limits of grammars.
    """
    if planned is None or planned.choice == "auto":
        return None
    named = planned.choice.name if isinstance(planned.choice, NamedTool) else None
    calls = CALL_FORMATS[planned.format]
    written = _Literals(calls, control_id)
    separator = written(calls.separator)
    more = f"({separator} call)*" if planned.parallel and named is None else ""
    callable_ = [(i, tool) for i, tool in enumerate(tools) if named in (None, tool_name(tool))]
    rules = [
        " ".join(("start:", *filter(None, (written(calls.begin), "call", more, written(calls.end))))),
        "call: " + " | ".join(f"call_{index}" for index, _ in callable_),
    ]
    for index, tool in callable_:
        rules.append(f"call_{index}: {written(calls.call(tool_name(tool)))} arguments_{index} {written(calls.after)}")
        rules += _argument_rules(tool, index)
    return hold_lark("\n".join(rules), "tools")


class _Literals:
    """Fixed text of a format as Lark."""

    def __init__(self, calls: CallFormat, control_id: Callable[[str], int | None]) -> None:
        self._ids = {marker: token_id for marker in calls.markers if (token_id := control_id(marker)) is not None}
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._markers = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Control tokens are tokens; what is between them may be written in any."""
        terms: list[str] = []
        position = 0
        for found in self._markers.finditer(text):
            terms += [text[position : found.start()], found[0]]
            position = found.end()
        terms.append(text[position:])
        return " ".join(f"<[{self._ids[term]}]>" if term in self._ids else json.dumps(term) for term in terms if term)


def tool_parameters(tool: JsonObject) -> Any:
    """The schema of its arguments; ``None`` where it has none."""
    function = _function(tool)
    return function.get("parameters", function.get("input_schema"))


def _argument_rules(tool: JsonObject, index: int) -> list[str]:
    schema = tool_parameters(tool)
    if schema is None:
        schema = {"properties": {}, "additionalProperties": False}
    if isinstance(schema, dict) and "type" not in schema:
        schema = {"type": "object", **schema}
    try:
        return lark_rules(schema, f"arguments_{index}")
    except SchemaError as error:
        raise InvalidGrammar(
            f"the grammar cannot be used: {error}",
            field=f"tools.{index}.function.parameters",
            kind="json_schema",
            reason=str(error),
        ) from error


def _function(tool: JsonObject) -> dict[str, Any]:
    function = tool.get("function")
    return function if isinstance(function, dict) else tool
