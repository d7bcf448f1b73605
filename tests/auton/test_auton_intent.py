"""Intents: by the words of the settings, or by a model whose answer is one of their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from auton.errors import AutonError
from auton.intent import classify
from auton.main import main
from auton.provider import Question, Reply, ToolCall
from auton.settings import Settings, parse_settings

INTENTS = """
[slm.intents]
driver = ["driver", "device", "pci id"]
status = ["status", "uptime", "memory"]
"""
NEURAL = '[slm]\nbackend = "neural_backend"\n' + INTENTS


class FakeModel:
    """Answers with one call, whatever is asked."""

    def __init__(self, arguments: str, name: str = "say_intent") -> None:
        self._call = ToolCall(call_id="1", name=name, arguments=arguments)
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        return Reply(calls=(self._call,))


def name_of(text: str, settings: Settings, model: FakeModel) -> str | None:
    return classify(text, settings, model).name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Which DRIVER is for this device?", "driver"),
        ("What is the PCI id of my card?", "driver"),
        ("Show memory and the driver's uptime", "status"),
        ("Is the driver out of memory?", None),
        ("Sing a song", None),
        ("Pcideviceid", None),
    ],
)
def test_rules_tell_an_intent_by_its_words_and_ask_no_model(text: str, name: str | None) -> None:
    model = FakeModel("{}")
    assert name_of(text, parse_settings(INTENTS), model) == name
    assert model.asked == []


def test_a_model_is_held_to_the_names() -> None:
    model = FakeModel('{"intent": "status"}')
    assert name_of("How long have you been up?", parse_settings(NEURAL), model) == "status"
    (question,) = model.asked
    (tool,) = question.tools
    assert tool["function"]["parameters"]["properties"]["intent"]["enum"] == ["driver", "status", "unknown"]
    assert question.messages[-1]["content"] == "How long have you been up?"


@pytest.mark.parametrize(
    "arguments", ['{"intent": "unknown"}', '{"intent": "cook"}', '{"intent": []}', "[]", "{", "{}"]
)
def test_what_is_no_intents_name_is_none(arguments: str) -> None:
    assert name_of("Hello", parse_settings(NEURAL), FakeModel(arguments)) is None


def test_a_call_of_something_else_is_none() -> None:
    other = FakeModel(json.dumps({"intent": "status"}), name="list_files")
    assert name_of("Hello", parse_settings(NEURAL), other) is None


def test_there_must_be_intents() -> None:
    with pytest.raises(AutonError, match=r"slm\.intents is empty"):
        classify("Hello", Settings(), FakeModel("{}"))


def test_the_command_prints_the_name_alone(tmp_path: Path) -> None:
    config = tmp_path / "auton.toml"
    config.write_text(INTENTS)
    found = CliRunner().invoke(main, ["intent", "the status, please", "--config", str(config)])
    assert (found.exit_code, found.stdout, found.stderr) == (0, "status\n", "by status\n")
    nothing = CliRunner().invoke(main, ["intent", "please", "--config", str(config)])
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "unknown\n", "no intent's words are in it\n")
