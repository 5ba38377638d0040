"""Quotas in memory, for tests: the test sends in the place of applications."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address

from moorage.kernel.fake_queue import FakeQueue
from moorage.kernel.send_quotas import Event, Quota, Removed, Spent


class FakeSendQuotas:
    """A `SendQuotas`, and what the test needs to use them up."""

    def __init__(self) -> None:
        self._quotas: dict[IPv6Address, Quota] = {}
        self._wanted: dict[IPv6Address, Quota] = {}
        self._events: FakeQueue[Event] = FakeQueue()

    def close(self) -> None:
        """See `SendQuotas.close`."""
        self._events.close()

    def fileno(self) -> int:
        """See `SendQuotas.fileno`."""
        return self._events.fileno()

    def read(self) -> list[Event]:
        """See `SendQuotas.read`."""
        return self._events.read()

    def apply(self, wanted: Mapping[IPv6Address, Quota]) -> None:
        """See `SendQuotas.apply`."""
        self._wanted = dict(wanted)
        self._quotas = {
            address: Quota(quota.limit, self._quotas.get(address, quota).used)
            for address, quota in wanted.items()
        }

    def resync(self) -> None:
        """See `SendQuotas.resync`."""
        self._quotas = dict(self._wanted)

    def used(self) -> dict[IPv6Address, int]:
        """See `SendQuotas.used`."""
        return {address: quota.used for address, quota in self._quotas.items()}

    def remove(self) -> None:
        """See `SendQuotas.remove`."""
        self._quotas.clear()
        self._wanted.clear()

    def send(self, address: IPv6Address, size: int) -> None:
        """An application sends so many bytes."""
        quota = self._quotas.get(address)
        if quota is None:
            return
        used = min(quota.used + size, quota.limit)
        self._quotas[address] = Quota(quota.limit, used)
        if quota.used < quota.limit <= used:
            self._events.put(Spent(address))

    def overrun(self) -> None:
        """Lose the events that have not been read yet."""
        self._events.lose()

    def flush(self) -> None:
        """Somebody takes the quotas away."""
        self._quotas.clear()
        self._events.put(Removed())
