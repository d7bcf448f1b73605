"""An engine in a process of its own, as clients made by others meet it: over TCP and over its Unix socket."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TINY = "tiny"
"""A model of random weights, which says what a grammar has it say."""
THINKER = "thinker"
"""One that thinks first, for as long as it is let."""

HERMES = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    'Call them as <tool_call>{"name": "", "arguments": {}}</tool_call>.<|im_end|>\n{% endif %}'
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}"
    "{% for call in message.tool_calls or [] %}<tool_call>"
    '{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}'
    "</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A template with a place for tools, calls and their results."""
THINKING = HERMES.removesuffix("{% endif %}") + (
    "<think>\n{% if enable_thinking is defined and not enable_thinking %}\n</think>\n\n{% endif %}{% endif %}"
)
"""The same, opening what the model thinks."""


@dataclass(frozen=True)
class HttpEngine:
    """Where it is served."""

    url: str
    unix: Path
    process: subprocess.Popen[str]

    @property
    def v1(self) -> str:
        """What clients of OpenAI's API take for its address."""
        return f"{self.url}/v1"


def engine_ctl() -> str:
    """The engine's command, which is not in the clients' environment."""
    return os.environ.get("ENGINE_CTL") or str(REPOSITORY / ".venv/bin/engine-ctl")


@contextmanager
def serving_http(folder: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[HttpEngine]:
    """An engine on sockets in ``folder`` and on a free port; ended with the block."""
    socket = folder / "engine.sock"
    arguments = [engine_ctl(), "serve", "--socket", str(socket), "--http", "127.0.0.1:0", *flags]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=env) as process:  # noqa: S603  our own
        try:
            yield HttpEngine(_address(process), socket.with_name("engine-http.sock"), process)
        finally:
            process.terminate()
            process.wait(60)


def _address(process: subprocess.Popen[str]) -> str:
    """What the engine says of the port it took."""
    assert process.stderr is not None
    told = ""
    for line in process.stderr:
        told += line
        if line.startswith("HTTP on http://"):
            return line.removeprefix("HTTP on ").strip()
    raise AssertionError(f"the engine did not come up: {told}")
