"""Whether the engine lives, which version it is, and how it does."""

from __future__ import annotations

import time
from collections import Counter

from actors.http.call import Call
from actors.http.routes.route import HttpRoute
from engine.identity.build import current_build
from engine.identity.version import ENGINE_VERSION
from engine.metrics.exposition import exposition
from protocol.answers import StatusReport
from protocol.dialects.llama_server.figures import llama_families
from protocol.requests import Metrics, Status
from protocol.summaries import Fault

_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_LATELY_S = 600.0


async def health(call: Call) -> None:
    """Answer where the engine does; ``degraded``: a part of it is out of order for good."""
    async with call.client() as client:
        status = await client.ask(Status())
    await call.reply(
        {
            "status": "degraded" if status.failed else "ok",
            "engine_version": status.engine_version,
            "failed": status.failed,
            "restarted": Counter(one.where for one in restarts_lately(status)),
        }
    )


def restarts_lately(status: StatusReport) -> tuple[Fault, ...]:
    """Failures of the last ten minutes that a part of the engine was started again after."""
    since_s = status.uptime_s - _LATELY_S
    return tuple(one for one in status.faults if one.consequence == "restarted" and one.uptime_s >= since_s)


async def version(call: Call) -> None:
    """Name the version and the build."""
    build = current_build()
    await call.reply({"engine_version": ENGINE_VERSION, "build": build.model_dump(mode="json")})


async def metrics(call: Call) -> None:
    """Tell the engine's figures in Prometheus' text format, by llama-server's names too."""
    async with call.client() as client:
        report = await client.ask(Metrics())
        status = await client.ask(Status())
    text = report.exposition + exposition(llama_families(report.families))
    started = {"Process-Start-Time-Unix": str(round(time.time() - status.uptime_s))}
    await call.wire.reply(text.encode(), _EXPOSITION, headers=started)


ROUTES = (
    HttpRoute("GET", "/health", health, "whether the engine answers"),
    HttpRoute("GET", "/v1/health", health, "the same"),
    HttpRoute("GET", "/version", version, "version and build"),
    HttpRoute("GET", "/metrics", metrics, "figures in Prometheus' text format"),
)
