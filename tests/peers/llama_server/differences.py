"""Where llama-server's tests ask for what is not this engine's to give, each with its reason.

A difference names tests and what they fail with: a test that fails with anything else has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANY_TEXT = frozenset(
    {
        "test_basic.py::test_load_split_model",
        "test_chat_completion.py::test_chat_completion",
        "test_chat_completion.py::test_chat_completion_stream",
        "test_chat_completion.py::test_chat_completion_with_openai_library",
        "test_compat_oai_responses.py::test_responses_stream_with_openai_library",
        "test_compat_oai_responses.py::test_responses_with_openai_library",
        "test_completion.py::test_completion",
        "test_completion.py::test_completion_stream",
        "test_completion.py::test_completion_stream_with_openai_library",
        "test_completion.py::test_completion_stream_with_openai_library_stops",
        "test_completion.py::test_completion_with_openai_library",
    }
)
"""Tests of what llama.cpp's own models say: any text will do for their regular expressions."""


@dataclass(frozen=True)
class Difference:
    """Tests that need not pass."""

    tests: tuple[str, ...]
    """What their names begin with."""
    failing: str
    """Stands in what they fail with."""
    reason: str


_VOCABULARY = "counts of tokens by the vocabulary of stories260K, which no package carries"
_TEXT = "text of llama.cpp's own model"
_PREFILL = "an answer that goes on from the last message: a conversation's answer begins anew here"
_PROGRESS = "an execution tells nothing of its prompt's progress"
_BLOCKS = "the prefix cache keeps blocks of 64 tokens, and these prompts are shorter"
_SAMPLED = "probabilities are the model's own, before any sampler"
_SWITCH = "`/metrics` and `/slots` are always there: they need no switch"
_DATE = "templates are told no date that the request does not name: the same request gives the same prompt on any day"
_CORS = "origins are named one by one with `--http-origin`; pages of others are refused with 403"
_PAGE = "files of llama-server's own page"
_IMAGES = "models here read text"
_SHIFT = "nothing is cut off silently: there is no context shift"
_ALIASES = "a model has one name, and no tags"
_EMPTY = "an empty input is refused, as OpenAI's own API does"
_POOLING = "a vector for each text, not for each token"
_EMBEDDINGS = "vectors are operations: figures count executions"
_PROXY = "`/cors-proxy` fetches what others name: this engine fetches nothing for others"

_SLOTS = "executions have no slots to save, restore or empty: the prefix cache keeps prompts"
_FILES = {
    "test_compat_gcp.py": "routes of Google's prediction service",
    "test_infill.py": "no model here fills in a middle",
    "test_kv_keep_only_active.py": _SLOTS,
    "test_lora.py": "adapters are not run",
    "test_mcp_servers.py": "tools are the client's to run",
    "test_proxy.py": _PROXY,
    "test_rerank.py": "no model here ranks documents",
    "test_router.py": "one engine holds all models: there are no servers behind it to start and stop",
    "test_sleep.py": "the server never sleeps: idle models go when their room is needed",
    "test_slot_save.py": _SLOTS,
    "test_speculative.py": "no second model drafts tokens",
    "test_stream.py": "nothing is kept of a stream whose client went: the execution is cancelled",
    "test_tools_builtin.py": "tools are the client's to run",
    "test_vision_api.py": _IMAGES,
}
"""Files of what this engine does not have."""

DIFFERENCES: tuple[Difference, ...] = (
    *(Difference((file,), "", reason) for file, reason in _FILES.items()),
    Difference(("test_compat_anthropic.py::test_anthropic_empty_messages",), "400 == 200", _EMPTY),
    Difference(("test_compat_anthropic.py::test_anthropic_tool_result_with_image",), "400 == 500", _IMAGES),
    Difference(("test_compat_anthropic.py::test_anthropic_thinking_with_reasoning_model",), "Should have", _TEXT),
    Difference(("test_compat_anthropic.py::test_anthropic_vision",), "", _IMAGES),
    Difference(("test_compat_oai_responses.py::test_responses_stream_with_llama",), "saw_progress", _PROGRESS),
    Difference(("test_basic.py::test_server_slots", "test_metrics.py::test_metrics_disabled"), "200 == 501", _SWITCH),
    Difference(("test_basic.py::test_no_ui",), "<!doctype html>", _PAGE),
    Difference(("test_basic.py::test_server_model_aliases_and_tags",), "'aliases'", _ALIASES),
    Difference(("test_chat_completion.py::test_chat_completion",), "== n_prompt", _VOCABULARY),
    Difference(("test_chat_completion.py::test_chat_template_assistant_prefill",), "== 200", _PREFILL),
    Difference(("test_chat_completion.py::test_chat_template_continue_final_message",), "400 == 200", _PREFILL),
    Difference(("test_chat_completion.py::test_invalid_chat_completion_req[messages7]",), "200 == 400", _PREFILL),
    Difference(("test_chat_completion.py::test_return_progress",), "assert None is not None", _PROGRESS),
    Difference(
        ("test_completion.py::test_completion[", "test_completion.py::test_completion_stream["), "_n", _VOCABULARY
    ),
    Difference(("test_completion.py::test_completion_prompt_cache",), "== n_prompt", _VOCABULARY),
    Difference(("test_completion.py::test_n_probs_post",), "400 == 200", _SAMPLED),
    Difference(("test_ctx_shift.py::test_ctx_shift_disabled_short_prompt",), "== n_token_output", _VOCABULARY),
    Difference(("test_ctx_shift.py::test_ctx_shift_enabled",), "400 == 200", _SHIFT),
    Difference(("test_embedding.py::test_embedding_mixed_input[-False]",), "400 == 200", _EMPTY),
    Difference(("test_embedding.py::test_embedding_pooling_none",), "400 == 200", _POOLING),
    Difference(("test_embedding.py::test_embedding_usage",), "['prompt_tokens'] ==", _VOCABULARY),
    Difference(("test_metrics.py::test_metrics_embedding_prompt_is_counted",), "llamacpp:", _EMBEDDINGS),
    Difference(("test_metrics.py::test_metrics_prompt_processed_and_cached",), "n_cached > 0", _BLOCKS),
    Difference(("test_metrics.py::test_metrics_timings_on_prompt_progress",), "", _PROGRESS),
    Difference(("test_security.py::test_access_static_assets",), "for /sw.js", _PAGE),
    Difference(("test_security.py::test_cors_proxy",), "501 == 200", _PROXY),
    Difference(("test_security.py::test_cors_o",), "403 == 200", _CORS),
    Difference(("test_security.py::test_local_media_file",), "400 == 200", _IMAGES),
    Difference(("test_template.py::test_add_generation_prompt",), "Did not expect generation prompt", _PREFILL),
    Difference(("test_template.py::test_date_inside_prompt",), "", _DATE),
)


def difference_of(test: str, failure: str, known: Sequence[Difference] = DIFFERENCES) -> Difference | None:
    """The difference that a failure is, if it is one."""
    return next((one for one in known if test.startswith(one.tests) and one.failing in failure), None)
