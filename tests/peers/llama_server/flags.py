"""llama-server's flags, as far as its own tests give them and this engine has the like of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + "
    "message.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
COMMAND_R = (
    "{% set speakers = {'system': 'SYSTEM', 'user': 'USER', 'assistant': 'CHATBOT'} %}"
    "{% for message in messages %}{{ '<|START_OF_TURN_TOKEN|><|' + speakers[message.role] + '_TOKEN|>' + "
    "message.content | trim + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
)
_TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3, "command-r": COMMAND_R}
"""Templates that llama-server knows by name."""


SAMPLING: dict[str, Any] = {"top_k": 40, "top_p": 0.95, "min_p": 0.05}
"""What llama-server draws by on all of its routes where neither command line nor request says otherwise."""
CONTEXT_LENGTH = 8192
"""Tokens of context, where a test asks for no more. Vectors are made of as much as the model was trained for."""


@dataclass(frozen=True)
class ServerFlags:
    """What a test starts its server with."""

    hosts: tuple[str, ...]
    port: int
    alias: str
    secret: str | None
    chat_template: str
    context_length: int
    """That the model is trained for."""
    defaults: dict[str, Any]
    """What requests ask for that say nothing else: llama-server has these on its command line."""


def read_flags(arguments: Sequence[str]) -> ServerFlags:
    """Flags that this engine has no like of are ignored: what they are for shows in the test."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--host", "--alias", "--api-key", "--chat-template", "--pooling", "--reasoning"):
        parser.add_argument(name)
    for name in ("--port", "--ctx-size", "--parallel", "--n-predict", "--seed", "--batch-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--temp", type=float)
    parser.add_argument("--chat-template-file", type=Path)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--kv-unified", action="store_true")
    parser.add_argument("--embedding", action="store_true")
    given, _ = parser.parse_known_args(arguments)
    return ServerFlags(
        hosts=tuple((given.host or "127.0.0.1").split(",")),
        port=given.port or 8080,
        alias=(given.alias or "tiny").split(",")[0],
        secret=given.api_key,
        chat_template=_template(given.chat_template, given.chat_template_file),
        context_length=_context_length(given),
        defaults=_defaults(given),
    )


def _context_length(given: argparse.Namespace) -> int:
    if given.embedding and given.ctx_size:
        return int(given.ctx_size)
    return max(CONTEXT_LENGTH, given.ctx_size or 0)


def _template(name: str | None, file: Path | None) -> str:
    if file is not None:
        return file.read_text()
    return CHATML if name is None else _TEMPLATES.get(name, name)


def _defaults(given: argparse.Namespace) -> dict[str, Any]:
    defaults = {**SAMPLING, "seed": given.seed, "temperature": given.temp, "pooling": given.pooling}
    if given.n_predict is not None and given.n_predict > 0:
        defaults |= {"n_predict": given.n_predict, "max_tokens": given.n_predict}
    if given.reasoning is not None:  # "auto" has templates think that can
        defaults["chat_template_kwargs"] = {"enable_thinking": given.reasoning != "off"}
    if given.verbose:
        defaults["verbose"] = True
    execution = {"max_sequences": given.parallel, "prefill_chunk": given.batch_size}
    if given.ctx_size is not None:
        shared = 1 if given.kv_unified else given.parallel or 1
        execution["context_length"] = given.ctx_size // shared
    defaults["execution"] = {name: value for name, value in execution.items() if value is not None}
    return {name: value for name, value in defaults.items() if value is not None}
