"""Fair shares: some is left for whoever comes next, and what is given back is there again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.policies.admission import decide
from actors.policies.candidate import Candidate
from actors.policies.due_time import AGING_BOUND_MS
from actors.policies.requester import Requester
from actors.policies.shares import Shares
from tests.actors.candidate_factory import MS, make_candidate


def client(number: int, user: int = 1) -> Requester:
    return Requester(user=f"uid:{user}", client=f"pid:{number}")


def taken(shares: Shares, asker: Requester) -> int:
    """How often the asker may take one before it is refused."""
    count = 0
    while shares.take(asker):
        count += 1
    return count


def test_one_client_comes_to_half_of_its_users_part_and_later_ones_to_less_each() -> None:
    shares = Shares(256)
    assert [taken(shares, client(number)) for number in range(4)] == [113, 56, 28, 14]
    assert taken(shares, client(9)) > 0


def test_clients_that_come_at_once_share_evenly() -> None:
    shares = Shares(256)
    for _ in range(256):
        for number in range(5):
            shares.take(client(number))
    assert 185 <= shares.taken <= 192
    assert shares.take(client(9))


def test_many_clients_of_one_user_leave_an_eighth_to_others() -> None:
    shares = Shares(256)
    assert sum(taken(shares, client(number, user=1)) for number in range(1000)) == 224
    assert taken(shares, client(1, user=2)) == 15


def test_the_smallest_capacities_are_taken_whole() -> None:
    assert [taken(Shares(capacity), client(1)) for capacity in (1, 2, 3, 8)] == [1, 2, 2, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), max_size=60))
def test_what_is_given_back_is_free(wanted: list[tuple[int, int]]) -> None:
    shares = Shares(100)
    held = [(client(number), amount) for number, amount in wanted if shares.take(client(number), amount)]
    assert shares.taken == sum(amount for _, amount in held) <= 88
    for asker, amount in held:
        shares.give_back(asker, amount)
    assert shares.taken == 0
    assert shares.take(client(0), 87)


def crowd(count: int, **rest: Any) -> list[Candidate]:
    """Executions of one client, one after another, that need the whole batch each."""
    return [
        make_candidate(f"greedy {n}", max_sequences=1, queued_ms=n, client="greedy", ahead=n, **rest)
        for n in range(count)
    ]


def order(queued: list[Candidate], now_ms: int = 10_000) -> list[str]:
    """The ids in the order in which they are admitted, one at a time."""
    names = []
    while queued:
        name = decide(now_ms * MS, queued, ()).admitted[0].execution_id
        queued = [one for one in queued if one.execution_id != name]
        names.append(name)
    return names


def test_a_newcomers_first_request_goes_before_anothers_second() -> None:
    late = make_candidate("late", max_sequences=1, queued_ms=900, client="other")
    assert order([*crowd(20), late])[:3] == ["greedy 0", "late", "greedy 1"]
    later = make_candidate("later", max_sequences=1, queued_ms=5000, client="other")
    assert order([*crowd(20), later]).index("later") == 5


def test_one_clients_own_go_in_the_order_of_their_due_times() -> None:
    greedy = [one.model_copy(update={"ahead": 20 - index}) for index, one in enumerate(crowd(20))]
    late = make_candidate("late", max_sequences=1, queued_ms=5000, client="other")
    own = [name for name in order([*greedy, late]) if name != "late"]
    assert own == [one.execution_id for one in greedy]


def test_the_aging_bound_holds_whoever_asks() -> None:
    old = make_candidate("old", max_sequences=1, queued_ms=0, priority=-10, client="greedy", ahead=500)
    new = make_candidate("new", max_sequences=1, queued_ms=int(AGING_BOUND_MS) + 1, priority=10, client="other")
    assert order([old, new], int(2 * AGING_BOUND_MS)) == ["old", "new"]
