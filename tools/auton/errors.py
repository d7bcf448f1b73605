"""What ends a run, in a user's words."""

from __future__ import annotations


class AutonError(Exception):
    """A run that cannot begin or go on; the message says what to do."""


class BudgetSpentError(AutonError):
    """A limit of the budget is reached."""


class ProviderError(AutonError):
    """A model could not be asked, or its answer could not be read."""
