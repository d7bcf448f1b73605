"""Fair shares of a capacity: nobody takes what would leave less for a newcomer than for oneself. Pure.

A user's clients together may hold seven times what is free: seven eighths, which leaves an eighth to other users. Of
what its user may still take a client may take some while it holds no more than that: one alone comes to half, two to a
third each, and some is left for whoever comes next.
"""

from __future__ import annotations

from collections import Counter

from actors.policies.requester import Requester

USER_SHARE = 7
"""How many times what is free the clients of one user may hold together."""


class Shares:
    """How much of a capacity each requester holds."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken = 0
        self._clients: Counter[Requester] = Counter()
        self._users: Counter[str] = Counter()

    def has_room(self, asker: Requester, amount: int = 1) -> bool:
        """Whether so much more is within the asker's share."""
        free = self.capacity - self.taken
        # The most that leaves the user with no more than its multiple of what is then free; rounded up.
        left = min(free, -((self._users[asker.user] - USER_SHARE * free) // (USER_SHARE + 1)))
        return not amount or (amount <= left and self._clients[asker] <= left)

    def take(self, asker: Requester, amount: int = 1) -> bool:
        """Whether it was; then it is held until :meth:`give_back`."""
        has_room = self.has_room(asker, amount)
        if has_room:
            self._add(asker, amount)
        return has_room

    def give_back(self, asker: Requester, amount: int = 1) -> None:
        """What was taken is free again."""
        self._add(asker, -amount)

    def _add(self, asker: Requester, amount: int) -> None:
        self.taken += amount
        self._clients[asker] += amount
        self._users[asker.user] += amount
        if not self._clients[asker]:
            del self._clients[asker]
        if not self._users[asker.user]:
            del self._users[asker.user]
