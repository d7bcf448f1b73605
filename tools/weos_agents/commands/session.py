"""What commands that experiment begin with: a workload, a laboratory, and what can be varied in it."""

from __future__ import annotations

from pathlib import Path

from protocol.blocking import BlockingClient
from protocol.schema import published_schema
from weos_agents.engine_laboratory import EngineLaboratory
from weos_agents.fleet.fleet_member import FleetJob
from weos_agents.gate import GateRules
from weos_agents.search_fields import SearchField, bit_fields, search_fields
from weos_agents.workload import Workload


class Session:
    """One engine, one model, one workload."""

    def __init__(
        self, client: BlockingClient, model: str, workload_file: Path, max_tokens: int, quality_text: Path | None
    ) -> None:
        """Raises EngineError: the workload, or the model, is refused."""
        schema = published_schema("plan")
        self.client = client
        self.workload = Workload.read(workload_file)
        text = None if quality_text is None else quality_text.read_text(encoding="utf-8")
        self.job = FleetJob(model=model, workload=self.workload, max_tokens=max_tokens, quality_text=text)
        self.laboratory = EngineLaboratory(
            client, model, self.workload, max_tokens=max_tokens, bits=bit_fields(schema), quality_text=text
        )
        self.fields: tuple[SearchField, ...] = search_fields(
            schema,
            self.laboratory.resolve({}).content,
            client.welcome.capabilities,
            with_bits=quality_text is not None,
        )

    def rules(self, kpi: str, gain: float, *, unknown_load_counts: bool) -> GateRules:
        """The gate's rules of the options."""
        metric = "tokens_per_watt" if kpi == "tokens_per_joule" else kpi
        return GateRules.model_validate({"kpi": metric, "gain": gain, "unknown_load_counts": unknown_load_counts})
