"""Wires the actors together and supervises them; the only module that sees them all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.api_server import ApiServer, ApiServerStatistics
from actors.base import Codec, InboxStatistics
from actors.control_plane import ControlPlane
from actors.domain import EngineDomain
from actors.energy_sampler import EnergySampler
from actors.executor import Executor
from actors.faults import ENERGY_SAMPLER, EXECUTOR, HTTP_GATEWAY, Faults
from actors.http.gateway import HttpGateway
from actors.http.options import HttpOptions
from actors.inboxes import make_inboxes
from actors.limits import ServiceLimits
from actors.loopback import loopback_pair
from actors.messages import Drain
from actors.policies.requester import Requester
from actors.ports import Domain, EnergySources, RecordWriter, Services
from actors.recorder import Recorder
from actors.scheduler import Scheduler, SchedulerStatistics
from actors.supervisor import RestartPauses, Supervisor
from actors.unix_socket import PASSED_HTTP_NAME, UnixSocket
from actors.unused_weights import let_unused_weights_go
from engine.backend import Backend
from engine.config import EngineConfig
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import open_ladder
from engine.host.client_socket import ClientSocket
from engine.host.machine import probe_machine
from engine.metrics.metric_totals import MetricTotals
from engine.models.registry import ModelRegistry
from engine.planning.planner import Planner
from engine.records.records import Records
from engine.sandbox.enclosure import Enclosure, open_enclosure
from engine.weights.weights_cache import WeightsCache
from protocol.client import Client, open_client
from protocol.errors import InternalError, InvalidRequest
from protocol.transport import ByteTransport

DEFAULT_LIMITS = ServiceLimits()


def no_other_backend() -> Backend:
    """Stands for a replacement where there is none. Raises InternalError."""
    raise InternalError("this system was given one backend, and it failed")


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """The statistics of all actors and inboxes."""

    api_server: ApiServerStatistics
    scheduler: SchedulerStatistics
    inboxes: tuple[InboxStatistics, ...]


class System:
    """One engine in this process. Without a socket path it serves only the clients made by :meth:`client`.

    The backend is the system's from now on: it is closed when the system ends, or when it fails; then
    ``replace_backend`` opens the next one. The system serves at ``unix_socket``, or at one of its own that is made at
    ``socket_path``: it is there, and may already be connected to, when the constructor returns. So are those of
    ``http``, where it is served.

    ``upkeep`` goes on beside its actors for as long as it runs. With a ``codec`` its actors exchange frames
    (docs/actors.md).

    Raises:
        InvalidRequest: the socket cannot be put at ``socket_path``.
    """

    def __init__(  # noqa: PLR0913  the parts of an engine, each of which a test may replace; long: wires every actor
        self,
        backend: Backend,
        domain: Domain,
        energy: EnergySources,
        records: RecordWriter,
        limits: ServiceLimits = DEFAULT_LIMITS,
        socket_path: Path | None = None,
        *,
        unix_socket: UnixSocket | None = None,
        http: HttpOptions | None = None,
        replace_backend: Callable[[], Backend] = no_other_backend,
        upkeep: Callable[[], Awaitable[None]] | None = None,
        codec: Codec[Any] | None = None,
    ) -> None:
        inboxes = self._inboxes = make_inboxes(limits, codec)
        if unix_socket is None and socket_path is not None:
            unix_socket = UnixSocket.open(socket_path)
        self.socket_path = None if unix_socket is None else unix_socket.path
        self._faults = faults = Faults()
        totals = MetricTotals()
        self._api_server = ApiServer(
            inboxes.api_server_below,
            inboxes.control_plane,
            unix_socket,
            domain.build,
            lambda: domain.capabilities,
            limits,
            totals.add_failure,
            domain.refuse_hopeless,
        )
        self._executor = Executor(
            inboxes.executor,
            inboxes.control_plane_below,
            inboxes.scheduler_below,
            backend,
            replace_backend,
            faults.tell,
            self._api_server.client_socket,
        )
        self._control_plane = ControlPlane(
            inboxes.control_plane,
            inboxes.control_plane_below,
            inboxes.api_server_below,
            inboxes.scheduler,
            inboxes.energy_sampler,
            inboxes.recorder,
            Services(domain, energy, self._executor.statistics, faults, totals),
            limits,
        )
        self._scheduler = Scheduler(
            inboxes.scheduler, inboxes.scheduler_below, inboxes.control_plane_below, inboxes.executor, limits.max_queued
        )
        self._energy_sampler = EnergySampler(
            inboxes.energy_sampler, inboxes.control_plane_below, inboxes.executor, energy, self._executor.times_so_far
        )
        self._recorder = Recorder(inboxes.recorder, inboxes.control_plane_below, records, faults.tell)
        self._supervisors = (
            Supervisor(EXECUTOR, self._executor, faults),
            Supervisor(ENERGY_SAMPLER, self._energy_sampler, faults),
        )
        self._upkeep = upkeep
        self._gateway = None if http is None else self._open_gateway(http, unix_socket)
        self._ended = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until :meth:`stop`, or a client's ``Shutdown``.

        An actor that fails takes the others down and raises; but for those that are supervised, and start again.
        """
        try:
            async with trio.open_nursery() as nursery:
                for actor in (*self._supervisors, self._recorder, self._scheduler, self._control_plane):
                    await nursery.start(actor.run)
                nursery.start_soon(self._run_api_server, nursery.cancel_scope, task_status)
                if self._upkeep is not None:
                    nursery.start_soon(self._upkeep)
                if self._gateway is not None:
                    # It needs its modules first; the api server, whose client it is, runs long before it has them.
                    nursery.start_soon(Supervisor(HTTP_GATEWAY, self._gateway, self._faults, RestartPauses()).run)
        finally:
            if self._gateway is not None:
                self._gateway.release()
            self._ended.set()

    def _open_gateway(self, http: HttpOptions, unix_socket: UnixSocket | None) -> HttpGateway:
        try:
            connect = partial(self.connect, counted=False)
            return HttpGateway(http, connect, self._api_server.entrance, self._faults.tell)
        except InvalidRequest:
            if unix_socket is not None:
                unix_socket.close()
            raise

    @property
    def http_places(self) -> tuple[str, ...]:
        """Where HTTP is served, for people."""
        return () if self._gateway is None else self._gateway.places

    async def stop(self, drain_s: float = 0.0) -> None:
        """Answer what is queued, let what runs finish within ``drain_s``, and return when the system has ended.

        What is still running then ends with ``shutdown``. Called again, the shorter time counts.
        """
        await self._inboxes.control_plane.put(Drain(drain_s=drain_s))
        await self._ended.wait()

    def connect(
        self,
        requester: Requester | None = None,
        client_socket: ClientSocket | None = None,
        *,
        counted: bool = True,
    ) -> ByteTransport:
        """The client's end of a connection in this process: the protocol, and no socket. While the system runs.

        ``requester``: on whose behalf; without one it has a share of its own. ``client_socket``: of whom that client
        passes tokens on to. ``counted``: towards the bound of connections.
        """
        ours, theirs = loopback_pair()
        self._api_server.attach(ours, requester, client_socket, counted=counted)
        return theirs

    def client(self) -> AbstractAsyncContextManager[Client]:
        """A client in this process."""
        return open_client(self.connect())

    def statistics(self) -> SystemStatistics:
        """The state of all actors and inboxes at the moment."""
        return SystemStatistics(
            api_server=self._api_server.statistics(),
            scheduler=self._scheduler.statistics(),
            inboxes=self._inboxes.statistics(),
        )

    async def _run_api_server(self, whole: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
        """The api server ends when all that runs has ended: then nothing is left for the others."""
        await self._api_server.run(task_status=task_status)
        if self._gateway is not None:
            await self._gateway.finish()  # its clients have their last replies, and have yet to pass them on
        whole.cancel()


@asynccontextmanager
async def running(system: System) -> AsyncIterator[System]:
    """Run a system in the background; stop it at the end."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        try:
            yield system
        except Exception as error:
            failure = error
        await system.stop()
    if failure is not None:
        raise failure


def open_system(
    config: EngineConfig,
    limits: ServiceLimits = DEFAULT_LIMITS,
    socket_path: Path | None = None,
    *,
    activated: bool = False,
    http: HttpOptions | None = None,
    enclosure: Enclosure | None = None,
) -> System:
    """The real engine on this machine. Blocking, up to a tenth of a second: probes the machine and its energy source.

    ``activated``: where a service manager passed listening sockets to this process, serve there. ``enclosure``: the
    walls that this process has entered, which close behind it once its sockets listen.

    Raises:
        InvalidRequest: as :class:`System`.
        EnergyUnavailable: the configuration declares an energy source that does not work here.
    """
    machine = probe_machine()
    enclosure = enclosure or open_enclosure("this process serves itself")
    energy = open_ladder(config, run_meter=enclosure.run_meter)
    energy.require_declared()
    registry, cache = ModelRegistry(config, enclosure.fetch), WeightsCache.of(config)
    records = Records(config.data_dir)

    def replace_backend() -> CpuBackend:
        domain.backend = _open_backend(config, registry, cache)
        return domain.backend

    backend = _open_backend(config, registry, cache)
    domain = EngineDomain(Planner(registry, config, machine, energy.availability()), cache, backend, records, energy)
    limits = replace(limits, max_queued=config.max_queued)

    async def let_go() -> None:
        await trio.to_thread.run_sync(domain.backend.let_unused_weights_go)

    async def upkeep() -> None:
        if config.keep_alive_s is not None:
            await let_unused_weights_go(config.keep_alive_s, let_go)

    try:
        passed = UnixSocket.passed(os.environ) if activated else None
        if activated and http is not None:
            http = replace(http, passed=UnixSocket.passed(os.environ, PASSED_HTTP_NAME))
        system = System(
            *(backend, domain, energy, records, limits, socket_path),
            unix_socket=passed,
            http=http,
            replace_backend=replace_backend,
            upkeep=upkeep,
        )
    except InvalidRequest:
        backend.close()
        records.close()
        raise
    domain.sandbox = enclosure.close_behind()
    return system


def _open_backend(config: EngineConfig, registry: ModelRegistry, cache: WeightsCache) -> CpuBackend:
    return CpuBackend(
        registry,
        cache,
        memory_limit_bytes=None if config.memory_mb is None else config.memory_mb * 10**6,
        prefix_cache_bytes=config.prefix_cache_mb * 10**6,
    )
