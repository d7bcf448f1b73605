"""What an observer has to tell, in rows; a page and the terminal show the same. Pure."""

from __future__ import annotations

from weos_agents.observer import PlanFigures

COLUMNS = (
    "model",
    "plan",
    "runs",
    "failed",
    "tokens/s",
    "tokens/J",
    "TTFT p50 ms",
    "TTFT p95 ms",
    "gap p95 ms",
    "disturbed",
)


def figure_row(plan: PlanFigures) -> tuple[str, ...]:
    """A plan's figures, as texts."""
    figures = (plan.tokens_per_sec, plan.tokens_per_joule, plan.ttft_p50_ms, plan.ttft_p95_ms, plan.latency_p95_ms)
    told = tuple("-" if figure is None else f"{figure:,.1f}" for figure in figures)
    name = f"{plan.plan.removeprefix('sha256:')[:8]} {plan.quantization} {plan.backend}"
    return (plan.model, name, str(plan.executions), str(plan.failed), *told, f"{plan.disturbed} of {plan.window}")
