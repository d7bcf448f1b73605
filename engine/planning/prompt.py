"""A request's input, made into the token ids the model is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from engine.artifact.artifact import ModelArtifact
from engine.planning.tool_rules import offered_tools
from engine.text.chat_formats import BUILT_IN_FORMATS, OWN_FORMAT
from protocol.errors import InvalidRequest, InvalidTemplate, PromptTooLong
from protocol.grammar import PlanGrammar
from protocol.plan import PromptFormat, RunRequest
from protocol.reasoning import PlanReasoning, Reasoning
from protocol.tool_calls import PlanTools, SpelledToken


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """What the model is given, and how its answer will be read."""

    token_ids: tuple[int, ...]
    prompt_format: PromptFormat
    tools: PlanTools | None = None
    reasoning: PlanReasoning | None = None
    spelled_tokens: tuple[SpelledToken, ...] = ()
    call_grammar: PlanGrammar | None = None
    """Holds calls that must be made."""
    stop_strings: tuple[str, ...] = ()
    """Beside the request's own."""
    text: str | None = None
    """What was tokenized; ``None``: token ids were given."""

    @property
    def plan_fields(self) -> dict[str, Any]:
        """What a plan takes as it is."""
        names = ("prompt_format", "tools", "reasoning", "spelled_tokens")
        return {name: getattr(self, name) for name in names}


def prepare_prompt(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    """Tokenize a ``prompt`` as it is, or ``messages`` as a chat template renders them; take token ids as they are.

    A ``prompt`` is all that the model is given, so it can spell control tokens, as a template can; messages and tools
    cannot unless the request lets them. The model's BOS rule applies to both, except that a text which already begins
    with BOS gets no second one. An empty prompt becomes the one token that begins a text. Blocking: the first use
    builds the tokenizer.

    Raises:
        InvalidRequest: an empty prompt and no BOS token to begin with, token ids that the vocabulary does not have, or
            a chat's settings for a ``prompt``.
        PromptTooLong: a text so long that, whatever its tokens, they cannot fit the trained context.
        InvalidTemplate: the model has no chat template and none was chosen, the vocabulary does not fit the chosen one,
            or the template failed.
        InvalidPlan, InvalidGrammar, GrammarTooLarge, GrammarTooDeep: see :func:`plan_reasoning` and
            :func:`plan_call_grammar`.
        InvalidModel, UnsupportedModel: the vocabulary cannot be used.
    """
    if request.messages is not None:
        return _prepare_chat(request, artifact)
    for field, given in (
        ("chat_template", request.execution.chat_template != OWN_FORMAT),
        ("chat_date", request.execution.chat_date is not None),
        ("reasoning", request.execution.reasoning != Reasoning()),
        ("message_control_tokens", request.execution.message_control_tokens),
    ):
        if given:
            raise InvalidRequest(f"{field} applies to messages; a prompt is passed on unchanged", field=field)
    if request.prompt_token_ids is not None:
        artifact.tokenizer.require_ids(request.prompt_token_ids, "prompt_token_ids")
        return PreparedPrompt(request.prompt_token_ids, "raw")
    text = request.prompt or ""
    _require_room(artifact.tokenizer.least_tokens(text), artifact)
    token_ids = tuple(artifact.tokenizer.encode_sequence(text))
    return PreparedPrompt(token_ids or _beginning(artifact), "raw", text=text)


def _prepare_chat(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    from engine.planning.chat_prompt import prepare_chat  # noqa: PLC0415  imports Jinja2, which plain prompts do without

    template, prompt_format = _template(request, artifact)
    chat = prepare_chat(request, artifact.tokenizer, template)
    _require_room(artifact.tokenizer.least_tokens(chat.text), artifact)
    token_ids = chat.token_ids(artifact.tokenizer) or _beginning(artifact)
    return PreparedPrompt(
        *(token_ids, prompt_format, chat.tools, chat.reasoning, chat.spelled_tokens, chat.call_grammar),
        stop_strings=chat.stop_strings,
        text=chat.text,
    )


def _template(request: RunRequest, artifact: ModelArtifact) -> tuple[str, PromptFormat]:
    chosen = request.execution.chat_template
    if chosen == OWN_FORMAT:
        own = artifact.tool_template if offered_tools(request) else artifact.chat_template
        if own is None:
            raise InvalidTemplate(
                f"{artifact.name} has no chat template; choose a built-in one (chat_template: "
                f"{', '.join(BUILT_IN_FORMATS)}), or send the text as `prompt` instead of `messages`",
                model=artifact.name,
                allowed=list(BUILT_IN_FORMATS),
            )
        return own, "chat_template"
    built_in = BUILT_IN_FORMATS.get(chosen)
    if built_in is None:
        allowed = [OWN_FORMAT, *BUILT_IN_FORMATS]
        raise InvalidTemplate(f"unknown chat template {chosen!r}; allowed: {', '.join(allowed)}", allowed=allowed)
    for token in built_in.tokens:
        if len(artifact.tokenizer.encode(token, add_special=False, parse_special=True)) != 1:
            raise InvalidTemplate(
                f"the chat template {chosen} needs the token {token}, which the vocabulary of {artifact.name} lacks",
                model=artifact.name,
                token=token,
            )
    return built_in.template, cast(PromptFormat, chosen)


def refuse_hopeless(request: RunRequest, artifact: ModelArtifact) -> None:
    """Refuse a prompt of a model whose tokenizer is there, before anything is spent on it. Messages are left to
    :func:`prepare_prompt`: a template may leave out any of them.

    Raises PromptTooLong.
    """
    tokenizer = artifact.ready_tokenizer
    if request.prompt_token_ids is not None:
        _require_room(len(request.prompt_token_ids), artifact)
    elif tokenizer is not None and request.prompt is not None:
        _require_room(tokenizer.least_tokens(request.prompt), artifact)


def _require_room(least_tokens: int, artifact: ModelArtifact) -> None:
    """Refuse what is hopeless before minutes are spent on tokenizing it."""
    if least_tokens >= artifact.context_length:
        raise PromptTooLong(
            f"the prompt has at least {least_tokens} tokens and {artifact.name} was trained for "
            f"{artifact.context_length}",
            trained=artifact.context_length,
        )


def _beginning(artifact: ModelArtifact) -> tuple[int, ...]:
    bos_token_id = artifact.tokenizer.bos_token_id
    if bos_token_id is None:
        raise InvalidRequest(f"the prompt is empty and {artifact.name} has no BOS token to begin with", field="prompt")
    return (bos_token_id,)
