"""Every way to end has a number, and the number is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from engine_ctl.exit_codes import EXIT_CODES, EXIT_CODES_HELP, STOP_REASON_EXIT_CODES
from engine_ctl.failure import error_line
from protocol.error_codes import ERRORS_BY_CODE
from protocol.errors import UnknownModel
from protocol.record import StopReason
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import refusing

CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_every_error_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(ERRORS_BY_CODE)


def test_every_stop_reason_has_an_exit_code() -> None:
    assert set(STOP_REASON_EXIT_CODES) == set(get_args(StopReason))


def test_help_and_the_page_name_every_code() -> None:
    page = CLI_PAGE.read_text()
    for code, number in EXIT_CODES.items():
        assert f"`{code}`" in page
        if number not in (1, 130):
            assert re.search(rf"\b{code}\b", EXIT_CODES_HELP[str(number)])


@pytest.mark.parametrize("code", sorted(ERRORS_BY_CODE))
def test_an_error_of_the_engine_ends_with_its_code(code: str, start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(refusing(ERRORS_BY_CODE[code]("it cannot be", hint="try this")))
    result = engine_ctl("status", "--socket", str(socket_path))
    assert result.exit_code == EXIT_CODES[code]
    assert result.stdout == ""
    assert result.stderr == f"error[{code}]: it cannot be\n"


def test_an_error_is_one_line_without_a_programs_parameters() -> None:
    error = UnknownModel("no model 'x'; it knows\n a, b", model="x", known=["a", "b"], searched="/models")
    assert error_line(error) == "error[unknown_model]: no model 'x'; it knows a, b"


@pytest.mark.parametrize(
    "flags",
    [
        ("--prompt", "a", "--messages", "-"),
        ("--prompt", "a", "--tools", "-"),
        ("--prompt", "a", "--chat-template", "chatml"),
        ("--chat", "--prompt", "a", "--messages", "-"),
    ],
)
def test_flags_of_a_conversation_go_together(flags: tuple[str, ...], socket_path: Path) -> None:
    assert engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", *flags).exit_code == 2
