"""The host daemon's Prometheus metrics (``docs/reference/management.md``)."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from moorage.host.events import AddressServed, HostEvent, LinkAttached
from moorage.host.known import Known
from moorage.management.metrics import LATENCY_BUCKETS, OnRequest
from moorage.management.plain import plain
from moorage.service import ServiceType
from moorage.wire.app import Reason
from moorage.wire.dhcp6 import MessageType


class HostMetrics:
    """Counts what happens; what merely is, it looks up when somebody asks.

    Args:
        registry: where the metrics are found.
        known: what the host knows.
        dropped: what came that was of no use, by kind.
    """

    def __init__(
        self, registry: CollectorRegistry, known: Known, dropped: Mapping[str, int]
    ) -> None:
        self._known = known
        self._dropped = dropped
        self._attached_at: dict[str, float] = {}
        self._handoffs = Histogram(
            "moorage_host_handoff_seconds",
            "From the moment that an interface is on a link to the Reply that serves typed"
            " addresses there which were served elsewhere.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "moorage_host_requests",
            "Answered requests of applications for an address, by result.",
            ["result"],
            registry=registry,
        )
        self._messages = Counter(
            "moorage_host_dhcp_messages",
            "DHCPv6 messages by direction and type.",
            ["direction", "type"],
            registry=registry,
        )
        registry.register(OnRequest(self._look))

    def told(self, event: HostEvent, now: float) -> None:
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
        self._requests.labels("granted" if reason is Reason.NONE else plain(reason)).inc()

    def sent(self, type_: MessageType) -> None:
        """Count a DHCPv6 message of ours."""
        self._messages.labels("sent", plain(type_)).inc()

    def received(self, type_: MessageType) -> None:
        """Count a DHCPv6 message to us."""
        self._messages.labels("received", plain(type_)).inc()

    def _look(self) -> Iterator[Metric]:
        addresses: Tally[tuple[ServiceType, str]] = Tally()
        sockets: Tally[ServiceType] = Tally()
        for lease in self._known.leases.all():
            addresses[lease.type, lease.state] += 1
            sockets[lease.type] += len(lease.sockets)
        for address in self._known.ordinary.addresses:
            addresses[ServiceType.NON_PERSISTENT, "ordinary"] += 1
            sockets[ServiceType.NON_PERSISTENT] += self._known.ordinary.users(address)
        family = GaugeMetricFamily(
            "moorage_host_addresses",
            "Addresses that applications may use, and those asked for, by state.",
            labels=["type", "state"],
        )
        for (kind, state), count in addresses.items():
            family.add_metric([kind.slug, plain(state)], count)
        yield family
        family = GaugeMetricFamily(
            "moorage_host_sockets", "Sockets that use an address of the type.", labels=["type"]
        )
        for kind in ServiceType:
            family.add_metric([kind.slug], sockets[kind])
        yield family
        yield GaugeMetricFamily(
            "moorage_host_waiting_requests",
            "Requests of applications that wait for the network.",
            value=len(self._known.waiting),
        )
        dropped = CounterMetricFamily(
            "moorage_host_dropped", "What came and was of no use, by kind.", labels=["kind"]
        )
        for what, count in self._dropped.items():
            dropped.add_metric([what], count)
        yield dropped
