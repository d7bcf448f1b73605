"""Chat messages to the text a model was trained on, by the Jinja2 template in its GGUF."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jinja2 import Template

from engine.template_sandbox import BUDGET, Budget, BudgetedEnvironment
from protocol.errors import InvalidTemplate
from protocol.plan import ChatMessage

_LARGEST_TEMPLATE = 1 << 18
_CACHED_TEMPLATES = 16


def render_chat(template: str, messages: Sequence[ChatMessage], bos_token: str, eos_token: str) -> str:
    """The messages as text that ends where the assistant's answer begins.

    The same input gives the same text on any day: templates are not told the date (``strftime_now`` is undefined, and
    those that test for it fall back to a fixed one). Files, imports and Python's internals are out of reach, and time,
    memory and output are bounded.

    Raises:
        InvalidTemplate: it is malformed, refuses these messages, or does what a chat template must not.
    """
    if len(template) > _LARGEST_TEMPLATE:
        raise InvalidTemplate(f"the chat template has {len(template)} characters; the limit is {_LARGEST_TEMPLATE}")
    said = [{"role": message.role, "content": message.content} for message in messages]
    variables = {"messages": said, "tools": None, "documents": None, "add_generation_prompt": True}
    try:
        compiled = _compiled(template)
        token = BUDGET.set(Budget(sum(len(message.content) for message in messages)))
        try:
            rendered = compiled.render(variables, bos_token=bos_token, eos_token=eos_token)
            rendered.encode()  # refuses surrogates, which a template can spell
            return rendered
        finally:
            BUDGET.reset(token)
    # Whatever a template makes Python raise is the template's fault: type errors, recursion, overflow, lack of memory.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InvalidTemplate(f"the model's chat template failed: {reason}", reason=reason) from error


@lru_cache(_CACHED_TEMPLATES)
def _compiled(template: str) -> Template:
    return BudgetedEnvironment().from_string(template)
