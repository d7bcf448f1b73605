"""llama.cpp as the oracle sees it: token ids in, logits out. Runs in a peer's environment (``make peers``)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

_BATCH = 512


class Peer:
    """One model in one llama.cpp context, holding one sequence at a time."""

    def __init__(
        self, path: Path, *, context_length: int, kv_type: str = "f16", threads: int = 2, pooling: str | None = None
    ) -> None:
        """``kv_type`` is ``f16`` or ``f32``. Flash attention is off, as llama-cpp-python has it by default. With a
        ``pooling``, ``mean``, ``cls``, ``last`` or ``rank``, it has vectors of texts (or their scores) and no logits.
        """
        self._log = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._log, None)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise OSError(f"llama.cpp cannot load {path}")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = context_length
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.type_k = parameters.type_v = {"f16": 1, "f32": 0}[kv_type]
        if pooling is not None:
            parameters.embeddings = True
            parameters.pooling_type = getattr(llama_cpp, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise OSError(f"llama.cpp cannot make a context of {context_length} tokens for {path}")
        self._vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary_size = int(llama_cpp.llama_vocab_n_tokens(self._vocabulary))
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        outputs = llama_cpp.llama_model_n_cls_out if pooling == "rank" else llama_cpp.llama_model_n_embd_out
        self._dimension = int(outputs(self._model))
        self._length = 0

    def close(self) -> None:
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    def tokenize(self, text: str) -> list[int]:
        """Token ids with special tokens parsed and added as the model says. An empty result becomes the BOS token,
        as llama-cpp-python does: a model cannot continue nothing.
        """
        encoded = text.encode()
        ids = (ctypes.c_int32 * (len(encoded) + 8))()
        count = llama_cpp.llama_tokenize(self._vocabulary, encoded, len(encoded), ids, len(ids), True, True)
        return list(ids[:count]) or [int(llama_cpp.llama_vocab_bos(self._vocabulary))]

    def ends(self, token_id: int) -> bool:
        """Whether llama.cpp would stop at this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token_id))

    def restart(self) -> None:
        """Forget the sequence."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        self._length = 0

    def extend(self, token_ids: Sequence[int], first_wanted: int = -1) -> npt.NDArray[np.float32]:
        """Append tokens to the sequence; the logits after each of them from ``token_ids[first_wanted]`` on,
        ``[positions, vocabulary_size]``.
        """
        first_wanted %= len(token_ids)
        wanted: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(token_ids), _BATCH):
            chunk = token_ids[start : start + _BATCH]
            self._decode(chunk, first_wanted - start)
            wanted += [self._logits(index) for index in range(max(0, first_wanted - start), len(chunk))]
        return np.stack(wanted)

    def embed(self, token_ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """The vector of a text of one batch at most, not normalized, ``[dimension]``."""
        self.restart()
        self._decode(token_ids, 0)
        pointer = llama_cpp.llama_get_embeddings_seq(self._context, 0)
        return np.array(np.ctypeslib.as_array(pointer, (self._dimension,)))

    def _decode(self, chunk: Sequence[int], first_wanted: int) -> None:
        batch: Any = self._batch
        batch.n_tokens = len(chunk)
        for index, token_id in enumerate(chunk):
            batch.token[index] = token_id
            batch.pos[index] = self._length + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = index >= first_wanted
        if status := llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode failed with {status}")
        self._length += len(chunk)

    def _logits(self, index: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.array(np.ctypeslib.as_array(pointer, (self.vocabulary_size,)))
