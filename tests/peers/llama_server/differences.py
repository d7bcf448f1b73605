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
_ANY_VALUE = "a list that llama.cpp makes of a schema without a type, by which any value is valid"
_PREFILL = "an answer that goes on from the last message: a conversation's answer begins anew here"
_PROGRESS = "an execution tells nothing of its prompt's progress"
_BLOCKS = "the prefix cache keeps blocks of 64 tokens, and these prompts are shorter"
_SAMPLED = "probabilities are the model's own, before any sampler"
_SWITCH = "`/metrics` and `/slots` are always there: they need no switch"
_DATE = "templates are told no date that the request does not name: the same request gives the same prompt on any day"
_VARIABLES = "a template of variables that llama.cpp alone gives (`functions`, `datetime`)"
_CORS = "origins are named one by one with `--http-origin`; pages of others are refused with 403"
_PAGE = "files of llama-server's own page"
_IMAGES = "models here read text"
_SHIFT = "nothing is cut off silently: there is no context shift"
_ALIASES = "a model has one name, and no tags"
_UNBOUNDED = "arguments that a model of random weights fills with one text up to the limit"
_CALLS = "calls that a model of random weights does not make of its own accord"
_GENERATOR = "a template for llama.cpp's `tojson`, which takes generators; Jinja's does not"
_EMPTY = "an empty input is refused, as OpenAI's own API does"
_POOLING = "a vector for each text, not for each token"
_EMBEDDINGS = "vectors are operations: figures count executions"
_PROXY = "`/cors-proxy` fetches what others name: this engine fetches nothing for others"

_SLOTS = "executions have no slots to save, restore or empty: the prefix cache keeps prompts"
_TOOLS = "tools are the client's to run"
_NOT_HERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "test_compat_gcp.py": ("routes of Google's prediction service", ("404 == 200",)),
    "test_infill.py": ("no model here fills in a middle", ("501 == 200", "501 == 400")),
    "test_kv_keep_only_active.py": (_SLOTS, ("__TEST_TAG_CACHE_IDLE_SLOTS_ENABLED__",)),
    "test_lora.py": ("adapters are not run", ("moe_shakespeare15M",)),
    "test_mcp_servers.py": (_TOOLS, ("/tools: tools are the client's to run", "invalid MCP JSON config")),
    "test_proxy.py": (_PROXY, ("501 == 403", "501 == 200", "405 == 204")),
    "test_rerank.py": ("no model here ranks documents", ("501 == 200", "501 == 400")),
    "test_router.py": (
        "one engine holds all models: there are no servers behind it to start and stop",
        (
            *("'role'", "None is not None", "501 == 200", "200 == 400", "405 == 200"),
            *("test_reload.ini", "test_dedup.ini", "tinygemma3-preset"),
        ),
    ),
    "test_sleep.py": (
        "the server never sleeps: idle models go when their room is needed",
        ("server did not go to sleep", "is_sleeping"),
    ),
    "test_slot_save.py": (_SLOTS, ("(Whiskers|Flana)+", "501 == 200", "huggingface.co", "9 == 8")),
    "test_speculative.py": (
        "the model that drafts is named by a request, not by flags",
        ("stories15M-q4_0",),
    ),
    "test_stream.py": (
        "nothing is kept of a stream whose client went: the execution is cancelled",
        ("404 == 200", "StopIteration"),
    ),
    "test_tools_builtin.py": (_TOOLS, ("/tools: tools are the client's to run",)),
    "test_vision_api.py": (_IMAGES, ("400 == 200", "huggingface.co", "KeyError: 'models'")),
}
"""Files of what this engine does not have: why, and what their tests fail with."""

DIFFERENCES: tuple[Difference, ...] = (
    *(Difference((file,), failing, why) for file, (why, failures) in _NOT_HERE.items() for failing in failures),
    Difference(("test_compat_anthropic.py::test_anthropic_empty_messages",), "400 == 200", _EMPTY),
    Difference(("test_compat_anthropic.py::test_anthropic_tool_result_with_image",), "400 == 500", _IMAGES),
    Difference(("test_compat_anthropic.py::test_anthropic_thinking_with_reasoning_model",), "Should have", _TEXT),
    Difference(("test_compat_anthropic.py::test_anthropic_vision_format_accepted",), "400 == 500", _IMAGES),
    Difference(("test_compat_anthropic.py::test_anthropic_vision_base64",), "huggingface.co", _IMAGES),
    Difference(("test_compat_oai_responses.py::test_responses_stream_with_llama",), "saw_progress", _PROGRESS),
    Difference(("test_basic.py::test_server_slots", "test_metrics.py::test_metrics_disabled"), "200 == 501", _SWITCH),
    Difference(("test_basic.py::test_no_ui",), "<!doctype html>", _PAGE),
    Difference(("test_basic.py::test_server_model_aliases_and_tags",), "'aliases'", _ALIASES),
    Difference(("test_chat_completion.py::test_chat_completion",), "== n_prompt", _VOCABULARY),
    Difference(
        ("test_chat_completion.py::test_completion_with_response_format[response_format1",), "'[ -3000 ]'", _ANY_VALUE
    ),
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
    Difference(
        ("test_metrics.py::test_metrics_timings_on_prompt_progress",), "there is no room for an answer", _VOCABULARY
    ),
    Difference(("test_security.py::test_access_static_assets",), "for /sw.js", _PAGE),
    Difference(("test_security.py::test_cors_proxy",), "501 == 200", _PROXY),
    Difference(("test_security.py::test_cors_o",), "403 == 200", _CORS),
    Difference(("test_security.py::test_local_media_file",), "400 == 200", _IMAGES),
    Difference(
        ("test_tool_call.py::test_completion_with_required_tool_real_model",), "Unterminated string", _UNBOUNDED
    ),
    Difference(
        ("test_tool_call.py::test_weather", "test_tool_call.py::test_hello_world"), "Expected 1 tool call", _CALLS
    ),
    Difference(("test_tool_call.py::test_calc_result",), "Expected something like", _TEXT),
    Difference(("test_tool_call.py::test_calc_result",), "generator is not JSON serializable", _GENERATOR),
    Difference(("test_tool_call.py::test_calc_result[[",), "Server returned error: 400", _GENERATOR),
    Difference(("test_tool_call.py::test_thoughts",), "re.match(expect_", _TEXT),
    Difference(("test_template.py::test_add_generation_prompt",), "Did not expect generation prompt", _PREFILL),
    Difference(("test_template.py::test_date_inside_prompt[meta-llama",), "Expected today's date", _DATE),
    Difference(("test_template.py::test_date_inside_prompt[fireworks-ai",), "400 == 200", _VARIABLES),
)


def difference_of(test: str, failure: str, known: Sequence[Difference] = DIFFERENCES) -> Difference | None:
    """The difference that a failure is, if it is one."""
    return next((one for one in known if test.startswith(one.tests) and one.failing in failure), None)
