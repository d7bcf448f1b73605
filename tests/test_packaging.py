"""The files for the service manager and the device manager say what the engine says."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from actors.unix_socket import PASSED_NAME
from engine.energy.powercap import REMEDY
from engine_ctl.main import main
from protocol.address import default_socket_path

PACKAGING = Path(__file__).parents[1] / "packaging"


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((PACKAGING / "systemd" / name).read_text())
    return parser


def test_the_rule_is_the_one_that_the_engine_advises() -> None:
    lines = (PACKAGING / "udev" / "90-engine-energy.rules").read_text().splitlines()
    (rule,) = [line for line in lines if not line.startswith("#")]
    assert rule in REMEDY


def test_the_service_runs_a_command_that_there_is() -> None:
    program, command, *flags = unit("engine.service")["Service"]["ExecStart"].split()
    assert program.endswith("/engine-ctl")
    assert isinstance(main, click.Group)
    serve = main.get_command(click.Context(main), command)
    assert serve is not None
    serve.make_context(command, flags)


def test_the_manager_waits_for_longer_than_the_engine_drains() -> None:
    service = unit("engine.service")["Service"]
    flags = service["ExecStart"].split()
    assert float(service["TimeoutStopSec"]) > float(flags[flags.index("--drain-s") + 1]) + 10
    assert service["Type"] == "notify"
    assert "WatchdogSec" not in service


def test_the_socket_is_where_clients_look_and_has_the_name_the_engine_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = unit("engine.socket")["Socket"]
    monkeypatch.delenv("ENGINE_SOCKET", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert socket["ListenStream"].replace("%t", "/run/user/1000") == str(default_socket_path())
    assert socket["FileDescriptorName"] == PASSED_NAME
    assert (socket["SocketMode"], socket["DirectoryMode"]) == ("0600", "0700")
