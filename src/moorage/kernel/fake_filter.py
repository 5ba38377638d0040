"""A packet filter in memory, for tests: it remembers the state that it was given."""

from __future__ import annotations

from moorage.kernel.nftables import DropReason, FilterState


class FakeSidFilter:
    """A `PacketFilter` that filters nothing; ``state`` is None while there is no filter."""

    def __init__(self) -> None:
        self.state: FilterState | None = None

    def close(self) -> None:
        """Nothing to give back; the filter stays."""

    def apply(self, state: FilterState) -> None:
        """See `PacketFilter.apply`."""
        self.state = state

    def resync(self, state: FilterState) -> None:
        """See `PacketFilter.resync`."""
        self.state = state

    def remove(self) -> None:
        """See `PacketFilter.remove`."""
        self.state = None

    def dropped(self) -> dict[str, int]:
        """See `PacketFilter.dropped`: nothing."""
        return {} if self.state is None else dict.fromkeys(DropReason, 0)
