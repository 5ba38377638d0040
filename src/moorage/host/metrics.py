"""The host daemon's metrics (``docs/reference/management.md``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv6Address

from prometheus_client.metrics_core import Metric

from moorage.host.events import AddressServed, LinkAttached
from moorage.host.known import Known
from moorage.management.event import Event
from moorage.management.metrics import Distribution, counter, gauge, histogram
from moorage.management.plain import plain
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType


class HostMetrics:
    """Counts what happens, and shows it beside what is.

    Args:
        known: what the host knows.
        sent: asks the kernel how many bytes were sent from the addresses that it counts for.
        dropped: what came that was of no use, by kind.
    """

    def __init__(
        self,
        known: Known,
        sent: Callable[[], Mapping[IPv6Address, int]],
        dropped: Mapping[str, int],
    ) -> None:
        self._known = known
        self._counted = sent
        self._dropped = dropped
        self._attached_at: dict[str, float] = {}
        self._handoffs = Distribution()
        self._answers: Counter[Reason] = Counter()
        self._sent: Counter[MessageType] = Counter()
        self._received: Counter[MessageType] = Counter()

    def told(self, event: Event, now: float) -> None:
        """Take in what happened; ``now`` is on the core's clock."""
        match event:
            case LinkAttached(interface=interface):
                self._attached_at[interface] = now
            case AddressServed(moved=True, interface=interface):
                attached_at = self._attached_at.pop(interface, None)
                if attached_at is not None:  # the first of the addresses that moved together
                    self._handoffs.observe(now - attached_at)

    def answered(self, reason: Reason) -> None:
        """Count an answer to an application."""
        self._answers[reason] += 1

    def sent(self, kind: MessageType) -> None:
        """Count a DHCPv6 message of ours."""
        self._sent[kind] += 1

    def received(self, kind: MessageType) -> None:
        """Count a DHCPv6 message to us."""
        self._received[kind] += 1

    def look(self) -> Iterator[Metric]:
        """Yield all metrics as they are now."""
        addresses: Counter[tuple[str, ...]] = Counter()
        sockets: Counter[tuple[str, ...]] = Counter({(kind.slug,): 0 for kind in ServiceType})
        counted: Counter[tuple[str, ...]] = Counter()
        sent = self._counted()
        for lease in self._known.leases.all():
            if lease.address is not None and lease.address in sent:
                counted[lease.type.slug,] += sent[lease.address]
            addresses[lease.type.slug, lease.state] += 1
            sockets[lease.type.slug,] += len(lease.sockets)
        ordinary = ServiceType.NON_PERSISTENT.slug
        for address in self._known.ordinary.addresses:
            addresses[ordinary, "ordinary"] += 1
            sockets[ordinary,] += self._known.ordinary.users(address)
        yield gauge(
            "moorage_host_addresses",
            "Addresses that applications may use, and those asked for, by state.",
            ["type", "state"],
            addresses,
        )
        yield gauge(
            "moorage_host_sockets", "Sockets that use an address of the type.", ["type"], sockets
        )
        yield gauge(
            "moorage_host_sent_bytes",
            "Bytes sent from the present delegated addresses.",
            ["type"],
            counted,
        )
        yield gauge(
            "moorage_host_waiting_requests",
            "Requests of applications that wait for the network.",
            [],
            {(): len(self._known.waiting)},
        )
        yield histogram(
            "moorage_host_handoff_seconds",
            "From the moment that an interface is on a link to the Reply that serves typed"
            " addresses there which were served elsewhere.",
            [],
            {(): self._handoffs},
        )
        yield counter(
            "moorage_host_requests",
            "Answered requests of applications for an address, by result.",
            ["result"],
            {(_result(reason),): count for reason, count in self._answers.items()},
        )
        directions = (("sent", self._sent), ("received", self._received))
        yield counter(
            "moorage_host_dhcp_messages",
            "DHCPv6 messages by direction and type.",
            ["direction", "type"],
            {
                (direction, plain(kind)): count
                for direction, counts in directions
                for kind, count in counts.items()
            },
        )
        yield counter(
            "moorage_host_dropped",
            "What came and was of no use, by kind.",
            ["kind"],
            {(kind,): count for kind, count in self._dropped.items()},
        )


def _result(reason: Reason) -> str:
    return "granted" if reason is Reason.NONE else str(plain(reason))
