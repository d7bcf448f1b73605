"""Chat templates for models that bring none. None is chosen by itself: a request names it, and so does its plan."""

from __future__ import annotations

from dataclasses import dataclass

OWN_FORMAT = "model"
"""The request's name for the template in the GGUF."""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """A built-in template."""

    template: str
    """In Jinja2."""
    tokens: tuple[str, ...]
    """What the vocabulary must have as tokens: spelled in pieces, a model would not know them for what they are."""


BUILT_IN_FORMATS: dict[str, ChatFormat] = {
    "chatml": ChatFormat(
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
    )
}
"""Built-in templates by the name that plans give as ``prompt_format``."""
