"""Answers told apart: the same parts however the text comes, nothing lost, no half marker shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.text.answer.call_formats import CALL_FORMATS, format_of_template
from engine.text.answer.parts import CallArguments, CallStart, Content, Part, Thought
from engine.text.answer.reader import AnswerReader
from engine.text.answer.thinking import THINKING, opens_thinking, thinking_of_template
from protocol.reasoning import ReasoningFormat
from protocol.tool_calls import TOOL_FORMATS, ToolFormat

NAMES = ("get_weather", "f")
DEEPSEEK = (
    "<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>f\n"
    '```json\n{"a": 1}\n```<\uff5ctool\u2581call\u2581end\uff5c>\n'
    "<\uff5ctool\u2581call\u2581begin\uff5c>g<\uff5ctool\u2581sep\uff5c>{}<\uff5ctool\u2581call\u2581end\uff5c>"
    "<\uff5ctool\u2581calls\u2581end\uff5c>"
)
Calls = list[tuple[str, str]]


def make_reader(
    call_format: ToolFormat | None = "hermes", thinking: ReasoningFormat | None = None, **options: Any
) -> AnswerReader:
    calls = None if call_format is None else CALL_FORMATS[call_format]
    return AnswerReader(calls, NAMES, None if thinking is None else THINKING[thinking], **options)


def read(reader: AnswerReader, pieces: Sequence[str]) -> list[Part]:
    """All parts, neighbours of one kind joined."""
    parts: list[Part] = []
    for part in [part for piece in pieces for part in reader.feed(piece)] + reader.finish():
        last = parts[-1] if parts else None
        match last, part:
            case (Content(before), Content(text)) | (Thought(before), Thought(text)):
                parts[-1] = type(part)(before + text)
            case CallArguments(before), CallArguments(text):
                parts[-1] = CallArguments(before + text)
            case _:
                parts.append(part)
    assert reader.finish() == []
    return parts


def told_apart(text: str, call_format: ToolFormat | None = "hermes", **options: Any) -> tuple[str, Calls]:
    """What is said, and the calls by name and arguments; the same for the whole text and for each character."""
    parts = read(make_reader(call_format, **options), [text])
    assert read(make_reader(call_format, **options), text) == parts
    calls: Calls = []
    for part in parts:
        if isinstance(part, CallStart):
            calls.append((part.name, ""))
        elif isinstance(part, CallArguments):
            calls[-1] = (calls[-1][0], calls[-1][1] + part.text)
    return "".join(part.text for part in parts if isinstance(part, Content)), calls


@pytest.mark.parametrize(
    ("call_format", "text", "expected"),
    [
        (
            "hermes",
            '<tool_call>\n{"name": "f", "arguments": {"a": "</tool_call>"}}\n</tool_call>',
            [("f", '{"a": "</tool_call>"}')],
        ),
        ("hermes", '<tool_call>{"arguments": {"q":[1]}, "name": "g"}</tool_call>', [("g", '{"q":[1]}')]),
        ("hermes", '<tool_call>{"name": "f"}</tool_call>', [("f", "{}")]),
        ("hermes", '<tool_call>{{"name": "f", "arguments": {"a": {}}}}</tool_call>', [("f", '{"a": {}}')]),
        ("hermes", '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', [("f", '{"a": 1}')]),
        ("hermes", '<tool_call>{"name": "f", "arguments": null}</tool_call>', [("f", "{}")]),
        ("hermes", '```json\n{"name": "f", "arguments": {"a": 1}}\n```', [("f", '{"a": 1}')]),
        ("hermes", '{"name": "f", "arguments": {}}', [("f", "{}")]),
        ("llama3", '{"name": "f", "parameters": {"a": "b"}}', [("f", '{"a": "b"}')]),
        (
            "llama3",
            '{"type": "function", "name": "f", "parameters": {}}; {"name": "f", "parameters": {}}',
            [("f", "{}")] * 2,
        ),
        ("llama3", '<|python_tag|>{"name": "g", "parameters": {"a": 1}}', [("g", '{"a": 1}')]),
        ("llama3", '<|python_tag|>search.call(query="a, b", n=3)', [("search", '{"query": "a, b", "n": 3}')]),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]', [("f", '{"a": 1}')]),
        (
            "mistral_args",
            '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[CALL_ID]123[ARGS]{}',
            [("f", '{"a": 1}'), ("g", "{}")],
        ),
        ("phi4", '<|tool_call|>[{"name": "f", "arguments": {}}]<|/tool_call|>', [("f", "{}")]),
        ("phi4", 'functools[{"name": "f", "arguments": {}}]', [("f", "{}")]),
        (
            "granite",
            '<|tool_call|>[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]',
            [("f", "{}"), ("g", "{}")],
        ),
        ("deepseek", DEEPSEEK, [("f", '{"a": 1}'), ("g", "{}")]),
        (
            "json",
            '[{"name": "f", "arguments": {}}, {"name": "f", "arguments": {"x": null}}]',
            [("f", "{}"), ("f", '{"x": null}')],
        ),
        ("functiongemma", '<start_function_call>call:f{"a":1}<end_function_call>', [("f", '{"a":1}')]),
        (
            "functiongemma",
            '<start_function_call>call:f{city:<escape>S\u00e3o "P"<escape>,n:-5,deep:{x:[<escape><escape>,true]}}'
            "<end_function_call>"
            "<start_function_call>call:g{}<end_function_call>",
            [("f", '{"city": "S\u00e3o \\"P\\"", "n": -5, "deep": {"x": ["", true]}}'), ("g", "{}")],
        ),
        ("gemma4", '<|tool_call>call:f{city:<|"|>Paris<|"|>}<tool_call|>', [("f", '{"city": "Paris"}')]),
    ],
)
def test_each_familys_calls_are_read(call_format: ToolFormat, text: str, expected: Calls) -> None:
    assert told_apart(text, call_format) == ("", expected)


@pytest.mark.parametrize(
    ("call_format", "text"),
    [
        ("hermes", "a <tool_call> b"),
        ("hermes", '<tool_call>{"name": 5}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "argu'),
        ("hermes", "<tool_cal"),
        ("hermes", '```json\n{"a": 1}\n```'),
        ("hermes", "``"),
        ("llama3", '{"name": "unknown", "parameters": {}}'),
        ("llama3", 'Say {"name": "f", "parameters": {}}'),
        ("llama3", "<|python_tag|>print(1)"),
        ("json", '{"a": 1}'),
        ("json", "[1, 2]"),
        ("mistral", "[TOOL_CALLS]"),
        ("mistral_args", "[TOOL_CALLS]f[ARGS]none"),
        ("deepseek", DEEPSEEK[:40]),
        ("gemma4", "<|tool_call>call:f"),
    ],
)
def test_what_only_begins_like_a_call_is_said(call_format: ToolFormat, text: str) -> None:
    assert told_apart(text, call_format) == (text, [])


def test_white_space_around_calls_is_theirs() -> None:
    text = 'Let me look.\n\n<tool_call>{"name":"f","arguments":{}}</tool_call>\n\nDone. \n'
    assert told_apart(text) == ("Let me look.Done. \n", [("f", "{}")])


def test_a_call_that_was_cut_keeps_what_it_has() -> None:
    assert told_apart('<tool_call>{"name": "f", "arguments": {"a": "b') == ("", [("f", '{"a": "b')])


def test_what_follows_the_one_call_is_said() -> None:
    call = '<tool_call>{"name":"f","arguments":{}}</tool_call>'
    assert told_apart(call + call, parallel=False) == (call, [("f", "{}")])


def test_code_is_for_a_tool_that_runs_code() -> None:
    reader = AnswerReader(CALL_FORMATS["llama3"], ("python",))
    assert read(reader, ["<|python_tag|>print(", "1)"]) == [CallStart("python"), CallArguments('{"code": "print(1)"}')]


def test_arguments_come_as_they_are_written() -> None:
    reader = make_reader()
    assert reader.feed('Hm <tool_call>{"name": "f", "argum') == [Content("Hm")]
    assert reader.feed('ents": {"a": "x') == [CallStart("f"), CallArguments('{"a": "x')]
    assert reader.feed('y"}') == [CallArguments('y"}')]


@pytest.mark.parametrize("thinking", THINKING)
def test_thinking_is_no_part_of_the_answer(thinking: ReasoningFormat) -> None:
    begin, end, _ = THINKING[thinking]
    expected = [Thought(f"a{end[:-1]} b"), Content("c ")]
    for text, opened in ((f" {begin}\na{end[:-1]} b\n{end}\n\nc ", False), (f"a{end[:-1]} b{end}c ", True)):
        assert read(make_reader(None, thinking, opened=opened), [text]) == expected
        assert read(make_reader(None, thinking, opened=opened), text) == expected


def test_thinking_that_does_not_end_is_thinking() -> None:
    assert read(make_reader(None, "think"), ["<think>a </thi"]) == [Thought("a </thi")]


def test_thinking_is_only_at_the_begin() -> None:
    assert read(make_reader(None, "think"), ["a <think>b</think>"]) == [Content("a <think>b</think>")]


# --- any text, in any pieces ----------------------------------------------------------------------------------------

FRAGMENTS = sorted(
    {marker for each in CALL_FORMATS.values() for marker in each.markers}
    | {"<think>", "</think>", "<", "call:f", "{", "}", "[", "]", '"', "\\", ",", ":", ";", " ", "\n", "a", "1", "null"}
    | {'{"name": "f", "arguments": ', '"name": ', '"parameters": ', "function", "```json\n", "```", "f", "\u00e9"}
)
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)
formats = st.sampled_from(TOOL_FORMATS)


@given(formats, texts, st.data())
@example("hermes", '<tool_call>{"name": "f", "arguments": "\\', None)
def test_parts_depend_on_the_text_alone(call_format: ToolFormat, text: str, data: Any) -> None:
    whole = read(make_reader(call_format, "think"), [text])
    assert read(make_reader(call_format, "think"), text) == whole
    if data is not None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert read(make_reader(call_format, "think"), pieces) == whole


@given(formats, texts)
def test_a_text_without_calls_is_said_as_it_is(call_format: ToolFormat, text: str) -> None:
    said, calls = told_apart(text, call_format)
    if not calls:
        assert said == text


@given(formats, texts)
def test_nothing_that_is_said_may_still_become_a_marker(call_format: ToolFormat, text: str) -> None:
    reader = make_reader(call_format)
    said = "".join(part.text for character in text for part in reader.feed(character) if isinstance(part, Content))
    openers = CALL_FORMATS[call_format].openers
    rest = "".join(part.text for part in reader.finish() if isinstance(part, Content))
    for opener in openers:
        begun = [length for length in range(1, len(opener)) if said.endswith(opener[:length])]
        assert not begun or not any(rest.startswith(opener[length:]) for length in begun)


arguments = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(formats, st.lists(arguments, min_size=1, max_size=3))
def test_calls_written_as_a_grammar_has_them_are_read_back(
    call_format: ToolFormat, given_arguments: list[dict[str, Any]]
) -> None:
    calls = CALL_FORMATS[call_format]
    written = [json.dumps(each, ensure_ascii=False) for each in given_arguments]
    text = calls.begin + calls.separator.join(calls.call("f") + each + calls.after for each in written) + calls.end
    assert told_apart(text, call_format) == ("", [("f", each) for each in written])


# --- which format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('<tool_call>\n{"name": <function-name>}', "hermes"),
        ('<|start_header_id|>{"name": function name, "parameters": dictionary}', "llama3"),
        ("[TOOL_CALLS] [", "mistral"),
        ("[TOOL_CALLS]name[ARGS]", "mistral_args"),
        ("<|tool|>{{ message['tools'] }}<|/tool|>", "phi4"),
        ("<|tool_call|>", "granite"),
        ("<start_function_call>call:", "functiongemma"),
        ("<|tool_call>call:", "gemma4"),
        ("<\uff5ctool\u2581call\u2581begin\uff5c>", "deepseek"),
        ("{{ tools }}", "json"),
    ],
)
def test_a_template_shows_how_calls_are_written(template: str, expected: str) -> None:
    assert format_of_template(template) == expected


def test_a_template_shows_how_thinking_is_written() -> None:
    assert thinking_of_template("{{ content.split('</think>')[-1] }}") == "think"
    assert thinking_of_template("plain") is None
    assert opens_thinking("<|assistant|>\n<think>\n", THINKING["think"])
    assert not opens_thinking("<|assistant|>\n<think>\n\n</think>\n\n", THINKING["think"])


@pytest.mark.parametrize(
    ("call_format", "text", "expected"),
    [
        ("hermes", '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>', ("\ufffd", "{}")),
        ("hermes", '<tool_call>{"name": "f", "arguments": "[\\ud800]"}</tool_call>', ("f", "[\ufffd]")),
        ("llama3", '<|python_tag|>f.call(a="\\ud800")', ("f", '{"a": "\ufffd"}')),
        ("llama3", "<|python_tag|>f.call(a=NaN, b=1e999)", ("f", '{"a": "NaN", "b": "1e999"}')),
        ("llama3", f"<|python_tag|>f.call(a={'[' * 20_000})", ("f", json.dumps({"a": "[" * 20_000}))),
        ("gemma4", "<|tool_call>call:f{a:NaN,b:1e9}<tool_call|>", ("f", '{"a": "NaN", "b": 1e9}')),
    ],
    ids=["half a pair in a name", "half a pair in arguments", "half a pair by keyword", "no numbers", "depth", "Gemma"],
)
def test_what_json_or_text_cannot_hold_is_told_as_text(
    call_format: ToolFormat, text: str, expected: tuple[str, str]
) -> None:
    parts = read(make_reader(call_format), [text])
    assert parts == [CallStart(expected[0]), CallArguments(expected[1])]
