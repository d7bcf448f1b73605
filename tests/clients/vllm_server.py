"""A plugin of pytest that runs vLLM's tests of a server against the engine: ``make test-vllm``.

It puts modules in place of those that these tests import beside their client: their fixture of a server starts the
engine, and what they ask of the machine is answered as by one whose tests are not skipped. The tests stay as they are.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import openai
from typing_extensions import Self

from tests.clients.http_engine import serving_http

_PLAN_FIELDS = {"--max-num-seqs": "max_sequences", "--max-num-batched-tokens": "prefill_chunk"}
"""What vLLM's options are called in a plan. Its others say nothing to a CPU."""


class RemoteOpenAIServer:
    """The engine, with the model that ``ENGINE_VLLM_MODEL`` names in place of any that is asked for."""

    def __init__(self, model: str, arguments: Sequence[str]) -> None:
        options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        execution = {field: int(options[name]) for name, field in _PLAN_FIELDS.items() if name in options}
        self._defaults = json.dumps({"execution": execution})
        self._open = ExitStack()
        self._address = ""

    def __enter__(self) -> Self:
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="engine-")))
        defaults = folder / "defaults.json"
        defaults.write_text(self._defaults)
        flags = ("--http-defaults", str(defaults), "--http-default-model", os.environ["ENGINE_VLLM_MODEL"])
        environment = {**os.environ, "ENGINE_DATA_DIR": str(folder / "data")}
        self._address = self._open.enter_context(serving_http(folder, *flags, env=environment)).v1
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def get_client(self) -> openai.OpenAI:
        """A client of the engine."""
        return openai.OpenAI(base_url=self._address, api_key="none", max_retries=0)


def _put(name: str, **content: Any) -> None:
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module


_ANY_MODEL = SimpleNamespace(layer_types=["full_attention"], is_deepseek_mla=lambda: False)
_ANY_MODEL.get_text_config = lambda: _ANY_MODEL
_A_DEVICE = SimpleNamespace(is_cuda=lambda: True, is_xpu=lambda: False, has_device_capability=lambda _: True)

_put("tests.utils", RemoteOpenAIServer=RemoteOpenAIServer)
_put("torch")
_put("vllm.platforms", current_platform=_A_DEVICE)
_put("vllm.transformers_utils.config", get_config=lambda *_, **__: _ANY_MODEL)
_put("vllm.transformers_utils.model_arch_config_convertor", ModelArchConfigConvertorBase=lambda *_: _ANY_MODEL)
_put("vllm.triton_utils", HAS_TRITON=False)
_put("vllm.v1.attention.backends.fa_utils", flash_attn_supports_mla=lambda: False)
