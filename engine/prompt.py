"""A request's input, made into the token ids the model is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.artifact import ModelArtifact
from protocol.errors import InvalidRequest, InvalidTemplate, PromptTooLong
from protocol.plan import RunRequest


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    token_ids: tuple[int, ...]
    prompt_format: Literal["raw", "chat_template"]


def prepare_prompt(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    """Tokenize a ``prompt`` as plain text, or render ``messages`` with the model's template and tokenize the result.

    A ``prompt`` cannot spell control tokens; a rendered template can. The model's BOS rule applies to both, except that
    a template which already begins with BOS gets no second one. An empty prompt becomes the one token that begins a
    text. Blocking: the first use builds the tokenizer.

    Raises:
        InvalidRequest: an empty prompt, and no BOS token to begin with.
        PromptTooLong: a text so long that, whatever its tokens, they cannot fit the trained context.
        InvalidTemplate: the model has no chat template, or it failed.
        InvalidModel, UnsupportedModel: the vocabulary cannot be used.
    """
    tokenizer = artifact.tokenizer
    if request.messages is None:
        text = request.prompt or ""
        _require_room(text, artifact)
        return PreparedPrompt(tuple(tokenizer.encode(text)) or _beginning(artifact), "raw")
    template = artifact.chat_template
    if template is None:
        raise InvalidTemplate(
            f"{artifact.name} has no chat template; send the text as `prompt` instead of `messages`",
            model=artifact.name,
        )
    from engine.chat import render_chat  # noqa: PLC0415  Jinja2 takes long to import, and plain prompts do without

    text = render_chat(template, request.messages, tokenizer.bos_text, tokenizer.eos_text)
    _require_room(text, artifact)
    begun = bool(tokenizer.bos_text) and text.startswith(tokenizer.bos_text)
    token_ids = tuple(tokenizer.encode(text, add_special=not begun, parse_special=True))
    return PreparedPrompt(token_ids or _beginning(artifact), "chat_template")


def _require_room(text: str, artifact: ModelArtifact) -> None:
    """Refuse a hopeless text before minutes are spent on tokenizing it."""
    least_tokens = len(text.encode()) // artifact.tokenizer.max_token_bytes
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
