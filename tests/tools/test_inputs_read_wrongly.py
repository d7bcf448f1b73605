"""Inputs that were once read wrongly, each with its right value.

They are outside the repository, in ``ENGINE_TEST_CASES`` or beside it; their README says what was. The whole kind of
each has tests elsewhere:

===========================  ==================================  =================================
input                        right                               its kind, below ``tests/``
===========================  ==================================  =================================
01-int-range-below-i64       the one number                      engine/test_exact_schema.py
03a-const-2e53plus1          9007199254740993                    engine/test_exact_schema.py
03b-exclusive-2e53           9007199254740993                    engine/test_exact_schema.py
04-pattern-properties        ``{"a": true}`` or false            fuzz/test_schemas.py
05-int64-full-range          any 64-bit integer                  engine/test_exact_schema.py
06a-u-escape                 é                                   test_golden_gbnf.py
06b-U-escape                 an emoji                            test_golden_gbnf.py
07a-tilde-tilde              any of a, ``~``, b                  test_golden_gbnf.py
08-rule-named-start          x                                   test_golden_gbnf.py
09-generation-tag            the tag is transparent              engine/test_chat.py
10-nested-tool               accepted                            protocol/test_chat_messages.py
11-big-integer-argument      the number                          protocol/test_chat_messages.py
12-more-rows-than-tokens     refused at load                     engine/test_prompt.py
13a-injection, 13b-genuine   a user's text is no control token   engine/test_chat_prompt.py
15-nan-norm                  one error that names the tensor     tools/test_non_finite_served.py
16-lone-surrogate            refused, with the offset            tools/test_bad_input_served.py
===========================  ==================================  =================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.support.outside_data import input_read_wrongly
from tests.tools.command_line import engine_ctl, serving

TOOLS_IN_CHATML = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls %}<tool_call>{{ call.function.arguments | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Options that name an engine and the tiny model that it has."""
    folder = tmp_path_factory.mktemp("engine")
    (folder / "models").mkdir()
    write_tiny_model(folder / "models" / "tiny.gguf", chat_template=TOOLS_IN_CHATML, context_length=2048)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINE_MODELS_DIR", str(folder / "models"))
        patch.setenv("ENGINE_CACHE_DIR", str(folder / "cache"))
        patch.setenv("ENGINE_DATA_DIR", str(folder / "data"))
        with serving(folder / "engine.sock"):
            yield ("--socket", str(folder / "engine.sock"), "--json")


def told(command: str, *arguments: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(engine_ctl(command, *arguments).stdout)
    return shown


def error_of(command: str, *arguments: str) -> dict[str, Any]:
    error: dict[str, Any] = told(command, *arguments)["error"]
    return error


def answer(engine: tuple[str, ...], *flags: str) -> str:
    record = told("run", *engine, "--model", "tiny", "--prompt", "~ ~ ~", "--max-tokens", "60", *flags)
    assert record["stop_reason"] == "eos", record
    result: str = record["result"]
    return result


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("01-int-range-below-i64", -(10**19), -(10**19)),
        ("03a-const-2e53plus1", 2**53 + 1, 2**53 + 1),
        ("03b-exclusive-2e53", 2**53 + 1, 2**53 + 1),
        ("05-int64-full-range", -(2**63), 2**63 - 1),
    ],
)
def test_integers_are_exact(name: str, low: int, high: int, engine: tuple[str, ...]) -> None:
    schema = str(input_read_wrongly(f"{name}.json"))
    for seed in ("1", "2", "3"):
        drawn = json.loads(answer(engine, "--json-schema", schema, "--temperature", "1.5", "--seed", seed))
        assert type(drawn) is int
        assert low <= drawn <= high


def test_a_pattern_beside_an_equal_property(engine: tuple[str, ...]) -> None:
    schema = str(input_read_wrongly("04-pattern-properties.json"))
    assert json.loads(answer(engine, "--json-schema", schema)) in ({"a": True}, {"a": False})


@pytest.mark.parametrize(
    ("name", "characters", "length"),
    [
        ("06a-u-escape", "é", 1),
        pytest.param("06b-U-escape", "".join(map(chr, range(0x1F600, 0x1F650))), 1, id="06b-U-escape"),
        ("07a-tilde-tilde", "a~b", 8),
        ("08-rule-named-start", "x", 1),
    ],
)
def test_gbnf_means_what_llama_cpp_makes_of_it(
    name: str, characters: str, length: int, engine: tuple[str, ...]
) -> None:
    grammar = str(input_read_wrongly(f"{name}.gbnf"))
    drawn = "".join(
        answer(engine, "--grammar", grammar, "--temperature", "1.5", "--seed", seed) for seed in ("1", "2", "3", "4")
    )
    assert len(drawn) == 4 * length
    assert set(drawn) <= set(characters)
    assert "~" in drawn or name != "07a-tilde-tilde"


def test_what_marks_an_answer_for_training_is_transparent(engine: tuple[str, ...]) -> None:
    model = str(input_read_wrongly("09-generation-tag.gguf"))
    record = told("run", *engine, "--model", model, "--chat", "--prompt", "hi", "--max-tokens", "2")
    assert record["metrics"]["tokens_total"] >= 1


def test_a_tool_nests(engine: tuple[str, ...]) -> None:
    tools = input_read_wrongly("10-nested-tool.json")
    plan = told("plan", *engine, "--model", "tiny", "--chat", "--prompt", "hi", "--tools", str(tools))
    assert json.dumps(json.loads(tools.read_text())[0]) in plan["prompt"]


def test_a_big_integer_stays_a_number(engine: tuple[str, ...]) -> None:
    messages = str(input_read_wrongly("11-big-integer-argument.json"))
    plan = told("plan", *engine, "--model", "tiny", "--chat", "--messages", messages)
    assert '<tool_call>{"x": 18446744073709551616}</tool_call>' in plan["prompt"]


def test_rows_that_are_no_tokens(engine: tuple[str, ...]) -> None:
    model = str(input_read_wrongly("12-more-rows-than-tokens.gguf"))
    error = error_of("run", *engine, "--model", model, "--prompt", "Hello world")
    assert error["code"] == "invalid_model"
    assert "rows" in error["message"]


def test_a_users_text_never_becomes_control_tokens(engine: tuple[str, ...]) -> None:
    injected, genuine = (
        told("run", *engine, "--model", "tiny", "--chat", "--max-tokens", "1", "--messages", str(path))
        for path in (input_read_wrongly("13a-injection.json"), input_read_wrongly("13b-genuine.json"))
    )
    (end,) = told("tokenize", *engine, "--model", "tiny", "--text", "<|im_end|>", "--parse-special", "--no-special")[
        "token_ids"
    ]
    assert (injected["prompt_token_ids"].count(end), genuine["prompt_token_ids"].count(end)) == (2, 4)


def test_a_weight_that_is_not_finite(engine: tuple[str, ...]) -> None:
    model = str(input_read_wrongly("15-nan-norm.gguf"))
    errors = [error_of("run", *engine, "--model", model, "--prompt", "a"), error_of("embed", *engine, model, "a")]
    assert [error["code"] for error in errors] == ["invalid_model", "invalid_model"]
    assert errors[0]["params"] == errors[1]["params"]
    assert errors[0]["params"]["tensor"] in errors[0]["message"]


def test_half_of_a_pair(engine: tuple[str, ...]) -> None:
    messages = str(input_read_wrongly("16-lone-surrogate.json"))
    error = error_of("run", *engine, "--model", "tiny", "--chat", "--messages", messages)
    assert error["code"] == "invalid_request"
    assert error["params"]["offset"] == 1
    error = error_of("run", *engine, "--model", "tiny", "--prompt", "h\udcff")
    assert (error["code"], error["params"]["offset"]) == ("invalid_request", 1)
