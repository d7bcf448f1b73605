"""A request's input, made into the token ids the model is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from engine.artifact.artifact import ModelArtifact
from engine.text.chat_formats import BUILT_IN_FORMATS, OWN_FORMAT
from protocol.errors import InvalidRequest, InvalidTemplate, PromptTooLong
from protocol.plan import PromptFormat, RunRequest


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt in tokens."""

    token_ids: tuple[int, ...]
    prompt_format: PromptFormat


def prepare_prompt(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    """Tokenize a ``prompt`` as plain text, or ``messages`` as a chat template renders them; take token ids as they are.

    A ``prompt`` cannot spell control tokens; a rendered template can. The model's BOS rule applies to both, except that
    a template which already begins with BOS gets no second one. An empty prompt becomes the one token that begins a
    text. Blocking: the first use builds the tokenizer.

    Raises:
        InvalidRequest: an empty prompt and no BOS token to begin with, token ids that the vocabulary does not have, or
            a chat's settings for a ``prompt``.
        PromptTooLong: a text so long that, whatever its tokens, they cannot fit the trained context.
        InvalidTemplate: the model has no chat template and none was chosen, the vocabulary does not fit the chosen one,
            or the template failed, or has no place for ``tools``.
        InvalidModel, UnsupportedModel: the vocabulary cannot be used.
    """
    if request.messages is not None:
        return _prepare_chat(request, artifact)
    for field, given in (
        ("chat_template", request.execution.chat_template != OWN_FORMAT),
        ("chat_date", request.execution.chat_date is not None),
    ):
        if given:
            raise InvalidRequest(f"{field} applies to messages; a prompt is passed on unchanged", field=field)
    if request.prompt_token_ids is not None:
        artifact.tokenizer.require_ids(request.prompt_token_ids, "prompt_token_ids")
        return PreparedPrompt(request.prompt_token_ids, "raw")
    text = request.prompt or ""
    _require_room(text, artifact)
    return PreparedPrompt(tuple(artifact.tokenizer.encode(text)) or _beginning(artifact), "raw")


def _prepare_chat(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    from engine.text.chat import render_chat  # noqa: PLC0415  Jinja2 takes long to import, and plain prompts do without

    tokenizer = artifact.tokenizer
    template, prompt_format = _template(request, artifact)
    text = render_chat(
        template,
        request.messages or (),
        tokenizer.bos_text,
        tokenizer.eos_text,
        request.tools,
        request.execution.chat_date,
    )
    _require_room(text, artifact)
    begun = bool(tokenizer.bos_text) and text.startswith(tokenizer.bos_text)
    token_ids = tuple(tokenizer.encode(text, add_special=not begun, parse_special=True))
    return PreparedPrompt(token_ids or _beginning(artifact), prompt_format)


def _template(request: RunRequest, artifact: ModelArtifact) -> tuple[str, PromptFormat]:
    chosen = request.execution.chat_template
    if chosen == OWN_FORMAT:
        own = artifact.tool_template if request.tools else artifact.chat_template
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


def _require_room(text: str, artifact: ModelArtifact) -> None:
    """Refuse a hopeless text before minutes are spent on tokenizing it."""
    least_tokens = artifact.tokenizer.least_tokens(text)
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
