"""The newest version of a named plan outlives a pruning, and half of a step is none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.records.named_plan_entries import (
    append_version,
    current_plans,
    earlier_version,
    next_version,
    plan_history,
)
from engine.records.record_store import RecordStore
from protocol.errors import InvalidRequest
from protocol.named_plan import NamedPlan
from tests.engine.record_factory import START, Clock, open_store, run
from tests.tools.executions import make_plan


def apply(store: RecordStore, name: str) -> None:
    with store.transaction() as chain:
        plan = make_plan()
        version = NamedPlan(
            name=name,
            version=next_version(chain, name),
            plan=plan,
            plan_fingerprint=plan.fingerprint,
            proposal_id="proposal-1",
            agent="tester",
            reason="",
        )
        append_version(chain, version)


def fail_in_between(store: RecordStore) -> None:
    with store.transaction() as chain:
        append_version(chain, plan_history(chain, "chat")[0].named_plan)
        raise RuntimeError("in between")


def versions(store: RecordStore, name: str) -> list[int]:
    with store.reading() as chain:
        return [one.named_plan.version for one in plan_history(chain, name)]


def test_a_pruning_keeps_the_newest_version_of_every_name(tmp_path: Path) -> None:
    clock = Clock()
    with open_store(tmp_path / "records.sqlite", clock=clock) as store:
        for name in ("chat", "chat", "code"):
            apply(store, name)
        run(store, "a")
        store.prune(START + timedelta(seconds=clock.looks + 1))
        assert (versions(store, "chat"), versions(store, "code")) == ([2], [1])
        with store.reading() as chain:
            assert [one.named_plan.name for one in current_plans(chain)] == ["chat", "code"]
        apply(store, "chat")
        assert versions(store, "chat") == [3, 2]
        assert store.verify_chain().fault is None


def test_a_version_that_was_pruned_cannot_be_gone_back_to(tmp_path: Path) -> None:
    clock = Clock()
    with open_store(tmp_path / "records.sqlite", clock=clock) as store:
        apply(store, "chat")
        apply(store, "chat")
        run(store, "a")
        store.prune(START + timedelta(seconds=clock.looks + 1))
        with store.reading() as chain, pytest.raises(InvalidRequest, match="the version 1 is not there"):
            earlier_version(chain, "chat", 1)


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_store(tmp_path / "records.sqlite") as store:
        apply(store, "chat")
        head = store.head()
        with pytest.raises(RuntimeError, match="in between"):
            fail_in_between(store)
        assert (store.head(), versions(store, "chat")) == (head, [1])
        assert store.verify_chain().fault is None
