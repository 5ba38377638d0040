"""What the draft calls the addresses of its example."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

from moorage.service import ServiceType


class Names:
    """The draft's names of addresses: IPsl1, IPnp1, IPnp2, in the order of appearance."""

    _PREFIXES: Final = {
        ServiceType.SESSION_LASTING: "IPsl",
        ServiceType.NON_PERSISTENT: "IPnp",
        ServiceType.FIXED: "IPf",
        ServiceType.GRACEFUL_REPLACEMENT: "IPgr",
    }

    def __init__(self) -> None:
        self._known: dict[IPv6Address, str] = {}
        self._counts: dict[ServiceType, int] = {}

    def name(self, service: ServiceType, address: IPv6Address) -> str:
        """Return the name of an address; one that is new gets the next number."""
        if address not in self._known:
            self._counts[service] = self._counts.get(service, 0) + 1
            self._known[address] = f"{self._PREFIXES[service]}{self._counts[service]}"
        return self._known[address]
