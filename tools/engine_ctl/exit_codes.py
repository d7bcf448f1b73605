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

_MEANINGS: dict[int, str] = {
    0: "done",
    INTERNAL_ERROR: "internal error, or a problem that doctor found",
    2: "wrong usage",
    3: "request refused",
    4: "model",
    5: "engine unreachable or protocol broken",
    6: "engine unavailable",
    7: "no joules to be had",
    NOT_THE_SAME: "executions: what was compared is not the same, or the chain of records is broken",
    INTERRUPTED: "interrupted or cancelled",
}


def _explained(number: int) -> str:
    codes = [code for code, own in EXIT_CODES.items() if own == number and number not in (INTERNAL_ERROR, INTERRUPTED)]
    return f"{_MEANINGS[number]}{': ' if codes else ''}{', '.join(codes)}"


EXIT_CODES_HELP: dict[str, str] = {str(number): _explained(number) for number in _MEANINGS}
"""What each number means, with the errors that end so."""
