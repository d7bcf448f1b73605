"""How the process ends. The numbers are a contract: scripts and agents decide by them."""

from __future__ import annotations

INTERNAL_ERROR = 1
INTERRUPTED = 130
NOT_THE_SAME = 8
"""What was compared differs, or a chain of records is broken: an answer, and no error of the engine's."""

EXIT_CODES: dict[str, int] = {
    "internal_error": INTERNAL_ERROR,
    # the request was refused as asked
    "invalid_request": 3,
    "invalid_plan": 3,
    "invalid_template": 3,
    "prompt_too_long": 3,
    "invalid_grammar": 3,
    "grammar_too_large": 3,
    "grammar_too_deep": 3,
    "grammar_too_complex": 3,
    "grammar_timeout": 3,
    "unknown_cache_entry": 3,
    "cache_entry_in_use": 3,
    "model_in_use": 3,
    "unknown_execution": 3,
    "unknown_entry": 3,
    "evidence_refused": 3,
    "unsupported_backend": 3,
    "unsupported_quantization": 3,
    "incomparable_executions": 3,
    "not_permitted": 3,
    "record_unreadable": 3,
    # the model
    "ambiguous_model": 4,
    "download_failed": 4,
    "invalid_model": 4,
    "non_finite_result": 4,
    "unknown_model": 4,
    "unsupported_model": 4,
    # the connection
    "bad_frame": 5,
    "engine_unreachable": 5,
    "frame_too_large": 5,
    "unknown_message": 5,
    "unsupported_protocol": 5,
    # the engine cannot now
    "backend_unavailable": 6,
    "cache_full": 6,
    "cache_unavailable": 6,
    "disk_full": 6,
    "grammar_unavailable": 6,
    "out_of_memory_budget": 6,
    "record_store_unavailable": 6,
    "record_store_unusable": 6,
    "overloaded": 6,
    "shutting_down": 6,
    "slow_consumer": 6,
    "energy_unavailable": 7,
    "cancelled": INTERRUPTED,
}

STOP_REASON_EXIT_CODES: dict[str, int] = {
    "eos": 0,
    "stop_string": 0,
    "stop_token": 0,
    "max_tokens": 0,
    "max_watts": 0,
    "max_joules": 0,
    "deadline": 0,
    "context_full": 0,
    "cancelled": INTERRUPTED,
    "client_gone": INTERRUPTED,
    "shutdown": EXIT_CODES["shutting_down"],
    "error": INTERNAL_ERROR,
}

EXIT_CODES_HELP = """\b
Exit codes:
  0    done
  1    internal error, or a problem that doctor found
  2    wrong usage
  3    request refused: invalid_request, invalid_plan, invalid_template, prompt_too_long,
       unknown_execution, unknown_entry, evidence_refused, unknown_cache_entry, cache_entry_in_use, model_in_use,
       unsupported_backend, unsupported_quantization, incomparable_executions, record_unreadable, invalid_grammar,
       grammar_too_large, grammar_too_deep, grammar_too_complex, grammar_timeout, not_permitted
  4    model: unknown_model, ambiguous_model, invalid_model, unsupported_model, download_failed, non_finite_result
  5    engine unreachable or protocol broken: engine_unreachable, bad_frame, frame_too_large,
       unknown_message, unsupported_protocol
  6    engine unavailable: overloaded, shutting_down, slow_consumer, backend_unavailable,
       out_of_memory_budget, disk_full, cache_full, cache_unavailable, record_store_unavailable,
       record_store_unusable, grammar_unavailable
  7    energy_unavailable
  8    executions: what was compared is not the same, or the chain of records is broken
  130  interrupted or cancelled
"""
