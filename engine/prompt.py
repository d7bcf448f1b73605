"""A request's input, made into the token ids the model is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.artifact import ModelArtifact
from engine.chat import render_chat
from protocol.errors import InvalidTemplate
from protocol.plan import RunRequest


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    token_ids: tuple[int, ...]
    prompt_format: Literal["raw", "chat_template"]


def prepare_prompt(request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    """Tokenize a ``prompt`` as plain text, or render ``messages`` with the model's template and tokenize the result.

    A ``prompt`` cannot spell control tokens; a rendered template can. The model's BOS rule applies to both, except that
    a template which already begins with BOS gets no second one. Blocking: the first use builds the tokenizer.

    Raises:
        InvalidTemplate: the model has no chat template, or it failed.
        InvalidModel, UnsupportedModel: the vocabulary cannot be used.
    """
    tokenizer = artifact.tokenizer
    if request.messages is None:
        return PreparedPrompt(tuple(tokenizer.encode(request.prompt or "")), "raw")
    template = artifact.chat_template
    if template is None:
        raise InvalidTemplate(
            f"{artifact.name} has no chat template; send the text as `prompt` instead of `messages`",
            model=artifact.name,
        )
    text = render_chat(template, request.messages, tokenizer.bos_text, tokenizer.eos_text)
    begun = bool(tokenizer.bos_text) and text.startswith(tokenizer.bos_text)
    return PreparedPrompt(tuple(tokenizer.encode(text, add_special=not begun, parse_special=True)), "chat_template")
