from __future__ import annotations

import tracemalloc
from datetime import date

import pytest
from jinja2.filters import FILTERS as DEFAULT_FILTERS

from engine.text.template_filters import FILTERS
from protocol.chat import ChatMessage
from protocol.errors import InvalidTemplate
from tests.engine.chat_reference import WEATHER, WEATHER_TALK, reference_rendering, rendering
from tests.support.gguf_factory import CHATML

MESSAGES = (
    ChatMessage(role="system", content="You are <b>terse</b>."),
    ChatMessage(role="user", content="  Hi\n there "),
    ChatMessage(role="assistant", content="Yo"),
    ChatMessage(role="user", content="Olá 👋?"),
)

LOOPS = """
{%- set ns = namespace(seen=0, names=[]) -%}
{{- bos_token }}
{%- for message in messages if message.role != 'system' %}
    {%- set ns.seen = ns.seen + 1 %}
    {%- if loop.first %}[{{ loop.length }}]{% endif %}
    {{- loop.index0 % 2 }}{{ message['content'] | trim }}{{ message.content.split('>')[-1][:2] ~ eos_token }}
    {%- if loop.last and add_generation_prompt %}>{% endif %}
{%- endfor %}
{%- macro shout(text, times=1) %}{{ (text | upper) * times }}{{ caller() if caller is defined }}{% endmacro %}
{{- shout('a', times=3) }}{% call shout('b') %}c{% endcall %}
{%- filter lower %}ABC{% endfilter %}
{%- set joined | trim %}  {{ messages | map(attribute='role') | join(', ') }}  {% endset %}
{{- joined }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{%- for key, value in {'a': 1, 'b': [1, 2]}.items() %}{{ key }}={{ value | tojson }};{% endfor %}
{%- for item in [[1, [2]], [3]] recursive %}{{ loop(item) if item is iterable else item }}{% endfor %}
{%- for message in messages %}{% if loop.index == 2 %}{% break %}{% endif %}{{ message.content[-1] }}{% endfor %}
{{- tools if tools is not none else 'no tools' }}{{ messages[::-1][0].role.replace('u', 'U') }}
{{- '%s' if false else 7 // 2 }}{{ strftime_now('%Y') if strftime_now is defined else 'some day' }}
"""


@pytest.mark.parametrize("template", [CHATML, LOOPS, "", "plain text", "{# nothing #}"])
def test_renders_as_plain_jinja2_does(template: str) -> None:
    assert rendering(template, MESSAGES, "<s>", "</s>") == reference_rendering(template, MESSAGES, "<s>", "</s>")


GENERATION = """
{%- for message in messages %}{% set said = 'no' %}
    {%- if message.role == 'assistant' %}{% generation %}{% set said = 'yes' %}{{ message.content }}{% endgeneration %}
    {%- endif %}[{{ said }}]
{%- endfor %}"""


def test_what_a_template_marks_for_training_is_rendered_as_it_is() -> None:
    messages = [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Yo")]
    assert rendering(GENERATION, messages, "", "") == "[no]Yo[no]"
    with pytest.raises(InvalidTemplate, match="it does too much"):
        rendering("{% generation %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
                  "{% endgeneration %}", messages, "", "")  # fmt: skip


EVERY_FILTER = """
{{- [1, 2, 3] | batch(2, 'x') | list }}{{ [1, 2, 3, 4] | slice(3, 0) | list }}{{ 'a' | center(9) ~ '|' }}
{{- "a\nb" | indent }}{{ "a\nb" | indent('> ', first=true) }}{{ '%s has %03d' | format('it', 7) }}
{{- '%-5s|%5.1f' % ('a', 2.25) }}{{ '{} {x!r:>6}'.format(1, x='b') }}{{ '{a}'.format_map({'a': 2}) }}
{{- messages | groupby('role') | list | length }}{{ messages | map(attribute='role') | join('-') }}
{{- messages | join(', ', attribute='role') }}{{ 2.567 | round(1) }}{{ 2.1 | round(0, 'ceil') }}{{ 7 | round }}
{{- [1, 2.5] | sum }}{{ [{'n': 2}, {'n': 3}] | sum('n', 10) }}{{ [[1], [2]] | sum(start=[]) }}
{{- 'one two three' | truncate(9) }}{{ 'a b' | urlencode }}{{ {'a': 'b c'} | urlencode }}{{ 'a b c' | wordcount }}
{{- 'one two three' | wordwrap(7) }}{{ '<b>x</b> y' | striptags }}{{ 'see http://a.example' | urlize }}
{{- {'id': 'x', 'y': none} | xmlattr }}{{ 123456 | filesizeformat }}{{ '<' | forceescape }}{{ [{'a': 1}] | pprint }}
{{- messages[0] | attr('role') }}{{ 'aXbX' | replace('X', 'y', 1) }}{{ 'a-b' | replace('-', '+') }}{{ -3 | abs }}
{{- 'x'.ljust(4, '.') }}{{ 'x'.rjust(4) }}{{ '7'.zfill(3) }}{{ 'aBc'.swapcase() }}{{ 'ß'.casefold() }}
{{- 'abc'.rindex('b') }}{{ 'a1'.isalnum() }}{{ 2.0.is_integer() }}{{ (5).bit_length() }}{{ 2 ** 70 }}
{%- set turns = cycler('odd', 'even') %}{{ turns.next() }}{{ turns.next() }}{{ turns.current }}
{%- set comma = joiner('; ') %}{{ comma() }}a{{ comma() }}b{{ {'b': 1, 'a': 2} | dictsort }}
{{- {'a': [1, {'b': 2}]} | tojson(indent='\t') }}{{ {'a': 'é'} | tojson(true, none, [',', ':'], true) }}
{{- [3, 1] | sort(reverse=true) }}{{ ['a', 'A'] | unique | list }}{{ 'a' in 'abc' }}{{ 3 is divisibleby 3 }}
{{- 'x' is filter }}{{ 'tojson' is filter }}{{ 'odd' is test }}{{ '3.5' | float }}{{ '0x1f' | int(0, 16) }}
{{- messages | map('attr', 'role') | list }}{{ range(3) | reverse | list }}{{ 'a b' | title }}{{ none | default('d') }}
{{- messages | selectattr('content', 'string') | map(attribute='content') | map('length') | list | max }}
{{- messages | rejectattr('role', 'in', ['user']) | list | length }}{{ dict(a=1).items() | list }}
{{- {'a': 1} | items | list }}
"""


def test_every_filter_test_and_global_of_jinja2_is_there() -> None:
    names = set(FILTERS) - {"charged", "iterated", "concatenated"}
    assert names == set(DEFAULT_FILTERS)
    assert rendering(EVERY_FILTER, MESSAGES, "", "") == reference_rendering(EVERY_FILTER, MESSAGES, "", "")


@pytest.mark.parametrize("call", ["messages | random", "lipsum()"])
def test_what_would_be_another_text_each_time_is_refused(call: str) -> None:
    with pytest.raises(InvalidTemplate, match="the same request gives the same text"):
        rendering("{{ " + call + " }}", MESSAGES, "", "")


def test_chatml_ends_where_the_answer_begins() -> None:
    rendered = rendering(CHATML, MESSAGES[1:2], "", "")
    assert rendered == "<|im_start|>user\n  Hi\n there <|im_end|>\n<|im_start|>assistant\n"


def test_a_template_can_refuse_messages_in_its_own_words() -> None:
    with pytest.raises(InvalidTemplate, match="roles must alternate"):
        rendering("{{ raise_exception('roles must alternate') }}", MESSAGES, "", "")


CALLED = ChatMessage(role="assistant", tool_calls=WEATHER_TALK[1].tool_calls)
IN_PARTS = ChatMessage.model_validate(
    {"role": "user", "content": [{"type": "text", "text": " a "}, {"type": "input_text", "text": "b"}]}
)


def test_content_that_is_not_there_is_absent_and_empty_where_a_template_fails_on_that() -> None:
    tells = "{{ messages[0].content is defined }}{{ messages[0].tool_calls | length }}"
    assert rendering(tells, [CALLED], "", "") == "False1"
    assert rendering("{{ messages[0].content + '.' }}{# tool_calls #}{{ 'tool_calls' }}", [CALLED]) == ".tool_calls"


def test_parts_of_content_are_parts_where_a_template_goes_through_them_and_lines_elsewhere() -> None:
    goes_through = (
        "{% for message in messages %}{% if message.content is string %}{{ message.content }}{% else %}"
        "{% for part in message['content'] %}[{{ part.type }}:{{ part.text|trim }}]{% endfor %}{% endif %}{% endfor %}"
    )
    assert rendering(goes_through, [IN_PARTS]) == "[text:a][text:b]"
    assert rendering(goes_through, [IN_PARTS]) == reference_rendering(goes_through, [IN_PARTS], "", "")
    assert rendering("{{ messages[0].content }}", [IN_PARTS]) == " a \nb"


def test_thinking_has_both_of_the_names_that_templates_have_for_it() -> None:
    thought = ChatMessage(role="assistant", content="a", reasoning_content="b")
    assert rendering("{{ messages[0].thinking }}{{ messages[0].reasoning_content }}", [thought]) == "bb"


TOOLS_AND_CALLS = """
{%- for tool in tools %}{{ tool | tojson }}{{ tool.function.parameters.required is string }}{% endfor %}
{%- for message in messages %}
    {%- if 'tool_calls' in message %}
        {%- for call in message.tool_calls %}
{{ call.function.name }}({% for name, value in call.function.arguments.items() %}{{ name }}={{ value }}{% endfor %})
        {%- endfor %}
    {%- elif message.role == 'tool' %}[{{ message.name }} {{ message.tool_call_id }}: {{ message.content }}]
    {%- else %}{{ message.name is defined }}{{ message.content }}{% endif %}
{%- endfor %}"""


def test_tools_and_calls_of_them_reach_the_template() -> None:
    rendered = rendering(TOOLS_AND_CALLS, WEATHER_TALK, "", "", WEATHER)
    assert rendered == reference_rendering(TOOLS_AND_CALLS, WEATHER_TALK, "", "", WEATHER)
    assert "get_weather(city=Lisboaunit=None)" in rendered
    assert "[get_weather call00001: 21]" in rendered


def test_tools_that_a_template_would_leave_out_are_refused() -> None:
    with pytest.raises(InvalidTemplate, match="no place for tools"):
        rendering(CHATML, MESSAGES, "", "", WEATHER)


def test_calls_that_a_template_would_leave_out_are_refused() -> None:
    with pytest.raises(InvalidTemplate, match="no place for tool_calls"):
        rendering(CHATML, WEATHER_TALK, "", "")


def test_a_template_is_told_the_day_that_the_request_gives_and_no_other() -> None:
    tells = "{% if strftime_now is defined %}{{ strftime_now('%d %B %Y, %H:%M') }}{% else %}no day{% endif %}"
    assert rendering(tells, MESSAGES, "", "") == "no day"
    assert rendering(tells, MESSAGES, "", "", day=date(2026, 1, 31)) == "31 January 2026, 00:00"
    with pytest.raises(InvalidTemplate, match="chat_date"):
        rendering("{{ strftime_now('%Y') }}", MESSAGES, "", "")


@pytest.mark.parametrize("form", ["%1000000000d", "%" * 1000, "x" * 1000])
def test_a_day_cannot_be_told_at_any_length(form: str) -> None:
    with pytest.raises(InvalidTemplate, match="cannot format"):
        rendering(f"{{{{ strftime_now('{form}') }}}}", MESSAGES, "", "", day=date(2026, 1, 31))


DOUBLING = "{%% set ns = namespace(s='abcdefgh') %%}{%% for i in range(60) %%}{%% set ns.s = %s %%}{%% endfor %%}"
NESTED = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"

MANY = "texts made by a filter in batches"
HOSTILE = {
    "endless loop": NESTED.replace("x", ""),
    "endless output": NESTED,
    "huge range": "{% for i in range(10 ** 9) %}{% endfor %}",
    "output hidden in a filter block": "{% filter upper %}" + NESTED + "{% endfilter %}",
    "output hidden in a variable": "{% set x %}" + NESTED + "{% endset %}",
    "output hidden in a macro": "{% macro m() %}" + NESTED + "{% endmacro %}{% set x = m() %}",
    "repeated string": "{{ 'a' * 1000000000 }}",
    "repeated from the left": "{{ 1000000000000 * 'a' }}",
    "repeated list": "{{ ([1] * 1000000000) | length }}",
    "doubling by concatenation": DOUBLING % "ns.s ~ ns.s",
    "doubling by addition": DOUBLING % "ns.s + ns.s",
    "doubling by a nested list": DOUBLING % "[ns.s, ns.s]" + "{{ ns.s }}",
    "doubling by a nested dict": DOUBLING % "dict(a=ns.s, b=ns.s)" + "{{ ns.s }}",
    "doubling by replacement": DOUBLING % "ns.s | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaa')",
    "doubling by the method": DOUBLING % "ns.s.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaa')",
    "join": "{% set s = 'a' * 100000 %}{{ range(99999) | join(s) }}",
    "join by the method": "{% set s = 'a' * 100000 %}{{ s.join(['b'] * 99999) }}",
    "huge power": "{{ 10 ** 10 ** 10 ** 100 }}",
    "squaring": "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "padding": "{{ 'a'.center(1000000000) }}",
    "padding by filter": "{{ 'a' | center(1000000000) }}",
    "padding by percent": "{{ '%1000000000d' % 1 }}",
    "padding by format": "{{ '{:>1000000000}'.format(1) }}",
    "padding by percent of a name": "{{ '%(a)1000000000d' % {'a': 1} }}",
    "padding by a width that is a value": "{{ '%*d' % (1000000000, 1) }}",
    "padding by format of a width": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "padding by the filter": "{{ '%1000000000d' | format(1) }}",
    "padding of batches": "{{ [1] | batch(1000000000, 'x') | list }}",
    "padding of slices": "{{ [1] | slice(1000000000) | list }}",
    "padding by zeros": "{{ 'a'.zfill(1000000000) }}",
    "internals by format": "{{ '{0.__class__.__mro__}'.format(1) }}",
    "rounding": "{{ 1 | round(1000000000, 'floor') }}",
    "tags in tags": "{{ ('<a>' * 900000) | striptags }}",
    "printing": "{{ ('a ' * 4000000) | pprint }}",
    "addresses of others": "{{ {'a': 'é' * 10000000} | urlencode }}",
    "addresses": "{{ ('a@b.' * 900000) | urlize }}",
    "wrapping": "{{ ('a ' * 9000000) | wordwrap(1, wrapstring='a' * 99) }}",
    "sum of lists": "{{ ([[1] * 1000] * 99999) | sum(start=[]) | length }}",
    "names by format": "{{ ('{0}' * 99999).format('a' * 99999) }}",
    "indenting a text": "{{ ('a\\n' * 9999) | indent(1000000) }}",
    "indenting by the filter": "{{ 'a' | indent(1000000000, true) }}",
    "bytes": "{{ (1).to_bytes(1000000000, 'big') }}",
    "tabs": "{{ ('\\t' * 99999).expandtabs(99999) }}",
    "translating": "{{ ('a' * 99999).translate({97: 'b' * 99999}) }}",
    "indenting": "{{ messages | tojson(indent=1000000000) }}",
    "branching recursion": "{% macro m(n) %}{{ m(n - 1) }}{{ m(n - 1) }}{% endmacro %}{{ m(90) }}",
    "endless recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "slow search": "{% set s = 'a' * 9000000 %}{% for i in range(99999) %}{% if 'b' in s %}{% endif %}{% endfor %}",
    "slow sort": "{% set s = range(99999) | list %}{% for i in range(99999) %}{% set t = s | sort %}{% endfor %}",
    "deep nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep blocks": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "internals": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "internals of a function": "{{ raise_exception.__globals__['json'] }}",
    "changing the messages": "{{ messages.append(1) }}",
    "files": "{% include '/etc/passwd' %}",
    "imports": "{% import 'os' as os %}",
    "surrogates": r"{{ '\ud800' }}",
    "malformed": "{% if %}",
    "undefined": "{{ nothing.at.all }}",
    "oversized": "a" * 70_000,
    "many small parts": "{{a}}" * 13_000,
    "separators": "{% set s = 'a' * 1000000 %}{{ (range(2000) | list) | tojson(separators=(s, s)) }}",
    "many short separators": "{{ ([0] * 2000000) | tojson(separators=(',' * 16, ':')) }}",
    "ascii of a text": "{{ ('\U0001f600' * 4000000) | tojson(ensure_ascii=true) }}",
    "escapes": "{{ ('&' * 8000000) | escape }}",
    "a list of characters": "{{ (('\U0001f600' * 4000000) | list) | length }}",
    "sorted characters": "{{ (('\U0001f600' * 4000000) | sort) | length }}",
    "joined characters": "{{ ('\U0001f600' * 4000000) | join }}",
    "words": "{{ ('a ' * 4000000).split() | length }}",
    "words by a separator": "{{ ('ab' * 4000000).rsplit('b') | length }}",
    "lines": "{{ ('a\n' * 4000000).splitlines() | length }}",
    "places of a list": "{{ ([none] * 8000000) | length }}",
    "views in views": DOUBLING % "dict(a=ns.s, b=ns.s).values()" + "{{ ns.s }}",
    "methods of a text": "{% set s = ('x' * 1000000) | safe %}{{ [s.upper] * 1000 }}",
    "a set of pairs": "{{ [({'a': 'b' * 9999}.items() - {}.items())] * 9999 }}",
    "what a format reads": "{% set ns = namespace(s='a' * 99999) %}{{ ('{0.s}' * 9999).format(ns) }}",
    "tags in tags by the method": "{{ (('<a>' * 900000) | safe).striptags() }}",
    "a text as arguments": "{{ cycler(*('\U0001f600' * 4000000)).current }}",
    "grouped characters": "{{ (('\U0001f600' * 4000000) | groupby('x')) | length }}",
    "reversed characters": "{{ (('\U0001f600' * 4000000) | map('upper') | reverse) | first }}",
    "counted words": "{{ ('ab ' * 1300000) | wordcount }}",
    "titles": "{{ ('ab ' * 1300000) | title }}",
    "keys of a text": "{{ {}.fromkeys('\U0001f600' * 4000000) | length }}",
    "pairs of a text": "{{ dict(('\U0001f600' * 4000000) | batch(2)) | length }}",
    "addresses that repeat": "{% set t = 'a' * 1000000 %}{{ ('a@b.de ' * 2000) | urlize(target=t) }}",
    "attributes": "{{ {'a': '<' * 4000000} | xmlattr }}",
    "forced escapes": "{{ ('&' * 4000000) | forceescape }}",
    "printing in depth": "{% set ns = namespace(s='a ' * 20000) %}"
    "{% for i in range(300) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s | pprint }}",
    "texts put together in a call": "{% macro m(x) %}{% endmacro %}{% set s = 'a' * 1000000 %}"
    "{% call m(" + " ~ ".join(["s"] * 900) + ") %}{% endcall %}",
    "texts put together for a filter": "{% set s = 'a' * 1000000 %}"
    "{% filter indent(" + " + ".join(["s"] * 30) + ") %}x{% endfilter %}",
    "a text too long to wait for": "{% set s = 'a' * 5000000 %}{{ s | length }}",
    MANY: "{% set s = '𐐨' * 4000000 ~ ' ' %}"
    "{% for x in range(40)|map(attribute='n',default=s)|map('trim')|batch(100000) %}{% endfor %}",
    **{
        f"time of {chain}": "{% set s = 'a' * 400000 %}{{ range(99999)|map(attribute='n',default=s)|" + chain + " }}"
        for chain in (
            *("map('upper')|max", "max", "min", "unique|list|length"),
            *("select('lower')|select('upper')|first", "reject('lower')|first", "select('in', s)|list|length"),
            *("select('eq', s)|list|length", "list|length", "batch(9)|list|length", "slice(3)|list|length"),
            *("sort|length", "groupby('n')|length", "map('length')|sum", "map('trim')|map('length')|sum"),
            *("map('int', base=16)|sum", "map('float')|sum", "map('truncate', 9)|list", "map('wordcount')|sum"),
            *("map('default', s)|select('none')|list", "map('string')|reject('string')|list", "join|length"),
        )
    },
    "groups by what is not there": "{% set s = 'a' * 400000 %}{{ range(9999)|groupby('n', default=s)|length }}",
    "the sum of what is not there": "{{ range(9999)|sum('n', start='a' * 400000) }}",
    "an attribute of many": "{% set m = {'n': 'a' * 400000} %}{{ ([m] * 9999)|max(attribute='n') }}",
    "a test of many attributes": "{% set m = {'n': 'a' * 400000} %}{{ ([m] * 9999)|rejectattr('n', 'lower')|first }}",
    "rejecting many": "{{ (([none] * 1000000) | select | list, [none] * 1000000) | length }}"
    "{% for i in range(99999) %}{{ ([none] * 9999) | select | first }}{% endfor %}",
    "pairs in order": "{% set d = {'a': 'a' * 400000} %}{% for i in range(999) %}{{ d|dictsort(by='value')|length }}"
    "{% endfor %}",
    "trimming by wide characters": "{{ ('a' * 400000) | trim('š' * 400000 ~ 'a') }}",
    "stripping by wide characters": "{{ ('a' * 400000).strip('š' * 400000 ~ 'a') }}",
    "stripping by a name": "{{ ('a' * 400000).rstrip('š' * 400000 ~ 'a') }}",
    **{
        f"a search from the end by {method}": "{{ ('a' * 400000)." + method + "('ab' ~ 'a' * 200000) }}"
        for method in ("rfind", "rindex", "rpartition", "rsplit")
    },
    "tools again and again": "{% for i in range(99999) %}{{ messages | tojson }}{% endfor %}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_and_harms_nothing(name: str) -> None:
    with pytest.raises(InvalidTemplate):
        rendering(HOSTILE[name], MESSAGES, "", "")
    assert rendering(CHATML, MESSAGES, "", "") == reference_rendering(CHATML, MESSAGES, "", "")


@pytest.mark.slow
def test_a_hostile_template_takes_little_memory() -> None:
    tracemalloc.start()
    for name in ("separators", "ascii of a text", "a list of characters", "sorted characters", "words", "lines", MANY):
        with pytest.raises(InvalidTemplate):
            rendering(HOSTILE[name], MESSAGES, "", "")
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < 200_000_000


def test_a_namespace_prints_nothing_of_what_it_holds() -> None:
    template = DOUBLING % "namespace(a=ns.s, b=ns.s)" + "{{ ns }}{{ ns.s }}"
    assert rendering(template, MESSAGES, "", "") == "<Namespace><Namespace>"


@pytest.mark.parametrize("value", ["{'a': 1}.items().mapping", "'a'.encode", "(1).to_bytes", "('a' | safe).unescape"])
def test_what_is_not_listed_is_not_there(value: str) -> None:
    assert rendering("{{ " + value + " }}", MESSAGES, "", "") == ""


def test_a_reason_has_an_end() -> None:
    with pytest.raises(InvalidTemplate, match="aaa") as refused:
        rendering("{{ raise_exception('a' * 1000000) }}", MESSAGES, "", "")
    assert len(refused.value.message) < 1100


def test_a_long_conversation_is_no_hostility() -> None:
    messages = tuple(ChatMessage(role="user", content="x" * 100_000) for _ in range(20))
    assert len(rendering(CHATML, messages, "", "")) > 2_000_000
