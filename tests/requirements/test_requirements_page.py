"""No requirement is without a test, no test without a requirement, and docs/requirements.md tells what there is."""

from __future__ import annotations

from collections import Counter

from tests.requirements.catalogue import NAMES, REQUIREMENTS
from tests.requirements.page import FAMILIES, PAGE, page, requirement_of, written_tests


def test_every_requirement_has_a_test_that_bears_its_name() -> None:
    covered = {requirement.key for test in written_tests() if (requirement := requirement_of(test)) is not None}
    assert [requirement.key for requirement in REQUIREMENTS if requirement.key not in covered] == []


def test_every_test_bears_the_name_of_a_requirement() -> None:
    assert [test.name for test in written_tests() if requirement_of(test) is None] == []


def test_every_name_that_the_documents_give_is_in_the_catalogue() -> None:
    assert set(NAMES) <= {requirement.code for requirement in REQUIREMENTS}


def test_every_requirement_is_there_once_and_has_its_place() -> None:
    assert [key for key, times in Counter(each.key for each in REQUIREMENTS).items() if times > 1] == []
    assert all(requirement.places for requirement in REQUIREMENTS)
    on_the_page = [each.key for family in FAMILIES.values() for each in family]
    assert sorted(on_the_page) == sorted(each.key for each in REQUIREMENTS)


def test_the_page_is_in_step_with_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make requirements"
