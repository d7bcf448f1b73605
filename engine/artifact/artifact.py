"""One model file: what its metadata says, and what is derived from it once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, get_args

from engine import _core
from engine.artifact.content_hash import ContentHashes
from engine.artifact.file_kind import require_model, require_types, type_name
from engine.artifact.model_facts import ModelFacts
from engine.artifact.quantization_errors import quantization_errors
from engine.artifact.unread_files import UnreadFiles
from engine.grammar.grammars import Grammars
from engine.host.changed_file import changed_file
from engine.host.descriptors import FULL_TABLES, no_descriptors
from engine.text.metadata import Metadata
from engine.text.tokenizer import Tokenizer
from protocol.errors import InvalidModel, UnsupportedModel
from protocol.model_ref import ModelRef
from protocol.plan import KvCacheType
from protocol.quantization import Quantization

Result = TypeVar("Result")

_KV_CACHE_TYPES: tuple[KvCacheType, ...] = get_args(KvCacheType)
_LOGIT_BYTES = 4
_UNQUANTIZED_TYPES = ("F32", "F16", "BF16")
_VOCABULARY_PARTS = {
    "the kind of tokenizer": ("model", "pre"),
    "tokens": ("tokens", "token_type"),
    "merges": ("merges", "scores"),
    "special ids": ("bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id"),
}


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """A model file in a quantization's types, whether or not it exists."""

    tensor_types: Mapping[str, str]
    size_bytes: int


class ModelArtifact:
    """A GGUF that has been opened and parsed. Thread-safe; the tokenizer and the hash are made when first asked for."""

    def __init__(self, name: str, path: Path, gguf: _core.GgufFile, hashes: ContentHashes) -> None:
        """Raises InvalidModel where ``general.architecture`` is missing or no string."""
        self.name = name
        self.path = path
        self.gguf = gguf
        self.metadata = Metadata(gguf)
        self.architecture = self.metadata.string("general.architecture")
        self._hashes = hashes
        self._tokenizer_lock = Lock()
        self._tokenizer: Tokenizer | None = None
        self._grammars: Grammars | None = None
        self._derived_lock = Lock()
        self._derived: dict[Quantization, DerivedFile] = {}
        self._weights_sizes: dict[Quantization, Mapping[str, tuple[int, int]]] = {}

    @property
    def content_hash(self) -> str:
        """SHA-256 of the files in the state whose header this is. Blocking, and long for a file never hashed before.

        Raises:
            InvalidModel: they have changed since, change now or cannot be read.
            UnreadFiles: see :meth:`ContentHashes.of`.
        """
        try:
            return self._typed(lambda: self._hashes.of(*self.files, identity=self.gguf.identity))
        except UnreadFiles as files:
            raise UnreadFiles(partial(self._typed, files.read)) from files

    def _typed(self, read: Callable[[], Result]) -> Result:
        """What reading the files gives. Raises InvalidModel: they are gone or cannot be read."""
        try:
            return read()
        except FileNotFoundError as error:
            raise changed_file(self.name) from error
        except OSError as error:
            if error.errno in FULL_TABLES:
                raise no_descriptors(self.name) from error
            raise InvalidModel(f"{self.name} cannot be read: {error}", model=self.name) from error

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All that the model lies in, the first part first."""
        return tuple(map(Path, self.gguf.paths))

    @property
    def tokenizer(self) -> Tokenizer:
        """Blocking the first time. Raises InvalidModel, UnsupportedModel."""
        with self._tokenizer_lock:
            if self._tokenizer is None:
                if "tokenizer.ggml.model" not in self.metadata:
                    require_model(self.name, self.metadata)
                tokenizer = Tokenizer(self.gguf)
                self._check_rows(len(tokenizer.vocabulary))
                self._tokenizer = tokenizer
            return self._tokenizer

    @property
    def ready_tokenizer(self) -> Tokenizer | None:
        """The tokenizer where it was made already. Never blocks."""
        return self._tokenizer

    def _check_rows(self, tokens: int) -> None:
        """A file without weights may have a vocabulary all the same."""
        rows = next((tensor.shape[0] for tensor in self.tensors if tensor.name == "token_embd.weight"), tokens)
        if rows != tokens:
            raise InvalidModel(
                f"{self.name} contradicts itself: tensor 'token_embd.weight' has {rows} rows, and the vocabulary "
                f"{tokens} tokens",
                model=self.name,
            )

    @cached_property
    def vocabulary_parts(self) -> Mapping[str, str]:
        """A digest of each part of the vocabulary: models equal in all of them have the same tokens under the same ids.

        Raises InvalidModel, UnsupportedModel.
        """
        _ = self.tokenizer  # which checks the keys
        return {
            part: hashlib.sha256(repr([self.gguf.get(f"tokenizer.ggml.{key}") for key in keys]).encode()).hexdigest()
            for part, keys in _VOCABULARY_PARTS.items()
        }

    @property
    def grammars(self) -> Grammars:
        """Blocking the first time. Raises as :attr:`tokenizer`."""
        tokenizer = self.tokenizer
        with self._tokenizer_lock:
            if self._grammars is None:
                self._grammars = Grammars(tokenizer.vocabulary, tokenizer.eos_token_ids)
            return self._grammars

    @cached_property
    def tensors(self) -> tuple[_core.TensorInfo, ...]:
        """The descriptions of all tensors, in the file's order."""
        return tuple(self.gguf.tensors())

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The tensor types in the file, sorted."""
        foreign = {type_name(type_id) for _, type_id, _ in self.gguf.foreign_tensors()}
        return tuple(sorted(foreign | {tensor.type for tensor in self.tensors}))

    def derived(self, quantization: Quantization) -> DerivedFile:
        """What the file becomes. Raises InvalidModel, UnsupportedModel."""
        with self._derived_lock:
            if quantization not in self._derived:
                self._derived[quantization] = self._derive(quantization)
            return self._derived[quantization]

    def weights_bytes(self, quantization: Quantization = "native") -> Mapping[str, int]:
        """Memory of the loaded weights, by kernel table. Raises InvalidModel, UnsupportedModel."""
        return {table: memory for table, (memory, _) in self._weights_size(quantization).items()}

    def decode_weights_bytes(self, quantization: Quantization = "native") -> Mapping[str, int]:
        """Read of them for a token that is generated alone: of a token embedding that is no head one row, of experts
        those that a token uses. Raises InvalidModel, UnsupportedModel.
        """
        return {table: read for table, (_, read) in self._weights_size(quantization).items()}

    def _weights_size(self, quantization: Quantization) -> Mapping[str, tuple[int, int]]:
        types = self.derived(quantization).tensor_types
        with self._derived_lock, self._shape_errors():
            if quantization not in self._weights_sizes:
                self._weights_sizes[quantization] = {
                    table: _core.weights_size(self.gguf, table, types) for table in _core.kernel_tables()
                }
            return self._weights_sizes[quantization]

    def _derive(self, quantization: Quantization) -> DerivedFile:
        if quantization == "native":
            return DerivedFile({tensor.name: tensor.type for tensor in self.tensors}, self.gguf.size_bytes)
        with quantization_errors(self.name):
            decided = _core.ModelQuantization(self.gguf, quantization, kernel_table="reference", threads=1)
            return DerivedFile(decided.tensor_types(), decided.file_bytes)

    @property
    def parameters_total(self) -> int:
        """The number of all weights."""
        shapes = [tensor.shape for tensor in self.tensors] + [shape for _, _, shape in self.gguf.foreign_tensors()]
        return sum(map(math.prod, shapes))

    @cached_property
    def macs_per_prompt_token(self) -> int:
        """Multiply-accumulates of the layers' matrices, of experts those that a token uses; the head is multiplied for
        the last token alone. Raises InvalidModel, UnsupportedModel.
        """
        return self.of_shape(_core.layer_macs)

    @cached_property
    def macs_of_head(self) -> int:
        """Multiply-accumulates of the head, which may be the token embedding."""
        sizes = {tensor.name: math.prod(tensor.shape) for tensor in self.tensors}
        return sizes.get("output.weight", sizes.get("token_embd.weight", 0))

    @property
    def context_length(self) -> int:
        """Tokens the model was trained for. Raises InvalidModel."""
        return self.metadata.positive(f"{self.architecture}.context_length")

    @property
    def chat_template(self) -> str | None:
        """Raises InvalidModel where it is no string."""
        return self.metadata.string_or_none("tokenizer.chat_template")

    @property
    def tool_template(self) -> str | None:
        """The template for conversations with tools: one of its own in some files. Raises InvalidModel as above."""
        return self.metadata.string_or_none("tokenizer.chat_template.tool_use") or self.chat_template

    @property
    def vector_width(self) -> int:
        """Numbers of a text's vector, behind the projections that some models bring for it. Raises InvalidModel."""
        rows = {tensor.name: tensor.shape[0] for tensor in self.tensors}
        width = self.metadata.positive(f"{self.architecture}.embedding_length")
        return rows.get("dense_3.weight", rows.get("dense_2.weight", width))

    @property
    def head_dim(self) -> int:
        """Channels of a key. Raises InvalidModel."""
        metadata, prefix = self.metadata, self.architecture
        heads = metadata.positive(f"{prefix}.attention.head_count")
        return metadata.positive(
            f"{prefix}.attention.key_length", metadata.positive(f"{prefix}.embedding_length") // heads
        )

    @property
    def kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """Bytes of KV cache for one token of all layers, of each type that fits the heads.

        Raises InvalidModel, UnsupportedModel.
        """
        sizes = {kind: self.of_shape(partial(_core.kv_bytes_per_token, kv_cache=kind)) for kind in _KV_CACHE_TYPES}
        return {kind: size for kind, size in sizes.items() if size is not None}

    @property
    def recurrent_bytes(self) -> int:
        """See :class:`ModelFacts`. Raises InvalidModel, UnsupportedModel."""
        return self.of_shape(_core.recurrent_bytes)

    @property
    def window(self) -> int:
        """See :class:`ModelFacts`. Raises InvalidModel, UnsupportedModel."""
        return self.of_shape(_core.windowed_layers)[0]

    @property
    def windowed_kv_bytes_per_token(self) -> Mapping[KvCacheType, int]:
        """See :class:`ModelFacts`. Raises InvalidModel, UnsupportedModel."""
        windowed = self.of_shape(_core.windowed_layers)[1]
        layers = self.of_shape(_core.attention_layers)
        return {kind: size // layers * windowed for kind, size in self.kv_bytes_per_token.items()}

    @property
    def activation_row_bytes(self) -> Mapping[str, int]:
        """Bytes of a step's buffers for one of its rows, by kernel table. Raises InvalidModel, UnsupportedModel."""
        tables = _core.kernel_tables()
        return {table: self.of_shape(partial(_core.activation_row_bytes, table=table)) for table in tables}

    def shared_step_bytes(self, threads: int, rows: int, positions: int) -> int:
        """What a step needs beside its rows: see :class:`ModelFacts`. Raises InvalidModel, UnsupportedModel."""
        return self.of_shape(partial(_core.shared_step_bytes, threads=threads, rows=rows, positions=positions))

    def of_shape(self, read: Callable[[_core.GgufFile], Result]) -> Result:
        """What the core reads of the model's shape. Raises InvalidModel, UnsupportedModel."""
        with self._shape_errors():
            return read(self.gguf)

    @contextmanager
    def _shape_errors(self) -> Iterator[None]:
        try:
            yield
        except _core.GgufError as error:
            raise InvalidModel(f"{self.name}: {error}", model=self.name) from error
        except _core.UnsupportedModelError as error:
            raise UnsupportedModel(f"{self.name} cannot be run: {error}", model=self.name) from error

    @property
    def logits_row_bytes(self) -> int:
        """Blocking the first time: builds the tokenizer. Raises InvalidModel, UnsupportedModel."""
        return len(self.tokenizer) * _LOGIT_BYTES

    def facts(self, quantization: Quantization = "native") -> ModelFacts:
        """What a plan needs. Blocking: hashes a file never hashed before, and builds the tokenizer.

        Raises:
            UnsupportedModel: an architecture this engine lacks, or a vocabulary without weights.
            InvalidModel: metadata that must be there is missing or senseless; the file has changed.
        """
        self.require_runnable()
        return ModelFacts(
            ref=ModelRef(
                name=self.name,
                path=str(self.path),
                content_hash=self.content_hash,
                architecture=self.architecture,
                stored_types=self.stored_types,
            ),
            context_length=self.context_length,
            weights_bytes=self.weights_bytes(quantization),
            decode_weights_bytes=self.decode_weights_bytes(quantization),
            kv_bytes_per_token=self.kv_bytes_per_token,
            head_dim=self.head_dim,
            recurrent_bytes=self.recurrent_bytes,
            window=self.window,
            windowed_kv_bytes_per_token=self.windowed_kv_bytes_per_token,
            activation_row_bytes=self.activation_row_bytes,
            logits_row_bytes=self.logits_row_bytes,
            shared_step_bytes=self.shared_step_bytes,
            macs_per_prompt_token=self.macs_per_prompt_token,
            macs_of_head=self.macs_of_head,
            vocab_size=len(self.tokenizer),
            eos_token_ids=self.tokenizer.eos_token_ids,
            requantized_from=self._requantized_from(quantization),
        )

    def _requantized_from(self, quantization: Quantization) -> tuple[str, ...]:
        types = self.derived(quantization).tensor_types
        changed = {tensor.type for tensor in self.tensors if types[tensor.name] != tensor.type}
        return tuple(sorted(changed.difference(_UNQUANTIZED_TYPES)))

    def require_runnable(self) -> None:
        """Raises UnsupportedModel: no model, no weights, some in a type this engine lacks, or such an architecture."""
        require_model(self.name, self.metadata)
        require_types(self.name, self.gguf)
        details: dict[str, Any] = {"model": self.name, "architecture": self.architecture}
        if not self.tensors:
            raise UnsupportedModel(
                f"{self.name} holds a vocabulary and no weights: it can tokenize, it cannot run", **details
            )
        architectures = _core.architectures()
        if self.architecture not in architectures:
            raise UnsupportedModel(
                f"{self.name} has architecture {self.architecture!r}; this engine runs {', '.join(architectures)}",
                allowed=architectures,
                **details,
            )
