"""The C++ extension: GGUF, vocabularies, models and the run loop. See csrc/bindings/."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

__version__: str

class GgufError(Exception):
    """The file is not a well-formed GGUF. The message names the field, tensor or offset."""

class UnsupportedModelError(Exception):
    """The file is well-formed; this engine lacks its architecture, a tensor type, or a shape."""

@final
class TensorInfo:
    name: str
    type: str  # "F32", "Q4_1", ...
    shape: tuple[int, ...]  # rows outermost, contiguous dimension last
    size_bytes: int

@final
class GgufFile:
    """A parsed GGUF v2/v3, mapped, never copied. Raises OSError, GgufError."""

    def __init__(self, path: str) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def keys(self) -> list[str]: ...
    def __contains__(self, key: str) -> bool: ...
    def get(self, key: str) -> Any:
        """The value of a scalar, string or array key, converted on demand; None where the key is absent.
        Strings that are not UTF-8 come with U+FFFD in place of the bad bytes."""
    def array_info(self, key: str) -> tuple[str, int] | None:
        """(element type, length) of an array key; None for any other."""
    def tensors(self) -> list[TensorInfo]: ...

@final
class Vocabulary:
    """The bytes of each token. Raises GgufError, UnsupportedModelError (tokenizer.ggml.model is not llama or gpt2)."""

    def __init__(self, file: GgufFile) -> None: ...
    def __len__(self) -> int: ...
    def piece(self, token_id: int) -> bytes:
        """The bytes a token prints; empty for control tokens. Raises IndexError."""
    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ill-formed UTF-8 becomes U+FFFD, one for each maximal ill-formed part. Raises IndexError."""

@final
class Model:
    """Weights ready for one kernel table. Immutable and shared by any number of sequences."""

    @staticmethod
    def load(path: str, kernel_table: str, threads: int) -> Model:
        """Raises OSError, GgufError, UnsupportedModelError, ValueError (unknown table), MemoryError."""
    @property
    def architecture(self) -> str: ...
    @property
    def kernel_path(self) -> str: ...
    @property
    def weights_bytes(self) -> int: ...
    @property
    def kv_bytes_per_token(self) -> int: ...
    @property
    def context_length(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    def logits(
        self, prompts: Sequence[Sequence[int]], threads: int = 1, prefill_chunk: int = 256, last_only: bool = False
    ) -> list[npt.NDArray[np.float32]]:
        """Every prompt's logits, [positions, vocab_size], all prompts in one batch. For tests and evaluation."""

@final
class SequenceEvents:
    """What one sequence did since the last drain."""

    sequence_id: int
    prefill_start_ns: int | None  # steady clock; set once
    token_ids: list[int]
    token_times_ns: list[int]  # steady clock, when each token was ready
    text: str  # text that has become certain
    stop_reason: str | None  # eos, stop_string, max_tokens, context_full, cancelled, error
    error: str  # with stop_reason "error"
    logits_digest: str  # with stop_reason: 32 hexadecimal digits

@final
class RunLoop:
    """The token loop on its own thread. Never takes the GIL. Methods are thread-safe and do not wait for a step."""

    def __init__(self) -> None: ...
    @property
    def event_fd(self) -> int:
        """Readable while events wait. Reset by drain()."""
    def submit(
        self,
        sequence_id: int,
        model: Model,
        prompt: Sequence[int],
        *,
        threads: int,
        spin_us: int,
        prefill_chunk: int,
        context_length: int,
        max_tokens: int,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        repeat_penalty: float,
        repeat_last_n: int,
        seed: int,
        eos_token_ids: Sequence[int],
        stop_strings: Sequence[str],
        vocabulary: Vocabulary,
        flush_ms: int,
    ) -> None:
        """Queue a sequence. Those of one model and thread count share steps. Raises ValueError, MemoryError."""
    def cancel(self, sequence_id: int) -> None:
        """End a sequence with stop_reason "cancelled", within one layer of a prefill chunk or one decode step."""
    def drain(self) -> list[SequenceEvents]: ...
    def statistics(self) -> dict[str, int]:
        """sequences, kv_cache_bytes, steps, decode_rows, prefill_rows, busy_ns."""
    def close(self) -> None:
        """Stop after the running step; every sequence still there ends with "cancelled". Idempotent."""

def kernel_tables() -> dict[str, str]:
    """Every kernel table: "" where this machine can run it, else the reason why not."""

def cpu_model() -> str: ...
