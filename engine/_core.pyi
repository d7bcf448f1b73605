"""The C++ extension: GGUF, vocabularies, models and the run loop. See csrc/bindings/."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final, overload

import numpy as np
import numpy.typing as npt

__version__: str

class UnknownCpuFeatureError(Exception):
    """ENGINE_CPU_FEATURES is neither ``none`` nor a list of features' names."""

class GgufError(Exception):
    """The file is not a well-formed GGUF. The message names the field, tensor or offset."""

class ChangedFileError(GgufError):
    """The file is not, or is no longer, what it was when it was first read."""

class UnsupportedModelError(Exception):
    """The file is well-formed; this engine lacks its architecture, a tensor type, or a shape."""

class UnquantizableTensorError(Exception):
    """A tensor holds what is no number, numbers too large for the scales of its type, or such as its importance makes
    too large to be summed. The message names it."""

class CancelledError(Exception):
    """cancel() was called."""

class NonFiniteWeightsError(GgufError):
    """A weight of the file is NaN or infinite, or would be as a float. Of a quantized type its scale is."""

    tensor: str
    row: int  # the tensor's first that has one

@final
class NonFinitePlace:
    """Where the values of one position first were NaN or infinite: its part of a model has computed them."""

    part: Literal["embedding", "attention", "feed_forward", "output"]
    layer: int | None  # of attention and feed-forward
    position: int  # in its sequence

class NonFiniteResultError(Exception):
    """A model computed NaN or infinities. The message begins with whose they are, such as the text."""

    place: NonFinitePlace

class GrammarError(Exception):
    """A grammar cannot be compiled, or not be followed any further. The message is the library's."""

class GrammarTimeoutError(Exception):
    """Compiling a grammar takes longer than it may."""

class GrammarLibraryError(Exception):
    """The library for grammars cannot be loaded, or is of another version."""

@final
class TensorInfo:
    name: str
    type: str  # "F32", "Q4_1", ...
    shape: tuple[int, ...]  # rows outermost, contiguous dimension last
    size_bytes: int

@final
class GgufFile:
    """What stands before the tensors of a GGUF v2/v3, in memory. The file is read when this is made and then no more.
    Raises OSError, GgufError, ChangedFileError, MemoryError."""

    def __init__(self, path: str) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def paths(self) -> list[str]:
        """The paths of all parts in order."""
    @property
    def identity(self) -> str:
        """Identifies the state that was read: :func:`engine.host.file_memory.file_identity` of all parts."""
    def tensor_bytes(self, name: str) -> bytes:
        """A tensor as it lies in the file.

        Raises ValueError (no such tensor), ChangedFileError (the file is not what it was when this was made), OSError,
        GgufError (it cannot be read), MemoryError."""
    def keys(self) -> list[str]: ...
    def __contains__(self, key: str) -> bool: ...
    def get(self, key: str) -> Any:
        """The value of a scalar, string or array key, converted on demand; None where the key is absent.
        Strings that are not UTF-8 come with U+FFFD in place of the bad bytes."""
    def array_info(self, key: str) -> tuple[str, int] | None:
        """(element type, length) of an array key; None for any other."""
    def foreign_tensors(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """Name, type id and shape of those of types this engine does not compute with; they are not in ``tensors``."""
    def tensors(self) -> list[TensorInfo]: ...

@final
class Vocabulary:
    """The bytes of each token: those of a file, or given one by one.

    Raises GgufError, UnsupportedModelError (tokenizer.ggml.model is not llama, gpt2 or gemma4).
    """

    @overload
    def __init__(self, file: GgufFile) -> None: ...
    @overload
    def __init__(self, pieces: Sequence[bytes]) -> None: ...
    def __len__(self) -> int: ...
    def piece(self, token_id: int) -> bytes:
        """The bytes a token prints; empty for control tokens. Raises IndexError."""
    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Ill-formed UTF-8 becomes U+FFFD, one for each maximal ill-formed part. Raises IndexError."""

@final
class BytePairs:
    """BPE, immutable. Raises GgufError: tokens or merges are missing or contradict each other."""

    def __init__(self, file: GgufFile, characters: bool = False) -> None:
        """``characters``: tokens spell characters as they are, and ``<0x00>`` the bytes of those that have none. Else
        they spell bytes in GPT-2's alphabet."""
    def encode(self, words: Sequence[str], whole_words: bool) -> list[int]:
        """The ids of words one after another; a byte without token is left out. ``whole_words``: a word that is a token
        is taken, whatever merges would make of it."""

@final
class LoadControl:
    """Looks into a load from other threads, and ends it."""

    def __init__(self) -> None: ...
    @property
    def bytes_done(self) -> int:
        """Bytes of the file's matrices loaded so far."""
    def cancel(self) -> None:
        """Before the load or during it; it ends within a megabyte of each of its threads."""

@final
class Model:
    """Weights ready for one kernel table. Immutable and shared by any number of sequences."""

    @staticmethod
    def load(file: GgufFile | str, kernel_table: str, threads: int, control: LoadControl | None = None) -> Model:
        """``file``: parsed, or a path. Nothing reads it any more once it is loaded.

        Raises OSError (also where the system refuses threads), GgufError, ChangedFileError (the file is not what it was
        when it was parsed, or changed while it was read), UnsupportedModelError, ValueError (a table that is unknown or
        cannot run here, no threads), MemoryError, CancelledError."""
    @property
    def architecture(self) -> str: ...
    @property
    def kernel_path(self) -> str: ...
    @property
    def weights_bytes(self) -> int: ...
    def kv_bytes_per_token(self, kv_cache: str = "f16") -> int:
        """Raises ValueError (an unknown type, or one that does not fit the heads)."""
    @property
    def context_length(self) -> int: ...
    @property
    def vocab_size(self) -> int: ...
    def logits(
        self,
        prompts: Sequence[Sequence[int]],
        threads: int = 1,
        prefill_chunk: int = 256,
        last_only: bool = False,
        kv_cache: str = "f16",
    ) -> list[npt.NDArray[np.float32]]:
        """Every prompt's logits, [positions, vocab_size], all prompts in one batch. For tests and evaluation."""

@final
class QuantizationProgress:
    bytes_done: int  # of the source's tensors
    bytes_total: int
    tensors_done: int
    tensors_total: int
    tensor: str  # one of those that are worked on

@final
class ModelQuantization:
    """A model's weights in another recipe's types: ``q8_0``, ``q6_k``, ``q5_k_m``, ``q4_k_m``, ``q4_k_s``,
    ``q4_0``, ``iq4_xs`` or ``q3_k_m``, byte for byte as every other GGUF
    quantizer makes them.

    ``importance``: by tensor, how much the errors of each column count, [columns], for experts [experts, columns].
    Raises GgufError, UnsupportedModelError, ValueError (an unknown recipe, a table that is unknown or cannot run here,
    no threads, importance that is not finite or does not fit its tensor).
    """

    def __init__(
        self,
        file: GgufFile,
        recipe: str,
        *,
        importance: Mapping[str, npt.NDArray[np.float32]] | None = None,
        kernel_table: str,
        threads: int,
    ) -> None: ...
    @property
    def file_bytes(self) -> int:
        """How large the file will be."""
    def tensor_types(self) -> dict[str, str]:
        """What every tensor will be, in the order of the file."""
    def run(self, path: str) -> None:
        """Write the GGUF file, without the GIL; once. Where it fails nothing is left at ``path``.

        Raises OSError (FileExistsError where ``path`` exists; a full disk), ChangedFileError (the model's file is not
        what it was when it was parsed, or changed while it was read), UnquantizableTensorError, CancelledError,
        MemoryError, RuntimeError (a second run).
        """
    def write(self, descriptor: int, name: str) -> None:
        """The same into an open, empty file; ``name`` is for messages. Raises as run() does; what was written stays."""
    def progress(self) -> QuantizationProgress:
        """From any thread, at any time."""
    def cancel(self) -> None:
        """From any thread. run() raises as soon as each of its threads has finished its piece, some milliseconds."""

@final
class TextEmbedding:
    """A vector for each text, [dimension]: hidden states after the final norm, pooled and, with ``normalize``, divided
    by their Euclidean length; one of zeros stays. The bits depend neither on the other texts, nor on ``step_tokens``,
    ``side_by_side``, ``threads`` or the kernel table.

    ``pooling``: ``mean`` of all tokens, ``cls`` (the first one's), ``last``, or ``rank``: what the model's classifier
    makes of the first one's, [1]. ``step_tokens``: most tokens of a step, of ``side_by_side`` texts at most; more where
    the model reads texts whole. ``second_begins``: where in each text the second of a pair begins. Raises ValueError
    (a text without tokens or beyond the model's context, a token that is not in the vocabulary, an unknown pooling,
    ranking without a classifier, no threads, nothing to read in a step; a KV cache type that is unknown or does not fit
    the heads).
    """

    def __init__(
        self,
        model: Model,
        texts: Sequence[Sequence[int]],
        *,
        pooling: str,
        normalize: bool,
        step_tokens: int = 256,
        side_by_side: int = 32,
        threads: int,
        kv_cache: str = "f16",
        second_begins: Sequence[int] = (),
    ) -> None: ...
    @staticmethod
    def kv_positions(texts: int, longest: int, *, step_tokens: int, side_by_side: int) -> int:
        """Positions of KV cache held at most, for one or more texts of ``longest`` tokens at most."""
    def run(self) -> None:
        """Without the GIL; once. Memory: a step's rows, the KV cache of texts that are read together, the vectors.

        Raises CancelledError, NonFiniteResultError, OSError (the system refuses threads), MemoryError,
        RuntimeError (a second run).
        """
    def cancel(self) -> None:
        """From any thread. run() raises within one layer."""
    def progress(self) -> tuple[int, int]:
        """(tokens done, tokens in all), from any thread at any time."""
    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """[texts, dimension], a copy. RuntimeError before run() has returned."""

@final
class TextEvaluation:
    """How well ``model`` predicts a text, and how far it departs from ``base``: consecutive windows of ``window``
    tokens, each read from an empty cache. Positions window // 2 to window - 2 of each predict the token after them,
    window - 1 - window // 2 a window. Tokens beyond the last whole window are left out. The bits depend neither on
    ``threads`` nor on the kernel table.

    ``bos``: takes the place of each window's first token. ``base_kv_cache``: the base's; ``None``: ``kv_cache`` too.
    Raises ValueError (a text shorter than one window; a window of less than 8 tokens, or beyond a model's context; a
    token that is not in the vocabulary; vocabularies that differ; no threads; a KV cache type that is unknown or does
    not fit the heads).
    """

    def __init__(
        self,
        model: Model,
        base: Model | None,
        tokens: Sequence[int],
        *,
        window: int = 512,
        threads: int,
        bos: int | None,
        kv_cache: str = "f16",
        base_kv_cache: str | None = None,
    ) -> None: ...
    def run(self) -> None:
        """Without the GIL; once. Memory: for each model half a window's rows, of logits [window // 2, vocab_size] too.

        Raises CancelledError, NonFiniteResultError, OSError (the system refuses threads), MemoryError,
        RuntimeError (a second run).
        """
    def cancel(self) -> None:
        """From any thread. run() raises within one layer."""
    def progress(self) -> tuple[int, int]:
        """(windows done, windows in all), from any thread at any time."""
    # Copies. RuntimeError before run() has returned.
    @property
    def nll(self) -> npt.NDArray[np.float64]:
        """Minus the natural logarithms of the probabilities of the text's own tokens: [positions], by window."""
    @property
    def base_nll(self) -> npt.NDArray[np.float64] | None:
        """The same of the base: [positions]. None without one, as the next two."""
    @property
    def divergence(self) -> npt.NDArray[np.float64] | None:
        """Kullback-Leibler divergences of the model from the base, in nats: [positions], at least 0."""
    @property
    def same_best(self) -> npt.NDArray[np.bool_] | None:
        """Whether both find the same token the most probable, of equals the first: [positions]."""

@final
class SequenceEvents:
    """What one choice of a sequence did since the last drain."""

    sequence_id: int
    choice: int
    prefill_start_ns: int | None  # steady clock; set once
    cached_prompt_tokens: int | None  # with the start: how many were found in the prefix cache
    token_ids: list[int]
    token_times_ns: list[int]  # steady clock, when each token was ready
    logprobs: list[tuple[float, list[tuple[int, float]]]]  # of each token, if asked for; (token, of it) the likeliest
    text: str  # text that has become certain
    sent_tokens: int  # so many of the first tokens are with the client already
    sent_characters: int  # and so many of the text's
    stop_reason: str | None  # eos, stop_string, stop_token, max_tokens, context_full, cancelled, error
    error: str  # with stop_reason "error"
    non_finite: NonFinitePlace | None  # where that is the error
    logits_digest: str  # with stop_reason: 32 hexadecimal digits
    compute_ns: int  # with stop_reason: its part of the time of its steps
    busy_ns: int  # with stop_reason: the time of all steps of the loop from its first to its last; compute_ns if alone
    kv_cache_bytes: int  # with stop_reason: the most that the choices of its sequence have held together so far
    drafted_tokens: int  # with stop_reason: how many were computed ahead of time
    accepted_tokens: int  # with stop_reason: how many of those are in the text
    draft_ns: int  # with stop_reason: the part of compute_ns that a draft model took
    operation_ns: dict[str, int] | None  # with stop_reason, if asked for and computed: parts of compute_ns

@final
class GroupSettings:
    """What sequences must have in common to share a step.

    ``spin_us``: how long a thread spins for the others before it sleeps. ``prefill_chunk``: prompt tokens of a step, up
    to 65536.

    Raises ValueError (no threads, a chunk outside its range).
    """

    def __init__(self, model: Model, *, threads: int, spin_us: int, prefill_chunk: int) -> None: ...

@final
class ThinkingOptions:
    """A part at the begin of a text, between the tokens ``begin`` and ``end``: after ``limit`` tokens the end comes,
    whatever was drawn. ``opened``: the prompt ends within it. ``begin`` is None where no one token opens it."""

    def __init__(self, *, begin: int | None, end: int, limit: int | None, opened: bool) -> None: ...

class Drafter:
    """Guesses how a sequence goes on. None can be made here."""

class SpeculationOptions:
    """How many tokens a sequence computes ahead of time: at most ``max_rows`` rows in a step, the last token's and
    those of guesses that are worth the ``row_cost``. Guesses are looked up in the sequence, or a ``drafter``'s, or a
    ``draft_model``'s, a step of which with one row takes ``draft_cost`` as a part of such a step of the sequence's own.

    Raises ValueError: out of range.
    """

    def __init__(
        self,
        *,
        max_rows: int,
        row_cost: float,
        drafter: Drafter | None = None,
        draft_model: Model | None = None,
        draft_cost: float = 0.0,
    ) -> None: ...

def lookup_bytes(context_length: int) -> int:
    """Most bytes of the tables by which one sequence looks guesses up."""

class SequenceOptions:
    """What one sequence asks of the run loop.

    Of the waiting prompts those of the lowest ``prefill_rank`` are computed first, the earliest of equals. While others
    decode, a step holds at most ``prefill_share`` tokens of this prompt; while this one does, it holds at most
    ``prefill_beside_decode`` tokens of all prompts. With ``prefix_cache`` it begins behind the longest run of whole
    blocks that earlier ones of the model and KV cache type left, and leaves its own unless it ends with "error"; no bit
    of the result depends on it. With ``op_times`` its end tells what its computing time went to. With ``logprobs``
    every token comes with its log probability and those of so many of the likeliest. Behind its prompt the sequence
    parts into ``choices`` that each have draws, events and an end of their own; what is done to the sequence is done to
    all of them. With ``speculation`` steps compute tokens ahead of time; no bit of the result depends on it. With a
    ``grammar`` only tokens that it allows are drawn; the sequence ends as at an end token where
    nothing may follow, and with "error" where it cannot be followed. With ``thinking`` that the prompt has opened the
    grammar is of the text behind it. Tokens of ``spelled`` print their text there, whatever the vocabulary says. A
    token waits ``flush_ms`` for more, to be told together.

    Raises ValueError (an unknown KV cache type), AttributeError (an unknown option), TypeError.
    """

    def __init__(
        self,
        *,
        context_length: int,
        max_tokens: int,
        kv_cache: str = "f16",
        sampling: SamplingOptions = ...,
        logprobs: int | None = None,
        choices: int = 1,
        speculation: SpeculationOptions | None = None,
        eos_token_ids: Sequence[int] = (),
        stop_strings: Sequence[str] = (),
        stop_string_token_ids: Sequence[int] = (),
        stop_token_ids: Sequence[int] = (),
        flush_ms: int = 0,
        prefill_rank: int = 0,
        prefill_share: int = ...,
        prefill_beside_decode: int = ...,
        prefix_cache: bool = False,
        op_times: bool = False,
        grammar: Grammar | None = None,
        thinking: ThinkingOptions | None = None,
        spelled: Mapping[int, str] = ...,
    ) -> None: ...

class RunLoop:
    """The token loop on its own thread. Never takes the GIL. Methods are thread-safe and do not wait for a step.

    ``prefix_cache_bytes``: most bytes of KV cache kept for later sequences that begin with the same tokens.
    """

    def __init__(self, prefix_cache_bytes: int = 0) -> None: ...
    @property
    def event_fd(self) -> int:
        """Readable while events wait. Reset by drain()."""
    def submit(
        self,
        sequence_id: int,
        settings: GroupSettings,
        prompt: Sequence[int],
        vocabulary: Vocabulary,
        options: SequenceOptions,
    ) -> None:
        """Queue a sequence. Those of equal settings share steps. After close() it ends as "cancelled".

        Raises ValueError (a prompt or an option that cannot be), MemoryError.
        """
    def cancel(self, sequence_id: int) -> None:
        """End a sequence with stop_reason "cancelled", within one layer of a prefill chunk or one decode step."""
    def pause(self, sequence_id: int) -> None:
        """Compute nothing for a sequence after the running step; it keeps its KV cache, and others go on.

        No effect on one that has ended or never was.
        """
    def resume(self, sequence_id: int) -> None: ...
    def drain(self) -> list[SequenceEvents]: ...
    def trim(self) -> None:
        """Let go of the buffers of models that nothing else holds. Waits for the running step, unlike all else."""
    def drop_prefixes(self, bytes: int) -> None:  # noqa: A002
        """Drop so many bytes that the prefix cache holds for no sequence, those used longest ago first: before any
        sequence begins that is submitted later, and before trim() returns."""
    def clear_prefixes(self) -> None:
        """Empty the prefix cache: nothing computed before is found afterwards. Waits for the running step."""
    def statistics(self) -> dict[str, int]:
        """sequences, paused (of them), kv_cache_bytes (their own), kv_shared_bytes (what they read of the prefix cache,
        each for itself), prefix_cache_blocks, prefix_cache_bytes, prefix_cache_idle_bytes (read by no sequence, and not
        to be dropped), steps, decode_rows, prefill_rows, busy_ns."""
    def compute_times(self) -> tuple[int, dict[int, tuple[int, int]]]:
        """Computing time in nanoseconds at the end of the last step: of all steps; and for each sequence that is here
        and took part in one its part of them, and all steps' since its first."""
    def close(self) -> None:
        """Stop after the running step; every sequence still there ends with "cancelled". Idempotent."""

@final
class ClientSocket:
    """A client's connected stream socket, which the event loop and a StreamWriter write.

    Frames leave whole, and those of one execution in order: the writer sends an execution's tokens itself only while
    its line is open, once all that went to the event loop is posted. The descriptor stays the caller's.
    """

    def __init__(self, descriptor: int, *, chunks: bool = False) -> None:
        """``chunks``: the writer sends chunks of the body of an HTTP answer, and no messages of the protocol."""
    @property
    def writes(self) -> int:
        """How often the writer has sent something."""
    def send(self, data: bytes) -> bytes:
        """Send as much as the peer takes at once; what is left to be sent, all of it also where it is gone.

        That may begin with the rest of a chunk of the writer's. Unless it is empty, the writer sends nothing before
        release().
        """
    def hold(self) -> None:
        """Something stands in line to be sent: the writer sends nothing before release()."""
    def release(self) -> None:
        """Everything that send() left, or that stood in line, has been sent."""
    def mark_posted(self, execution_id: str) -> None:
        """One message of the tokens that the writer had passed on unsent has been sent, or stands in line to be."""
    def tell_texts(self, execution_id: str, texts: Sequence[tuple[bytes, bytes]]) -> None:
        """What stands before and behind the text of each choice, as JSON, in the chunks of an execution that was begun.

        A line of chunks opens no sooner. No effect once the execution has ended.
        """
    def give_up(self) -> None:
        """Close the lines of all executions for good."""
    def close(self) -> None:
        """Send nothing any more. To be called before the descriptor is closed."""

@final
class StreamWriter:
    """Writes the tokens of sequences to clients as they come, on a thread of its own that never takes the GIL.

    It is the reader of a run loop's events, and passes them on: at once where they begin or end a sequence or hold
    tokens that it did not send, else after 100 ms.
    """

    def __init__(self, run_loop: RunLoop) -> None: ...
    @property
    def event_fd(self) -> int:
        """Readable while events wait. Reset by drain()."""
    def open(self, sequence_id: int, socket: ClientSocket, *, request_id: int, execution_id: str, choices: int) -> None:
        """Write a sequence's tokens to a client where its line is open, until each choice has ended.

        To be called before the sequence is submitted. Log probabilities are not written.
        """
    def forget(self, sequence_id: int) -> None:
        """It was not submitted after all."""
    def drain(self) -> list[SequenceEvents]: ...
    def close(self) -> None:
        """Pass on what the source holds and end the thread. Idempotent."""

GRAMMAR_LIBRARY_VERSION: str

@final
class GrammarLibrary:
    """The shared library that compiles and follows grammars. It is never unloaded.

    Raises GrammarLibraryError: it cannot be loaded, or is not of GRAMMAR_LIBRARY_VERSION.
    """

    def __init__(self, path: str) -> None: ...

@final
class GrammarVocabulary:
    """A vocabulary as grammars use it, with the tokens that they allow where a text may end. Immutable.

    Raises GrammarError: an end token is not in the vocabulary.
    """

    def __init__(self, library: GrammarLibrary, vocabulary: Vocabulary, eos_token_ids: Sequence[int]) -> None: ...

@final
class Grammar:
    """A grammar compiled for a vocabulary. Immutable. ``language``: json_schema, regex, lark.

    Waits for at most ``patience_ms``, without the GIL. Raises GrammarError, GrammarTimeoutError.
    """

    def __init__(self, vocabulary: GrammarVocabulary, language: str, source: str, *, patience_ms: int) -> None: ...

@final
class SamplingOptions:
    """What samplers do, in which order. ``dry_breakers`` are token ids, ``logit_bias`` biases by token id.

    Raises ValueError for an unknown sampler, AttributeError for an unknown option. What is out of range, or cannot be
    together, is refused where it is used.
    """

    def __init__(
        self,
        *,
        order: Sequence[str] = ("temperature",),
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        repeat_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_last_n: int = 64,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_last_n: int = 65536,
        dry_breakers: Sequence[int] = (),
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        mirostat_tau: float = 0.0,
        mirostat_eta: float = 0.1,
        logit_bias: Mapping[int, float] = ...,
        seed: int = 0,
    ) -> None: ...

@final
class SamplingRun:
    """The draws of one choice of a sequence, as the run loop makes them: the same by every kernel table.

    Raises ValueError for a table that is unknown or cannot run here.
    """

    def __init__(self, options: SamplingOptions, choice: int = 0, kernel_table: str = "reference") -> None: ...
    def sample(self, logits: Sequence[float] | npt.NDArray[np.float32], history: Sequence[int], position: int) -> int:
        """The token drawn for this position from ``logits`` [vocabulary]. ``history`` has the tokens before it.

        Raises ValueError, also where a logit is not finite.
        """
    @property
    def mirostat_bound(self) -> float:
        """In bits: the most that the next token may surprise."""

def architectures() -> list[str]:
    """Values of general.architecture that Model.load takes."""

def weights_size(file: GgufFile, kernel_table: str, types: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Memory that the weights will take once loaded, and how much of it is read for a token that is generated alone:
    of the experts those that it uses. ``types`` are other ones than the file's, by tensor.

    Raises ValueError (unknown table or type).
    """

def layer_macs(file: GgufFile) -> int:
    """Multiply-accumulates of a token by the matrices of all layers, of experts those that it uses.

    Raises GgufError, UnsupportedModelError.
    """

def file_digest(path: str) -> str:
    """32 hexadecimal digits that tell whole files from damaged ones; not for security. Raises OSError, GgufError (no
    regular file, or an empty one), MemoryError."""

MAX_DECODE_ROWS: int
"""Rows that the run loop's buffers hold beside those of a prefill chunk."""
DRAFT_FOLLOWING_ROWS: int
"""A draft model's buffers hold so many times as many of them."""

def activation_row_bytes(file: GgufFile, table: str) -> int:
    """Memory that the buffers of a step take for one of its rows. Raises GgufError, UnsupportedModelError, and
    ValueError for an unknown table.
    """

def shared_step_bytes(file: GgufFile, *, threads: int, rows: int, positions: int) -> int:
    """Memory that a step of so many rows needs beside them, where the last is at position ``positions`` - 1: tables of
    angles, what threads have for themselves and what their attention leaves for each other.
    Raises GgufError, UnsupportedModelError."""

def is_causal(file: GgufFile) -> bool:
    """Whether a position attends to none behind it: only then can a text be gone on with.
    Raises GgufError, UnsupportedModelError."""

def kv_bytes_per_token(file: GgufFile, kv_cache: str) -> int | None:
    """Keys and values of one token in all layers that have some; ``None`` where the type does not fit the heads.
    Raises GgufError, UnsupportedModelError; ValueError for an unknown type."""

def attention_layers(file: GgufFile) -> int:
    """How many layers have keys and values. Raises GgufError, UnsupportedModelError."""

def recurrent_bytes(file: GgufFile) -> int:
    """Bytes that the other layers keep of one sequence, however long it is; 0 where there are none.
    Raises GgufError, UnsupportedModelError."""

def windowed_layers(file: GgufFile) -> tuple[int, int]:
    """The widest window of the model's layers, in positions, and how many layers have one; (0, 0) where none has.
    Raises GgufError, UnsupportedModelError."""

def window_positions(window: int, rows: int) -> int:
    """The most positions that a KV cache holds of layers with a window, in steps of so many rows."""

def native_build() -> dict[str, str]:
    """What the extension was made of: ``sources`` (a SHA-256 of theirs, hexadecimal), ``compiler`` and ``flags``."""

def kernel_tables() -> dict[str, str]:
    """Every kernel table: "" where this machine can run it, else the reason why not."""

def set_file_broker(socket: int) -> None:
    """The socket of a broker that opens files for this process (:mod:`engine.sandbox.broker`); -1: there is none."""

def open_to_read(path: bytes) -> int:
    """A descriptor of the file, which the broker opens where this process may not. Does not wait for a pipe's writer.
    Raises OSError."""

def name_new(path: bytes, name: bytes) -> None:
    """Give a file another name in its folder, which nothing has. Raises OSError."""

def cpu_model() -> str: ...
def cpu_features() -> dict[str, str]:
    """avx2, avx_vnni, avx512_vnni, amx_int8: "" where this process may use it, else the reason why not.

    Asked of the processor once and masked by ENGINE_CPU_FEATURES. As whatever depends on features, raises
    UnknownCpuFeatureError where the variable names an unknown one.
    """

def masked_cpu_features() -> list[str]:
    """Those that the processor has and ENGINE_CPU_FEATURES keeps this process from using."""

class kernels:  # noqa: N801  a submodule
    """Single kernels on arrays, of which the digest of the arithmetic is made. Raise ValueError."""

    @staticmethod
    def multiply(
        table: str,
        type: str,  # noqa: A002
        weights: bytes,
        rows: int,
        x: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """``weights``: rows as in a file; ``x``: [tokens, columns]. Returns [tokens, rows]."""
    @staticmethod
    def rms_norm(
        table: str, x: npt.NDArray[np.float32], weight: npt.NDArray[np.float32], epsilon: float
    ) -> npt.NDArray[np.float32]:
        """``x`` and ``weight``: [n]. Returns [n]."""
    @staticmethod
    def quantize(
        table: str, x: npt.NDArray[np.float32], block: int
    ) -> tuple[npt.NDArray[np.int8], list[int], list[float], dict[int, list[int]]]:
        """One row [n] as (codes [n], multipliers, scales [n / block], sums by length); ``block`` is 32 or 256."""
    @staticmethod
    def rotate(
        table: str,
        heads: npt.NDArray[np.float32],
        head_dim: int,
        cosines: npt.NDArray[np.float32],
        sines: npt.NDArray[np.float32],
        halves: bool,
    ) -> npt.NDArray[np.float32]:
        """``heads``: [n, head_dim], flat; ``cosines`` and ``sines``: [rotated / 2]. ``halves``: a channel's partner is
        half of those away, else beside it. Returns the heads, flat."""
    @staticmethod
    def half_from_float(table: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
        """The bits of f16 numbers [n] for ``x`` [n]."""
    @staticmethod
    def silu_multiply(
        table: str, gate: npt.NDArray[np.float32], up: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """silu(gate) * up, each [n]."""
    @staticmethod
    def quantize_kv(table: str, x: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint16]]:
        """Keys or values [n] as q8_0: (codes [n], f16 scales [n / 32])."""
    @staticmethod
    def gelu_multiply(
        table: str, gate: npt.NDArray[np.float32], up: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """gelu(gate) * up, each [n]."""
    @staticmethod
    def layer_norm(
        table: str,
        x: npt.NDArray[np.float32],
        weight: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
        epsilon: float,
    ) -> npt.NDArray[np.float32]:
        """The layer norm of ``x`` [n], with ``weight`` [n] and ``bias`` [n or 0]."""
    @staticmethod
    def clamped_silu_multiply(
        table: str, gate: npt.NDArray[np.float32], up: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """clamped_silu(gate) * (up + 1), each [n]."""
    @staticmethod
    def gelu(table: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """GELU of ``x`` [n], by its approximation with tanh."""
    @staticmethod
    def squared_relu(table: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The squares of what in ``x`` [n] is positive, else 0."""
    @staticmethod
    def sigmoid(table: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The logistic function of ``x`` [n]."""
    @staticmethod
    def convolve(
        table: str, rows: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """The sum over taps of ``rows`` * ``weights``, both [taps, n]."""
    @staticmethod
    def soft_cap(table: str, x: npt.NDArray[np.float32], cap: float) -> npt.NDArray[np.float32]:
        """Numbers [n] bounded by cap * tanh(x / cap)."""
    @staticmethod
    def softmax(table: str, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The softmax of ``x`` [n]."""
    @staticmethod
    def attend(
        table: str,
        kv_cache: str,
        queries: npt.NDArray[np.float32],
        keys: npt.NDArray[np.float32],
        values: npt.NDArray[np.float32],
        visible: Sequence[int],
        scale: float,
        soft_cap: float = 0.0,
        hidden: Sequence[int] = (),
    ) -> tuple[npt.NDArray[np.float32], list[float], list[float]]:
        """Queries [n, head_dim], each of which sees the first ``visible`` (1 to 64, ascending) of 64 keys and values
        [64, head_dim], stored as ``kv_cache`` says, but for the first ``hidden`` (ascending; empty: none). Scores are
        bounded by ``soft_cap`` unless it is 0. Returns (weighted sums [n, head_dim], maxima, denominators)."""
    @staticmethod
    def quantize_rows(
        table: str,
        type: str,  # noqa: A002
        x: npt.NDArray[np.float32],
        importance: npt.NDArray[np.float32] | None = None,
    ) -> bytes:
        """Rows [rows, columns] as in a file. ``importance``: [columns]."""
    @staticmethod
    def dequantize(
        table: str,
        type: str,  # noqa: A002
        weights: bytes,
    ) -> npt.NDArray[np.float32]:
        """The weights' numbers, flat: [elements]."""
    @staticmethod
    def sum_exponentials(table: str, logits: npt.NDArray[np.float32], maximum: float) -> float:
        """Sum of w = exp(logit - maximum) over ``logits`` [n]. NaN where one is not finite."""
    @staticmethod
    def compare_logits(
        table: str, logits: npt.NDArray[np.float32], others: npt.NDArray[np.float32], maximum: float
    ) -> tuple[float, float]:
        """Sums of w and of w * (logit - other) over ``logits`` and ``others`` [n]. NaN where any is not finite."""
    @staticmethod
    def natural_logarithm(x: float) -> float:
        """The natural logarithm of a positive normal number."""

class machine_probes:  # noqa: N801  a submodule
    """What this machine can do at most. Without the GIL, for about ``seconds``. Raise ValueError."""

    @staticmethod
    def read_bandwidth(bytes: int, threads: int, seconds: float) -> list[float]:  # noqa: A002
        """Bytes a second of each pass over so many bytes of memory, together."""
    @staticmethod
    def integer_instructions() -> dict[str, str]:
        """What each kernel table that has one multiplies 8-bit integers with."""
    @staticmethod
    def integer_peak(instruction: str, threads: int, seconds: float) -> list[float]:
        """Multiply-accumulates of 8-bit integers a second, all threads together."""

    class Load:
        """Keeps threads busy with an instruction from registers alone or, with none, with reading 256 MiB of memory."""

        def __init__(self, threads: int, instruction: str | None) -> None: ...
        def run(self, seconds: float) -> None:
            """Without the GIL, until the time is over or it is cancelled."""
        def cancel(self) -> None:
            """From any thread, at any time: ends what runs within some milliseconds, and what would run later."""
