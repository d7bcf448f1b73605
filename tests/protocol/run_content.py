"""A ``Run`` as a frame holds it."""

from __future__ import annotations

from typing import Any

VALID_RUN: dict[str, Any] = {
    "type": "Run",
    "request_id": 7,
    "request": {
        "model": "tiny",
        "prompt": "abc",
        "execution": {
            "backend": "reference",
            "quantization": "native",
            "scheduler_policy": "default",
            "limits": {"max_tokens": 8, "max_watts": 25},
        },
    },
}


def run_with(**execution: object) -> dict[str, Any]:
    return VALID_RUN | {"request": VALID_RUN["request"] | {"execution": execution}}
