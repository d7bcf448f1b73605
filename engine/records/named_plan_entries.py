"""Named plans in the chain of records: the newest version behind each name, and all before it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.records.open_chain import OpenChain
from engine.records.record_chain import StoredEntry
from protocol.errors import InvalidRequest, UnknownEntry
from protocol.named_plan import NamedPlan, NamedPlanVersion
from protocol.record_entry import NamedPlanEntry

_KIND = "named_plan"


def named_plan(chain: OpenChain, name: str) -> NamedPlan:
    """The newest version behind a name. Raises UnknownEntry, RecordUnreadable."""
    newest = chain.last(_KIND, name)
    if newest is None:
        raise _unknown(name)
    return version_of(newest).named_plan


def plan_history(chain: OpenChain, name: str) -> tuple[NamedPlanVersion, ...]:
    """Every version behind a name, the newest first. Raises UnknownEntry, RecordUnreadable."""
    versions = {version.named_plan.version: version for version in map(version_of, chain.about(_KIND, name))}
    if not versions:
        raise _unknown(name)
    return tuple(versions[number] for number in sorted(versions, reverse=True))


def current_plans(chain: OpenChain) -> tuple[NamedPlanVersion, ...]:
    """The newest version behind every name, by name. Raises RecordUnreadable."""
    return tuple(map(version_of, chain.current(_KIND)))


def append_version(chain: OpenChain, plan: NamedPlan) -> StoredEntry:
    """Put a version behind its name, within a transaction."""
    return chain.append(kind=_KIND, named_plan=plan.model_dump(mode="json"))


def next_version(chain: OpenChain, name: str) -> int:
    """The number of the version to come, within a transaction. Raises RecordUnreadable."""
    newest = chain.last(_KIND, name)
    return 1 if newest is None else version_of(newest).named_plan.version + 1


def earlier_version(chain: OpenChain, name: str, version: int | None, newest: int | None = None) -> NamedPlan:
    """The version to roll back to; ``None``: the one before what the newest has. ``newest``: what that must be.

    Raises UnknownEntry, InvalidRequest.
    """
    last, *earlier = (one.named_plan for one in plan_history(chain, name))
    if newest not in (None, last.version):
        raise InvalidRequest(
            f"{name} is at version {last.version}, and not at {newest} any more: nothing was rolled back",
            field="newest",
            value=newest,
            allowed=[last.version],
        )
    has = _first_with_its_plan(last, earlier)
    found = [one for one in earlier if (one.version < has if version is None else one.version == version)]
    if found:
        return found[0]
    kept = [one.version for one in earlier]
    again = "" if has == last.version else f", which has the plan of version {has} again"
    wanted = "an earlier version" if version is None else f"the version {version}"
    raise InvalidRequest(
        f"{name} is at version {last.version}{again}, and {wanted} is not there to go back to: {_listed(kept)}",
        field="version",
        value=version,
        allowed=kept,
    )


def _first_with_its_plan(newest: NamedPlan, earlier: Sequence[NamedPlan]) -> int:
    """The number of the version that the newest went back to, through versions that went back themselves."""
    by_number = {one.version: one for one in earlier}
    found: NamedPlan | None = newest
    number = newest.version
    while found is not None and found.rolled_back_to is not None:
        number = found.rolled_back_to
        found = by_number.get(number)
    return number


def _listed(versions: Sequence[int]) -> str:
    return f"there is {', '.join(map(str, versions))}" if versions else "there is no other"


def carry_named_plans(chain: OpenChain, through_sequence: int) -> None:
    """Write the newest version of every name anew that a pruning up to ``through_sequence`` would remove."""
    for entry in chain.current(_KIND):
        if entry.sequence <= through_sequence:
            append_version(chain, version_of(entry).named_plan)


def version_of(entry: StoredEntry) -> NamedPlanVersion:
    """The version in an entry. Raises RecordUnreadable."""
    decoded = entry.decode_as(NamedPlanEntry)
    return NamedPlanVersion(sequence=decoded.sequence, recorded_at=decoded.recorded_at, named_plan=decoded.named_plan)


def _unknown(name: str) -> UnknownEntry:
    return UnknownEntry(f"no plan is behind the name {name!r}", kind=_KIND, id=name)
