"""Writes docs/requirements.md: every requirement, the tests that bear its name, and whether they pass.

python -m tests.requirements.page
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import catalogue
from tests.requirements.catalogue import REQUIREMENTS
from tests.requirements.differences import DIFFERENCES
from tests.requirements.requirement import Requirement

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "requirements.md"
_ABOUT_THE_PAGE = "test_requirements_page.py"
_HEAD = """# Requirements

The requirements are those of these documents, each of version 0.1; this page names the tests of every one:
*Stack Tecnológico*, *Requisitos*, *Documentação Completa* and *Integração com WeOS*. The tests run against the real
engine, with a tiny model of random weights under the name `llama3-8b`; `engine run` is `engine-ctl run`. Where nothing
measures energy, they have a declared model of it ([energy.md](energy.md#declaring-a-source)).

*Expected failure* marks a test of something that is not built yet: the suite fails once it works, so that this page is
corrected. `make requirements` writes the page from the tests; a test compares them.
"""
FAMILIES = {
    "Objectives, scope and measures of success": catalogue.OBJECTIVES,
    "Functional requirements": catalogue.FUNCTIONAL,
    "Non-functional requirements": catalogue.NON_FUNCTIONAL,
    "Architecture and flow": catalogue.FLOW,
    "Stop conditions": catalogue.STOPS,
    "Metrics": catalogue.METRICS,
    "Examples": catalogue.EXAMPLES,
    "Prohibitions": catalogue.PROHIBITIONS,
    "The WeOS": catalogue.WEOS,
    "Technology stack": catalogue.STACK,
}
_DIFFERENCES = """
## Where the documents differ

The documents differ here from one another, or from what the engine does; the table says what was settled.

| subject | the documents | settled | why |
|---|---|---|---|
"""
_BEYOND = """
## What has no test here

- Principles without a subject (Requisitos §7, Documentação Completa §1.7, §2.10, §3.15, §4.11, §5.13): the requirements
  above come from them.
- Directions for later, which are not binding (Requisitos §8, Documentação Completa §1.8). A quantized KV cache
  ([cli.md](cli.md#run-and-plan)) and several models at once ([scheduling.md](scheduling.md)) exist already.
- *AUTON Technology Stack* describes another system, which asks for three things: a provider for its agents' calls (over
  HTTP: [http.md](http.md)), a pipeline that trains, quantizes and exports small models ([slm.md](slm.md)), and an
  orchestrator ([auton.md](auton.md)).
"""


@dataclass(frozen=True, slots=True)
class RequirementTest:
    file: str
    name: str
    reason: str
    """Why it is expected to fail; empty where it must pass."""


def written_tests() -> Iterator[RequirementTest]:
    """Every test of this folder but those of the page, in order of file and line."""
    for path in sorted(FOLDER.glob("test_*.py")):
        if path.name == _ABOUT_THE_PAGE:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield RequirementTest(path.name, node.name, _reason(node))


def requirement_of(test: RequirementTest) -> Requirement | None:
    """The one whose key the test's name begins with."""
    named = f"{test.name.removeprefix('test_')}_"
    found = [requirement for requirement in REQUIREMENTS if named.startswith(f"{requirement.key}_")]
    return max(found, key=lambda requirement: len(requirement.key), default=None)


def page() -> str:
    """The whole page, as it should be in the repository."""
    by_key: dict[str, list[RequirementTest]] = {requirement.key: [] for requirement in REQUIREMENTS}
    for test in written_tests():
        if (requirement := requirement_of(test)) is not None:
            by_key[requirement.key].append(test)
    parts = [_HEAD]
    for title, family in FAMILIES.items():
        parts.append(f"\n## {title}\n\n| | requirement | documents | tests | state |\n|---|---|---|---|---|\n")
        parts += [_row(requirement, by_key[requirement.key]) for requirement in family]
    parts += [_DIFFERENCES, *(f"| {' | '.join(each)} |\n" for each in DIFFERENCES), _BEYOND]
    return "".join(parts)


def _row(requirement: Requirement, its_tests: list[RequirementTest]) -> str:
    places = ", ".join(map(str, requirement.places))
    names = "<br>".join(f"[`{test.name}`](../tests/requirements/{test.file})" for test in its_tests)
    return f"| {requirement.code} | {requirement.says} | {places} | {names} | {_state(its_tests)} |\n"


def _state(its_tests: list[RequirementTest]) -> str:
    reasons = list(dict.fromkeys(test.reason for test in its_tests if test.reason))
    if not reasons:
        return "met"
    part = "met in part; " if any(not test.reason for test in its_tests) else ""
    return f"{part}expected failure: {'; '.join(reasons)}"


def _reason(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.xfail":
            return next(str(ast.literal_eval(each.value)) for each in decorator.keywords if each.arg == "reason")
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
