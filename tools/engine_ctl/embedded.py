"""An engine in this process: the one that ``serve`` runs, and the one that commands use where none listens."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import trio

from actors.http.options import HttpOptions
from actors.system import System, open_system
from engine.bench.throughput import Throughput, measure_throughput
from engine.bench.work import decode, decode_side_by_side, prefill
from engine.config import EngineConfig
from engine.host.interpreter import collect_garbage, keep_pauses_short
from engine.host.service_notify import ServiceNotifier
from engine.sandbox.enclosure import Enclosure
from engine_ctl.engine_options import configured
from protocol.address import MAX_SOCKET_PATH_BYTES
from protocol.blocking import BlockingClient
from protocol.errors import EngineUnreachable
from protocol.plan import ExecutionPlan, RunRequest
from protocol.requests import Plan, Shutdown
from protocol.value import Value, build_schemas

__all__ = ["Throughput", "bench", "embedded_engine", "serve"]

_COLLECT_S = 10.0


def serve(
    config: EngineConfig,
    socket: Path,
    drain_s: float,
    note: Callable[[str], None],
    http: HttpOptions | None,
    enclosure: Enclosure,
) -> None:
    """Run an engine until SIGTERM, SIGINT or a client's ``Shutdown``; ``note`` gets a line when it listens or stops.

    The process is within the ``enclosure``. It serves at a socket that a service manager passed, else at ``socket``.
    What runs at the first signal may finish within ``drain_s``; a second signal ends it.

    Raises:
        InvalidRequest: the socket cannot be put there, or what was passed is none.
        EnergyUnavailable: the energy source that ``config`` declares does not work here.
    """
    trio.run(_serve, config, socket, drain_s, note, http, enclosure)


async def _serve(
    config: EngineConfig,
    socket: Path,
    drain_s: float,
    note: Callable[[str], None],
    http: HttpOptions | None,
    enclosure: Enclosure,
) -> None:
    service = _Service(ServiceNotifier.of(os.environ), note)
    with trio.open_signal_receiver(*_stop_signals()) as signals:
        system = open_system(config, socket_path=socket, activated=True, http=http, enclosure=enclosure)
        async with trio.open_nursery() as watching:
            watching.start_soon(_stop_on_signal, system, signals, drain_s, service)
            async with trio.open_nursery() as running:
                await running.start(system.run)
                await trio.to_thread.run_sync(build_schemas, Value)
                keep_pauses_short()
                service.ready(f"listening on {system.socket_path}")
                for place in system.http_places:
                    note(f"HTTP on {place}")
                watching.start_soon(service.keep_alive)
                watching.start_soon(_collect_when_quiet, system)
            service.stopping("stopped")
            watching.cancel_scope.cancel()


def _stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, and SIGINT unless this process was started to ignore it, as a script's background jobs are."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return (signal.SIGTERM,) if ignored else (signal.SIGTERM, signal.SIGINT)


async def _stop_on_signal(system: System, signals: AsyncIterator[int], drain_s: float, service: _Service) -> None:
    async with trio.open_nursery() as stopping:
        left_s = drain_s
        async for _ in signals:
            service.stopping(f"stopping: what runs has {left_s:g} s to finish")
            stopping.start_soon(system.stop, left_s)
            left_s = 0.0


async def _collect_when_quiet(system: System) -> None:
    while True:
        await trio.sleep(_COLLECT_S)
        if not system.statistics().api_server.in_flight:
            collect_garbage()


class _Service:
    """Tells the terminal and the service manager alike; a manager that cannot be told is no reason to stop."""

    def __init__(self, notifier: ServiceNotifier, note: Callable[[str], None]) -> None:
        self._notifier = notifier
        self._note = note

    def ready(self, status: str) -> None:
        self._note(status)
        self._tell(lambda: self._notifier.ready(status))

    def stopping(self, status: str) -> None:
        self._note(status)
        self._tell(lambda: self._notifier.stopping(status))

    async def keep_alive(self) -> None:
        """Send a sign of life twice in the manager's watchdog interval, if it has one."""
        if self._notifier.watchdog_s is None:
            return
        while True:
            self._tell(self._notifier.alive)
            await trio.sleep(self._notifier.watchdog_s / 2)

    def _tell(self, send: Callable[[], None]) -> None:
        try:
            send()
        except OSError as error:
            self._note(f"the service manager could not be told: {error}")


def _private_folder() -> TemporaryDirectory[str]:
    """A folder for a socket: in ``TMPDIR``, unless a path below it is longer than a socket's may be."""
    longest = Path(gettempdir()) / "engine-xxxxxxxx" / "engine.sock"
    fits = len(os.fsencode(longest)) <= MAX_SOCKET_PATH_BYTES
    return TemporaryDirectory(prefix="engine-", dir=None if fits else "/tmp")  # noqa: S108 (mkdtemp makes a folder of its own)


@contextmanager
def embedded_engine(tdp_watts: float | None = None) -> Iterator[Path]:
    """An engine on a private socket, on a thread of its own, until the end of the block. Its only client is the user
    who may write the records' file, and so may prune them.

    Raises:
        InvalidRequest: a variable, or ``tdp_watts``, makes no sense.
        EnergyUnavailable: the energy source that the environment declares does not work here.
        ExceptionGroup: at the end of the block, if the engine failed.
    """
    with _private_folder() as folder, ThreadPoolExecutor(1, "engine") as thread:
        socket = Path(folder) / "engine.sock"
        system = open_system(configured(None, None, tdp_watts, allow_prune=True), socket_path=socket)
        engine = thread.submit(lambda: trio.run(system.run))
        try:
            yield socket
        finally:
            with suppress(EngineUnreachable), BlockingClient.connect(socket) as client:
                client.ask(Shutdown())
            engine.result()


def bench(
    request: RunRequest, *, prompt_tokens: int, gen_tokens: int, sequences: int, repetitions: int
) -> tuple[ExecutionPlan, list[Throughput]]:
    """What the request's model, backend and threads do in a second; its prompt does not run.

    Raises:
        EngineError: the request is refused, as :meth:`BlockingClient.plan` says.
    """
    with embedded_engine() as socket, BlockingClient.connect(socket) as client:
        plan = client.ask(Plan(request=request)).plan
    works = [prefill(prompt_tokens)] if prompt_tokens else []
    if gen_tokens:
        works.append(decode(gen_tokens) if sequences == 1 else decode_side_by_side(sequences, gen_tokens))
    return plan, measure_throughput(plan, works, repetitions)
