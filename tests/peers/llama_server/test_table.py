"""The count of llama-server's tests: what failed, and what is not this engine's to give."""

from __future__ import annotations

from tests.peers.llama_server.differences import DIFFERENCES, Difference, difference_of
from tests.peers.llama_server.table import Report, failures, table

KNOWN = Difference(("test_a.py::test_slots", "test_b.py"), "assert 200 == 501", "it is always on")


def test_a_difference_is_of_a_test_and_of_what_it_fails_with() -> None:
    known = (KNOWN,)
    assert difference_of("test_a.py::test_slots[1]", "E   assert 200 == 501", known) is KNOWN
    assert difference_of("test_b.py::test_any", "E   assert 200 == 501", known) is KNOWN
    assert difference_of("test_a.py::test_slots", "E   assert 200 == 500", known) is None
    assert difference_of("test_c.py::test_any", "E   assert 200 == 501", known) is None


def test_what_no_difference_explains_has_failed() -> None:
    reports = [
        Report("test_a.py::test_one", "passed", ""),
        Report("test_a.py::test_slots", "failed", "assert 200 == 501"),
        Report("test_a.py::test_two", "failed", "KeyError"),
        Report("test_b.py::test_three", "skipped", "slow"),
    ]
    assert [one.test for one in failures(reports, (KNOWN,))] == ["test_a.py::test_two"]
    lines = table(reports, (KNOWN,)).splitlines()
    assert lines[2:5] == [
        "| `test_a.py` | 1 | 1 | 1 | 0 |",
        "| `test_b.py` | 0 | 0 | 0 | 1 |",
        "| all | 1 | 1 | 1 | 1 |",
    ]
    assert lines[-1] == "| it is always on | 1 |"


def test_every_difference_says_why() -> None:
    assert all(one.tests and one.reason for one in DIFFERENCES)
