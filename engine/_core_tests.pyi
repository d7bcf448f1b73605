"""What tests and benchmarks alone call of the core: csrc/bindings/tests/. A wheel does not have it."""

from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from engine._core import Drafter, Grammar, Model, SamplingOptions, SequenceEvents, StreamWriter

def target_types(
    recipe: str,
    *,
    architecture: str,
    layers: int,
    experts: int,
    heads: int,
    kv_heads: int,
    tensors: Sequence[tuple[str, str, Sequence[int]]],
    important: bool = False,
) -> dict[str, str]:
    """The type each of ``tensors``, (name, type, shape), would get in such a model, by name. Raises
    UnsupportedModelError, ValueError.
    """

@final
class EventBuffer:
    """Events on their way from the run loop to its reader. The run loop has one of its own."""

    def __init__(self) -> None: ...
    @property
    def event_fd(self) -> int:
        """Readable while something is due. Reset by drain()."""
    def add(
        self,
        sequence_id: int,
        choice: int,
        text: str,
        patience_ms: int,
        token_ids: Sequence[int] = (),
        ends: bool = False,
    ) -> None:
        """Due at the next announce() if the last drain() was ``patience_ms`` ago, else by itself when it is."""
    def hasten(self, sequence_id: int) -> None: ...
    def announce(self) -> None: ...
    def drain(self) -> list[SequenceEvents]: ...

def stream_writer(events: EventBuffer) -> StreamWriter:
    """A writer that reads these events."""

@final
class GrammarMatcher:
    """Where in a grammar a text is: at its beginning. For one thread at a time."""

    def __init__(self, grammar: Grammar) -> None: ...
    def allowed(self) -> list[int]:
        """The tokens that may come next, ascending. Raises GrammarError: none can, or the library's limits."""
    def accept(self, token_id: int) -> None:
        """Go on behind a token that ends nothing. Raises GrammarError: it is not allowed."""
    @property
    def finished(self) -> bool:
        """The text is complete and nothing may follow."""

class ScriptedDrafter(Drafter):
    """Guesses that a sequence goes on as a text, prompt and answer, that is given."""

    def __init__(self, text: Sequence[int]) -> None: ...

class Acceptance:
    """How often guesses were right of late, by their kind."""

    def __init__(self) -> None: ...
    def chance(self, kind: int) -> float: ...
    def note(self, kind: int, right: bool) -> None: ...

def look_up(texts: Sequence[Sequence[int]], most: int) -> list[tuple[int, int]]:
    """Token and kind of each guess behind the last of texts that each go on from the one before."""

def plan_drafts(
    candidates: Sequence[tuple[Sequence[float], float]],
    *,
    rows: float,
    tokens: float,
    free_rows: int,
    drafting: float = 0.0,
) -> list[int]:
    """How many guesses of each candidate, its chances and row cost, a step of so many rows and tokens computes."""

def plan_draft_round(
    candidates: Sequence[tuple[float, float, float]],
    *,
    rows: float,
    tokens: float,
    free_rows: int,
    drafting: float = 0.0,
) -> list[bool]:
    """Which candidates, with their chance, row cost and draft cost, a draft model guesses one more token of."""

def trial_chances(wrong_behind: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """The chances by which a draft model's first guess behind so many tokens is weighed, once those behind others were
    wrong: counted as 0.1, supposed to be 0.9."""

@final
class Utf8Stream:
    """Bytes that arrive in pieces, as well-formed UTF-8: U+FFFD for each maximal ill-formed part."""

    def __init__(self) -> None: ...
    def append(self, bytes: bytes) -> str: ...  # noqa: A002
    def finish(self) -> str: ...

@final
class StopMatcher:
    """Lets text through up to the first stop string; holds back an end that may yet become one.

    Raises ValueError for an empty stop string.
    """

    def __init__(self, stops: Sequence[str]) -> None: ...
    def append(self, text: str) -> str: ...
    @property
    def matched(self) -> bool: ...
    def finish(self) -> str: ...

class StepCandidate:
    """What the step planner knows of a sequence."""

    def __init__(
        self,
        *,
        prefilling: bool,
        paused: bool = False,
        waiting: int,
        prefill_rank: int,
        prefill_share: int,
        prefill_beside_decode: int,
    ) -> None: ...

def plan_step(candidates: Sequence[StepCandidate], decode_rows: int, prefill_chunk: int) -> list[int]:
    """Tokens of each candidate to compute in the next step."""

def overtakings(members: int, *, spin_us: int, rounds: int) -> int:
    """How often a member of a team left a barrier that another had not come to."""

def row_cost(model: Model, first_position: int, rows: int, logit_rows: int) -> float:
    """Multiply-accumulates by which consecutive rows of a sequence share the time of a step with others' rows."""

def share(begin: float, end: float, amount: int) -> int:
    """The part of an amount between two points of it, 0 to 1. Parts side by side add up to the amount."""

def through_panel(
    type: str,  # noqa: A002
    weights: bytes,
    columns: int,
) -> bytes:
    """``weights``, rows as in a file, packed for the tables that pack and unpacked again. Not for types whose codes are
    in no planes of bits: IQ1, IQ2, IQ3 and TQ1_0."""

def panel_floats(
    type: str,  # noqa: A002
    weights: bytes,
    columns: int,
) -> npt.NDArray[np.float32]:
    """[rows, columns]: the same rows, read from where they were packed, as floats."""

def merge_split(
    table: str,
    split: tuple[npt.NDArray[np.float32], float, float],
    total: tuple[npt.NDArray[np.float32], float, float],
) -> tuple[npt.NDArray[np.float32], float, float]:
    """The total with the split added to it: each is sums [head_dim], the maximum and the denominator."""

def digest(values: npt.NDArray[np.float32]) -> str:
    """32 hexadecimal digits for the bits of ``values`` [n], as one thread makes them."""

def processor_runs(refused: bool) -> bool:
    """Whether a trial ends well, of an instruction that every processor refuses or of none."""

def largest_key(table: str, values: npt.NDArray[np.float32]) -> int:
    """The key of the largest of ``values`` [n]: keys are ordered as numbers are, those of NaN and infinities above all.

    Raises ValueError: no values.
    """

def time_multiply(
    table: str,
    type: str,  # noqa: A002
    weights: bytes,
    columns: int,
    tokens: int,
    threads: int,
    seconds: float,
) -> list[float]:
    """Seconds of each pass over all of ``weights`` (rows as in a file), for about ``seconds``; at least three."""

def weigh(
    table: str, logits: npt.NDArray[np.float32]
) -> tuple[float, float, npt.NDArray[np.float32], int, int, npt.NDArray[np.uint64], int]:
    """Least and largest of ``logits`` [n], the largest of each block [ceil(n / 128)], the sum of weights twice, each
    weight [n], the sum of distances.

    See csrc/kernels/candidates.h. Raises ValueError: no logits.
    """

def typicality(table: str, logits: npt.NDArray[np.float32], largest: float, mean: float) -> npt.NDArray[np.float32]:
    """Of ``logits`` [n], for each minus how far its distance from the largest is from ``mean`` [n]."""

def scale(table: str, logits: npt.NDArray[np.float32], largest: float, temperature: float) -> npt.NDArray[np.float32]:
    """(logit - ``largest``) / ``temperature`` [n] of ``logits`` [n]."""

def bucket(table: str, keys: npt.NDArray[np.float32], high: float, factor: float) -> npt.NDArray[np.uint16]:
    """(``high`` - key) * ``factor`` [n] of ``keys`` [n], rounded down, at most 1023."""

def keep(
    table: str,
    keys: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32],
    tokens: npt.NDArray[np.int32],
    begin: int,
    low: float,
    high: float,
    above: bool,
    in_place: bool,
) -> tuple[list[float], list[int]]:
    """Logits and tokens of the candidates from ``begin`` on whose key is from ``low``, or ``above`` it, to below
    ``high``; without ``tokens`` their places. ``in_place`` lets them be written over those that are read. ``keys``,
    ``logits`` and ``tokens`` are [n]."""

def time_draws(
    table: str,
    options: SamplingOptions,
    logits: npt.NDArray[np.float32],
    history: Sequence[int],
    draws: int,
) -> list[float]:
    """Seconds of each of some draws from ``logits`` [vocabulary], at successive positions."""
