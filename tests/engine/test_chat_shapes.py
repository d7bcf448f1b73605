"""The shapes of conversations that model families were trained on, each as the shortest template that makes it."""

from __future__ import annotations

import pytest
from jinja2 import TemplateError

from protocol.chat import ChatMessage
from protocol.errors import InvalidTemplate
from tests.engine.chat_reference import reference_rendering, rendering

HELLO = (ChatMessage(role="user", content="Hello"),)
TURNS = (*HELLO, ChatMessage(role="assistant", content=" Olá "), ChatMessage(role="user", content="a <b>\n"))
SYSTEM = (ChatMessage(role="system", content="Be brief."), *TURNS)
OUT_OF_TURN = (*HELLO, *HELLO)

ALTERNATING = (
    "{%- for message in said %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}{% endfor %}"
)

# family: the template, and what it makes of one question
SHAPES = {
    "Llama 3": (
        "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
        "{{ message.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        "<s><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "SmolLM2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    ),
    "Gemma 3": (
        "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] + '\n\n' -%}"
        "{%- set said = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set said = messages -%}{%- endif -%}"
        + ALTERNATING
        + "{%- for message in said -%}"
        "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
        "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}{{ message['content'] | trim }}"
        "{{ '<end_of_turn>\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
        "<s><start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n",
    ),
    "Phi-3": (
        "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}",
        "<|user|>\nHello<|end|>\n<|assistant|>\n",
    ),
    "Phi-4": (
        "{% for message in messages %}{% if (message.role in ['system', 'user', 'assistant']) %}"
        "{{ '<|im_start|>' ~ message.role ~ '<|im_sep|>' ~ message.content ~ '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
        "<|im_start|>user<|im_sep|>Hello<|im_end|><|im_start|>assistant<|im_sep|>",
    ),
    "Mistral": (
        "{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% set said = messages[1:] %}{% else %}{% set said = messages %}{% endif %}"
        + ALTERNATING
        + "{{- bos_token }}{%- for message in said %}{% if message.role == 'user' %}"
        "{%- if loop.last and system is defined %}{{ '[INST] ' + system + '\n\n' + message.content + '[/INST]' }}"
        "{% else %}{{ '[INST] ' + message.content + '[/INST]' }}{% endif %}"
        "{%- else %}{{ ' ' + message.content | trim + eos_token }}{% endif %}{% endfor %}",
        "<s>[INST] Hello[/INST]",
    ),
    "Granite": (
        "{%- for message in messages %}{{- '<|start_of_role|>' + message.role + '<|end_of_role|>' + message.content }}"
        "{{- '<|end_of_text|>\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}",
        "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
    ),
    "OLMo 2": (
        "{{ bos_token }}{% for message in messages %}{{ '<|' ~ message['role'] ~ '|>\n' ~ message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}"
        "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}",
        "<s><|user|>\nHello\n<|assistant|>\n",
    ),
}


@pytest.mark.parametrize("family", SHAPES)
def test_a_question_takes_the_familys_shape(family: str) -> None:
    template, expected = SHAPES[family]
    assert rendering(template, HELLO, "<s>", "</s>") == expected


@pytest.mark.parametrize("family", SHAPES)
@pytest.mark.parametrize("said", [HELLO, TURNS, SYSTEM, OUT_OF_TURN], ids=["hello", "turns", "system", "out of turn"])
def test_every_conversation_renders_as_jinja2_renders_it(family: str, said: tuple[ChatMessage, ...]) -> None:
    template, _ = SHAPES[family]
    try:
        expected = reference_rendering(template, said, "<s>", "</s>")
    except TemplateError as refused:
        with pytest.raises(InvalidTemplate, match=str(refused)):
            rendering(template, said, "<s>", "</s>")
    else:
        assert rendering(template, said, "<s>", "</s>") == expected


@pytest.mark.parametrize("family", ["Gemma 3", "Mistral"])
def test_a_family_that_wants_turns_to_alternate_says_so(family: str) -> None:
    with pytest.raises(InvalidTemplate, match="must alternate"):
        rendering(SHAPES[family][0], OUT_OF_TURN, "<s>", "</s>")
