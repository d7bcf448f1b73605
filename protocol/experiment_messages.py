"""What a client asks about experiments, and what it is answered."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from protocol.experiment import (
    EXPERIMENT_METRICS,
    AgentName,
    ExperimentDeclaration,
    ExperimentMetric,
    ExperimentRecord,
    ExperimentSummary,
    ExperimentText,
    MeasuredPair,
    Note,
    WorkloadInput,
)
from protocol.message import Answer, InterimAnswer, Request, StreamRequest
from protocol.plan import GivenPlan
from protocol.progress import StageProgress

MAX_PAIRS: Final = 2000
"""Most pairs over all candidates: what comes of them fits into one frame."""


class ExperimentDeclared(InterimAnswer):
    """The experiment is in the chain of records, and nothing of it has run."""

    type: Literal["ExperimentDeclared"] = "ExperimentDeclared"
    declaration: ExperimentDeclaration
    sequence: int
    """Its place in the chain."""


class ExperimentProgress(StageProgress, InterimAnswer):
    """How many executions of the schedule are over; their unit is ``executions``."""

    type: Literal["ExperimentProgress"] = "ExperimentProgress"


class PairMeasured(InterimAnswer):
    """Another pair is whole."""

    type: Literal["PairMeasured"] = "PairMeasured"
    experiment_id: str
    pair: MeasuredPair


class Experimented(Answer):
    """The experiment has ended, and is in the chain."""

    type: Literal["Experimented"] = "Experimented"
    experiment: ExperimentRecord
    sequence: int
    hash: str
    """The entry's hash in the chain."""


class ExperimentList(Answer):
    """A page of experiments."""

    type: Literal["ExperimentList"] = "ExperimentList"
    experiments: tuple[ExperimentSummary, ...]


class ExperimentShown(Answer):
    """One experiment."""

    type: Literal["ExperimentShown"] = "ExperimentShown"
    declaration: ExperimentDeclaration
    experiment: ExperimentRecord | None
    """``None`` while it runs."""
    hash: str | None
    """The hash of what came of it, in the chain."""


class Experiment(StreamRequest[ExperimentDeclared | ExperimentProgress | PairMeasured, Experimented]):
    """Run plans over the same inputs in a declared order: each candidate against the baseline, in interleaved pairs.

    Answered by ``ExperimentDeclared``, a ``PairMeasured`` for each whole pair, ``ExperimentProgress``, then
    ``Experimented``. Every execution has a record of its own. It ends early where ``StopExperiment`` says so, and with
    its client; what it has measured is recorded all the same. One runs at a time.
    """

    type: Literal["Experiment"] = "Experiment"
    baseline: GivenPlan
    candidates: Annotated[tuple[GivenPlan, ...], Field(min_length=1, max_length=16)]
    """Each is held against the baseline. A plan that is left open is filled in once, with a context that holds every
    input, so that one plan answers all."""
    workload: Annotated[tuple[WorkloadInput, ...], Field(min_length=1, max_length=256)]
    """Pairs take turns over them."""
    pairs: Annotated[int, Field(ge=1, le=MAX_PAIRS)] = 8
    """For each candidate."""
    warm_up: Annotated[int, Field(ge=0, le=64)] = 1
    """Executions of each plan before the first pair, which no figure counts."""
    metrics: Annotated[tuple[ExperimentMetric, ...], Field(min_length=1)] = EXPERIMENT_METRICS
    evaluation: ExperimentText | None = None
    """A text by which to tell how well each arithmetic predicts, before the first execution."""
    build: str | None = None
    """The build that the plans are of; another refuses them. Left out, any may carry them out."""
    agent: AgentName = ""
    note: Note = ""

    @model_validator(mode="after")
    def _few_enough(self) -> Self:
        if (total := self.pairs * len(self.candidates)) > MAX_PAIRS:
            raise ValueError(f"{total} pairs over all candidates; an experiment has {MAX_PAIRS} at most")
        return self

    @property
    def plan_inputs(self) -> tuple[GivenPlan, ...]:
        """The plan of each arm: the baseline is 0, the first candidate 1."""
        return (self.baseline, *self.candidates)


class Experiments(Request[ExperimentList]):
    """The experiments, the newest first. Answered by ``ExperimentList``."""

    type: Literal["Experiments"] = "Experiments"
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class GetExperiment(Request[ExperimentShown]):
    """Answered by ``ExperimentShown``."""

    type: Literal["GetExperiment"] = "GetExperiment"
    experiment_id: str


AskedOfExperiments = Experiment | Experiments | GetExperiment
ToldOfExperiments = (
    ExperimentDeclared | ExperimentProgress | PairMeasured | Experimented | ExperimentList | ExperimentShown
)
