"""A powercap tree whose counter runs with time, like that of a machine of constant power."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.powercap_tree import PowercapTree

ZONE = "intel-rapl:0"
_START_UJ = 1_000_000_000
_PAUSE_S = 0.001


class RunningPowercap:
    """A powercap tree. Its counter is written a thousand times a second, in place, so that readers may keep it open."""

    def __init__(self, root: Path, watts: float) -> None:
        self.root = root
        self.watts = watts
        self.largest_gap_s = 0.0
        """Between two moves of the counter, so far: how old its content can have been."""
        PowercapTree(root).add(ZONE, "package-0", start_uj=_START_UJ)
        self._began_s = self._moved_s = time.monotonic()
        self._file = os.open(root / ZONE / "energy_uj", os.O_WRONLY)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        while not self._stopped.wait(_PAUSE_S):
            now_s = time.monotonic()
            count = _START_UJ + round((now_s - self._began_s) * self.watts * 1e6)
            os.pwrite(self._file, f"{count:020d}\n".encode(), 0)
            self.largest_gap_s = max(self.largest_gap_s, time.monotonic() - self._moved_s)
            self._moved_s = now_s


@contextmanager
def running_powercap(root: Path, watts: float) -> Iterator[RunningPowercap]:
    tree = RunningPowercap(root, watts)
    try:
        yield tree
    finally:
        tree.close()
