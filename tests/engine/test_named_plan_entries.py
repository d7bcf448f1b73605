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


def roll_back(store: RecordStore, name: str, newest: int | None = None) -> int | None:
    """The version that it went back to."""
    with store.transaction() as chain:
        earlier = earlier_version(chain, name, None, newest)
        fields = {"version": next_version(chain, name), "rolled_back_to": earlier.version}
        append_version(chain, earlier.model_copy(update=fields))
    return earlier.version


def test_rolling_back_again_goes_further_back_and_never_forth(tmp_path: Path) -> None:
    with open_store(tmp_path / "records.sqlite") as store:
        for _ in range(3):
            apply(store, "chat")
        assert [roll_back(store, "chat") for _ in range(2)] == [2, 1]
        told = (
            "version 5, which has the plan of version 1 again, and an earlier version is not there .*: there is 4, 3, 2"
        )
        with pytest.raises(InvalidRequest, match=told):
            roll_back(store, "chat")
        apply(store, "chat")  # Version 6; the one before it has the plan of version 1.
        assert roll_back(store, "chat") == 5
        with pytest.raises(InvalidRequest, match="has the plan of version 1 again"):
            roll_back(store, "chat")


def test_a_watcher_rolls_back_what_it_applied_and_nothing_that_came_since(tmp_path: Path) -> None:
    with open_store(tmp_path / "records.sqlite") as store:
        for _ in range(3):
            apply(store, "chat")
        with pytest.raises(InvalidRequest, match="chat is at version 3, and not at 2 any more") as refused:
            roll_back(store, "chat", newest=2)
        assert (refused.value.params["field"], refused.value.params["allowed"]) == ("newest", [3])
        assert roll_back(store, "chat", newest=3) == 2


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
