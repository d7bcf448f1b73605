"""What commands that experiment begin with: a workload, a laboratory, and what can be varied in it."""

from __future__ import annotations

from pathlib import Path

from protocol.blocking import BlockingClient
from protocol.errors import InvalidRequest
from protocol.schema import published_schema
from weos_agents.fleet.fleet_member import FleetJob
from weos_agents.gate import GateRules
from weos_agents.guardrail import DEFAULT_GUARDRAILS, Guardrail
from weos_agents.search_fields import SearchField, search_fields
from weos_agents.workload import Workload, read_text


class Session:
    """One engine, one model, one workload."""

    def __init__(
        self,
        client: BlockingClient,
        model: str,
        workload_file: Path,
        max_tokens: int,
        quality_text: Path | None,
        quality_windows: int | None = None,
    ) -> None:
        """Raises EngineError: the workload, the text or the model is refused."""
        schema = published_schema("plan")
        self.client = client
        self.workload = Workload.read(workload_file)
        text = None if quality_text is None else _quality_text(quality_text)
        self.job = FleetJob(
            model=model,
            workload=self.workload,
            max_tokens=max_tokens,
            quality_text=text,
            quality_windows=quality_windows,
        )
        self.laboratory = self.job.laboratory(client)
        self.fields: tuple[SearchField, ...] = search_fields(
            schema,
            self.laboratory.resolve({}).content,
            client.welcome.capabilities,
            with_bits=quality_text is not None,
        )

    def rules(
        self,
        kpi: str,
        gain: float,
        guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS,
        *,
        unknown_load_counts: bool,
    ) -> GateRules:
        """The gate's rules of the options."""
        metric = "tokens_per_watt" if kpi == "tokens_per_joule" else kpi
        given = {"kpi": metric, "gain": gain, "guardrails": guardrails, "unknown_load_counts": unknown_load_counts}
        return GateRules.model_validate(given)


def _quality_text(path: Path) -> str:
    text = read_text(path, "quality-text")
    if not text.strip():
        raise InvalidRequest(f"{path} holds no text to evaluate by", field="quality-text")
    return text
