"""Declaring an experiment: its plans made whole, its order fixed, and all of it sealed before anything runs."""

from __future__ import annotations

import hashlib
import secrets

from engine.experiments.arms import arm_plans
from engine.experiments.open_experiment import OpenExperiment
from engine.experiments.schedule import schedule
from engine.identity.build import current_build
from engine.identity.version import ENGINE_VERSION
from engine.operations.evaluated_text import text_tokens, window_of
from engine.planning.planner import Planner
from engine.records.experiment_entries import declare_experiment
from engine.records.record_chain import canonical_json
from engine.records.record_store import RecordStore
from protocol.experiment import ExperimentDeclaration, WorkloadInput
from protocol.experiment_messages import Experiment


def open_experiment(asked: Experiment, planner: Planner, store: RecordStore) -> OpenExperiment:
    """Declare what is asked for, or nothing where :func:`arm_plans` or the store raises. Blocking.

    Raises InvalidRequest: the text to evaluate by is shorter than a window.
    """
    plans = arm_plans(asked, planner)
    if asked.evaluation is not None:
        artifact = planner.registry.resolve(plans[0].model_ref.path)
        window = window_of(artifact, asked.evaluation.window)
        text_tokens(artifact, asked.evaluation.text, window, "evaluation.text")
    declaration = ExperimentDeclaration(
        experiment_id=f"experiment-{secrets.token_hex(8)}",
        agent=asked.agent,
        note=asked.note,
        engine_version=ENGINE_VERSION,
        build=current_build(),
        cpu_model=planner.machine.cpu_model,
        cpu_features=planner.machine.cpu_features,
        plans=plans,
        plan_fingerprints=tuple(plan.fingerprint for plan in plans),
        workload=asked.workload,
        workload_digest=workload_digest(asked.workload),
        pairs=asked.pairs,
        warm_up=asked.warm_up,
        metrics=tuple(dict.fromkeys(asked.metrics)),
        schedule=schedule(len(asked.candidates), len(asked.workload), asked.pairs, asked.warm_up),
    )
    sequence = declare_experiment(store, declaration).sequence
    return OpenExperiment(declaration, sequence, planner, store, asked.evaluation)


def workload_digest(workload: tuple[WorkloadInput, ...]) -> str:
    """``sha256:`` and 64 hexadecimal digits: equal for equal inputs in the same order."""
    content = canonical_json({"workload": [answered.model_dump(mode="json") for answered in workload]})
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
