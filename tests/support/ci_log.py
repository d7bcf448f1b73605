"""The log of a run that nobody watches: how far it is, and each failure as it comes, not a dot for each test."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

TESTS_PER_LINE = 1000


class CiLog:
    """A plugin of pytest. A run that is stopped before its summary has still told what failed, and where time went."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._tests = 0
        self._start = time.monotonic()

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """No letter for a test: thousands of them leave no room in a log that is cut."""
        category, _, word = yield
        return category, "", word

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a failure whole, and every thousandth test's time."""
        if report.failed:
            self._write(f"FAILED {report.nodeid} ({report.when})\n{report.longreprtext}")
        if report.when == "teardown":
            self._tests += 1
            if self._tests % TESTS_PER_LINE == 0:
                self._write(f"{self._tests:,} tests after {time.monotonic() - self._start:.0f} s")

    def _write(self, text: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert terminal is not None
        terminal.write_line(text)
