"""What a run has used, and what it may use."""

from __future__ import annotations

from collections.abc import Callable

from auton.errors import BudgetSpentError
from auton.provider import Usage
from auton.settings import BudgetSettings


class Budget:
    """Counts calls, tokens, joules and minutes. Answers from the journal count too, but for their minutes."""

    def __init__(self, settings: BudgetSettings, clock: Callable[[], float]) -> None:
        """``clock``: seconds, from any beginning."""
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self.calls = 0
        self.tokens = 0
        self.joules = 0.0
        self.cost: float | None = 0.0
        """Cost in dollars; ``None``: an answer came without."""

    def add(self, usage: Usage) -> None:
        """Count an answer. Raises BudgetSpentError: joules are limited, and it came without."""
        self.calls += 1
        self.tokens += usage.prompt_tokens + usage.completion_tokens
        self.cost = None if self.cost is None or usage.cost is None else self.cost + usage.cost
        if usage.joules is not None:
            self.joules += usage.joules
        elif self._settings.joules is not None:
            raise BudgetSpentError("budget.joules is set, and the provider says no joules: remove the limit")

    def check(self) -> None:
        """Raises BudgetSpentError: nothing more may be asked."""
        minutes = (self._clock() - self._began) / 60
        limits = self._settings
        used = (
            ("calls", self.calls, limits.calls),
            ("tokens", self.tokens, limits.tokens),
            ("joules", self.joules, limits.joules),
            ("minutes", minutes, limits.minutes),
        )
        for name, amount, limit in used:
            if limit is not None and amount >= limit:
                raise BudgetSpentError(f"budget.{name} of {limit:g} is spent; a higher one lets the run go on")
