"""A conversation made into the text of a prompt, with what is to be known of its answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from engine.planning.reasoning_rules import plan_reasoning
from engine.planning.tool_rules import offered_tools, plan_call_grammar, plan_tools
from engine.text.answer.call_formats import CALL_FORMATS
from engine.text.answer.thinking import THINKING
from engine.text.chat import ChatSettings, TemplatePlace, place_in, render_chat
from engine.text.conversation import as_user, fitted
from engine.text.tokenizer import Tokenizer
from protocol.chat import JsonObject
from protocol.errors import InvalidTemplate
from protocol.grammar import PlanGrammar
from protocol.plan import RunRequest
from protocol.reasoning import PlanReasoning
from protocol.tool_calls import PlanTools, SpelledToken

_MARKS = (*range(0xFDD0, 0xFDF0), *range(0x10F000, 0x110000))
"""Characters that stand for nothing, and then some for private use: no text holds all of them."""


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation as the model is given it, and how its answer will be read."""

    text: str
    """What the template made of it."""
    marked: str
    """The same, with marks in what spells control tokens and is none."""
    mark: str | None
    tools: PlanTools | None
    reasoning: PlanReasoning | None
    spelled_tokens: tuple[SpelledToken, ...]
    call_grammar: PlanGrammar | None
    stop_strings: tuple[str, ...]

    def token_ids(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """The prompt's tokens, BOS among them where the vocabulary asks for it."""
        return tuple(tokenizer.encode_sequence(self.marked, self.mark))


def prepare_chat(request: RunRequest, tokenizer: Tokenizer, template: str) -> ChatPrompt:
    """The conversation, rendered.

    Raises:
        InvalidTemplate: see :func:`render_chat`.
        InvalidPlan, InvalidRequest: see :func:`plan_reasoning`.
        InvalidGrammar, GrammarTooLarge, GrammarTooDeep: see :func:`plan_call_grammar`.
    """
    place, offered = place_in(template), offered_tools(request)
    mark = None if request.execution.message_control_tokens else _unused_character(request, template)
    marked = _rendered(request, tokenizer, template, place, offered, mark)
    text = marked if mark is None else marked.replace(mark, "")
    tools = plan_tools(request, template, place)
    reasoning = plan_reasoning(
        request.execution.reasoning,
        template,
        marked,
        lambda marker: tokenizer.encode(marker, add_special=False, parse_special=True),
        held=request.execution.grammar is not None or (tools is not None and tools.choice != "auto"),
    )
    return ChatPrompt(
        text=text,
        marked=marked,
        mark=mark,
        tools=tools,
        reasoning=reasoning,
        spelled_tokens=_spelled_tokens(tools, reasoning, tokenizer),
        call_grammar=plan_call_grammar(tools, offered, tokenizer.control_id),
        stop_strings=_stop_strings(tools),
    )


def _rendered(
    request: RunRequest,
    tokenizer: Tokenizer,
    template: str,
    place: TemplatePlace,
    offered: Sequence[JsonObject],
    mark: str | None,
) -> str:
    settings = ChatSettings(
        bos_token=tokenizer.bos_text,
        eos_token=tokenizer.eos_text,
        special_tokens=tokenizer.special_texts,
        day=request.execution.chat_date,
        enable_thinking=request.execution.reasoning.enabled,
        literal=str if mark is None else lambda text: tokenizer.literal(text, mark),
        mark=mark or "",
    )
    messages = fitted(request.messages or (), place, offered)
    if place.tools or not offered:
        return render_chat(template, messages, settings, offered)
    try:
        return render_chat(template, messages, settings)
    except InvalidTemplate:
        return render_chat(template, as_user(messages), settings)  # some refuse system messages


def _unused_character(request: RunRequest, template: str) -> str:
    said = [message.model_dump() for message in request.messages or ()]
    text = template + json.dumps([said, request.tools], ensure_ascii=False)
    return next(chr(code) for code in _MARKS if chr(code) not in text)


def _spelled_tokens(
    tools: PlanTools | None, reasoning: PlanReasoning | None, tokenizer: Tokenizer
) -> tuple[SpelledToken, ...]:
    """The markers that the answer is read for and that would print nothing."""
    markers = () if tools is None else CALL_FORMATS[tools.format].markers
    markers += () if reasoning is None else THINKING[reasoning.format].tokens
    ids = {token_id: marker for marker in markers if (token_id := tokenizer.control_id(marker)) is not None}
    return tuple(SpelledToken(token_id=token_id, text=ids[token_id]) for token_id in sorted(ids))


def _stop_strings(tools: PlanTools | None) -> tuple[str, ...]:
    """What ends an answer of at most one call, where the model decides whether to make it."""
    if tools is None or tools.parallel or tools.choice != "auto":
        return ()
    return CALL_FORMATS[tools.format].closers
