"""Teams of threads: nobody goes on before all have come, whether they wait awake or asleep, and none sleeps on."""

from __future__ import annotations

import pytest

from engine._core_tests import overtakings


@pytest.mark.parametrize("spin_us", [0, 1, 50])
@pytest.mark.parametrize("members", [1, 2, 3, 7])
def test_nobody_overtakes_at_a_barrier(members: int, spin_us: int) -> None:
    assert overtakings(members, spin_us=spin_us, rounds=2000) == 0


def test_a_team_has_members() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        overtakings(0, spin_us=0, rounds=1)
