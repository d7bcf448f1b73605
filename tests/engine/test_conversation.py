from __future__ import annotations

from engine.text.chat import TemplatePlace, place_in
from engine.text.conversation import fitted
from protocol.chat import ChatMessage
from tests.engine.chat_reference import WEATHER, WEATHER_TALK, rendering
from tests.support.gguf_factory import CHATML

NONE = TemplatePlace(tools=False, tool_calls=False, developer=False)
ALL = TemplatePlace(tools=True, tool_calls=True, developer=True)
USER = ChatMessage(role="user", content="Hello")


def said(*messages: ChatMessage) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def test_a_template_with_a_place_for_all_gets_the_messages_as_they_are() -> None:
    messages = (ChatMessage(role="developer", content="a"), *WEATHER_TALK)
    assert fitted(messages, ALL, WEATHER) == messages


def test_developers_before_anybody_speaks_are_one_system_message() -> None:
    system, developer = ChatMessage(role="system", content="a"), ChatMessage(role="developer", content="b")
    found = fitted((system, developer, USER, developer), NONE)
    assert said(*found) == [("system", "a\n\nb"), ("user", "Hello"), ("system", "b")]
    assert fitted((system, system, USER), NONE) == (system, system, USER)


def test_calls_without_a_place_are_their_text() -> None:
    found = said(*fitted(WEATHER_TALK, NONE))
    assert found[1] == ("assistant", '{"name": "get_weather", "arguments": {"city": "Lisboa", "unit": null}}')
    assert found[2] == ("user", '{"tool": "get_weather", "result": "21"}')
    assert rendering(CHATML, fitted(WEATHER_TALK, NONE))


def test_a_template_tells_what_it_has_a_place_for() -> None:
    assert place_in(CHATML) == NONE
    assert place_in("{{ tools }}{{ m.tool_calls }}{{ m.role == 'developer' }}") == ALL
    assert place_in("{{ xml_tools }}").tools


def test_tools_read_from_the_system_message_are_put_there() -> None:
    template = "{% for m in messages %}{{ m.role }}{{ m['tools'] if 'tools' in m }}{% endfor %}"
    assert '"get_weather"' in rendering(template, (USER,), tools=WEATHER)


def test_a_template_that_wants_arguments_as_json_gets_them() -> None:
    template = (
        "{% for m in messages if m.tool_calls is defined %}{{ '>' + m.tool_calls[0].function.arguments }}{% endfor %}"
    )
    assert rendering(template, WEATHER_TALK) == '>{"city": "Lisboa", "unit": null}'
