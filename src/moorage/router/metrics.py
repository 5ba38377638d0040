"""The router daemon's metrics (``docs/reference/management.md``)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from prometheus_client.metrics_core import Metric

from moorage.management.metrics import counter, gauge, histogram
from moorage.management.plain import plain
from moorage.router.account import Account, Place
from moorage.router.announcements import Verb
from moorage.router.announcer import Announcer
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.mirror import Mirror
from moorage.router.pool import shared_out
from moorage.service import ServiceType
from moorage.wire.dhcp6 import RefusalReason


def pool_size(config: RouterConfig) -> int:
    """Return how many prefixes a router can give at once."""
    pools = shared_out(config.pool, config.prefix_lengths).values()
    return min(config.capacity, sum(pool.size for pool in pools))


def look(
    config: RouterConfig,
    mirror: Mirror,
    account: Account,
    forwarding: Forwarding,
    dropped: Mapping[str, int],
    served: Container[str],
    announcer: Announcer | None,
) -> Iterator[Metric]:
    """Yield all metrics as they are now.

    Args:
        config: the router.
        mirror: what is known of the store.
        account: what was done.
        forwarding: the kernel.
        dropped: what came that was of no use, by kind.
        served: the access links that are served.
        announcer: tells the network of our pools, if the operator has said how.
    """
    yield gauge(
        "moorage_router_bindings",
        "Prefixes that this router anchors or serves, by type and place.",
        ["type", "place"],
        {(kind.slug, at): account.bindings[kind, at] for kind in ServiceType for at in Place},
    )
    yield gauge(
        "moorage_router_pool_given",
        "Prefixes and addresses of this router's pool that are taken.",
        [],
        {(): mirror.holdings.given(config.id, None)},
    )
    yield gauge(
        "moorage_router_pool_size",
        "How many this router gives at most.",
        [],
        {(): pool_size(config)},
    )
    yield gauge(
        "moorage_router_pool_taken_ratio",
        "Share of the prefixes of a length that is taken.",
        ["length"],
        {
            (str(length),): mirror.holdings.of_length(config.id, length) / pool.size
            for length, pool in shared_out(config.pool, config.prefix_lengths).items()
        },
    )
    yield gauge(
        "moorage_router_hosts",
        "Hosts on the links of this router that hold a prefix.",
        [],
        {(): len(forwarding.places())},
    )
    yield gauge(
        "moorage_router_link_served",
        "Whether hosts of an access link are served.",
        ["link"],
        {(link.interface,): float(link.interface in served) for link in config.access},
    )
    yield gauge(
        "moorage_router_peer_present",
        "Whether another router of the domain keeps its lease in the store.",
        ["router"],
        {
            (router,): float(router in mirror.present)
            for router in mirror.routers
            if router != config.id
        },
    )
    yield gauge(
        "moorage_router_lease_lasts",
        "Whether this router's own lease lasts, as far as it knows.",
        [],
        {(): float(config.id in mirror.present)},
    )
    yield gauge(
        "moorage_router_anchor_held",
        "Whether this router acts for a pool, by the router that the pool is configured to.",
        ["anchor"],
        {(anchor.id,): float(anchor.holder == config.id) for anchor in mirror.anchors},
    )
    yield gauge(
        "moorage_router_anchor_epoch",
        "How often it was said anew who acts for a pool.",
        ["anchor"],
        {(anchor.id,): anchor.epoch for anchor in mirror.anchors},
    )
    yield counter(
        "moorage_router_announcements",
        "Runs of the command that announces and withdraws pools, by what and how it ended.",
        ["verb", "result"],
        {
            (verb, "done" if well else "failed"): (
                0 if announcer is None else announcer.counts[verb, well]
            )
            for verb in Verb
            for well in (True, False)
        },
    )
    yield counter(
        "moorage_router_handoffs",
        "Prefixes whose hosts came to a link of this router from elsewhere, or came back.",
        [],
        {(): account.handoffs},
    )
    yield counter(
        "moorage_router_messages",
        "Answered DHCPv6 messages by type.",
        ["type"],
        {(plain(kind),): count for kind, count in account.answered.items()},
    )
    yield counter(
        "moorage_router_refusals",
        "Prefixes and addresses that were refused, by reason.",
        ["reason"],
        {(plain(reason),): account.refusals[reason] for reason in RefusalReason},
    )
    yield histogram(
        "moorage_router_phase_seconds",
        "How long the parts of the work for a DHCPv6 message take.",
        ["phase"],
        {(phase,): taken for phase, taken in account.phases.items()},
    )
    yield histogram(
        "moorage_router_reconcile_seconds",
        "How long it takes to make routes, rules and filter as they should be, as a whole.",
        [],
        {(): forwarding.reconciled},
    )
    yield counter(
        "moorage_router_dropped",
        "What came and was of no use, by kind.",
        ["kind"],
        {(kind,): count for kind, count in dropped.items()},
    )
    yield counter(
        "moorage_router_filtered_packets",
        "Packets that the filter dropped, by reason.",
        ["reason"],
        {(reason,): count for reason, count in forwarding.dropped().items()},
    )
