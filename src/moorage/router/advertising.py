"""Router advertisements of one access link: what they say, when they leave (RFC 4861 section 6.2).

A solicitation is answered at once and to its sender alone, without the random delay of RFC 4861
section 6.2.6: at a hand-off that delay would be the interruption. The limits on multicast
advertisements hold.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from moorage.router.config import AccessLink, RouterConfig
from moorage.service import ServiceType
from moorage.wire.nd import (
    Mtu,
    NdOption,
    OnDemandLink,
    PrefixInformation,
    RouterAdvertisement,
    SourceLinkLayerAddress,
)

ALL_NODES = IPv6Address("ff02::1")
ALL_ROUTERS = IPv6Address("ff02::2")

MIN_DELAY_BETWEEN_RAS = 3.0
MAX_INITIAL_RTR_ADVERT_INTERVAL = 16.0
MAX_INITIAL_RTR_ADVERTISEMENTS = 3
_HOP_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Send:
    """An advertisement to send."""

    destination: IPv6Address
    message: RouterAdvertisement


def advertisement(config: RouterConfig, link: AccessLink, mac: bytes) -> RouterAdvertisement:
    """Return what is advertised on ``link``, from an interface with this link-layer address."""
    options: list[NdOption] = [SourceLinkLayerAddress(mac)] if mac else []
    options.append(Mtu(config.path_mtu(link)))
    if link.slaac_prefix is not None:
        lifetimes = config.lifetimes.of(ServiceType.NON_PERSISTENT)
        options.append(
            PrefixInformation(
                prefix=link.slaac_prefix,
                on_link=True,
                autonomous=link.autonomous,
                valid=lifetimes.valid,
                preferred=lifetimes.preferred,
                prefers_delegation=link.prefer_delegation,
            )
        )
    options.append(OnDemandLink(config.offered_types, config.domain_id, config.link_id(link)))
    return RouterAdvertisement(
        hop_limit=_HOP_LIMIT,
        managed=link.address_pool is not None,
        # For clients that ask for prefixes but do not know the P flag (RFC 9762 section 5).
        other=link.prefer_delegation,
        router_lifetime=round(3 * config.ra_interval),
        reachable_time=0,
        retrans_timer=0,
        options=tuple(options),
    )


class Advertiser:
    """Decides when an advertisement leaves. The first one leaves as soon as the timer is looked at.

    Args:
        message: what to advertise.
        interval: MaxRtrAdvInterval in seconds.
        source: of the random intervals.
    """

    def __init__(
        self, message: RouterAdvertisement, interval: float, source: random.Random | None = None
    ) -> None:
        self._take(message, interval)
        self._random = source or random.SystemRandom()
        self._sent = 0
        self._last: float | None = None
        self.next_timer = 0.0
        """When `timer` has something to do."""

    def change(self, message: RouterAdvertisement, interval: float, now: float) -> None:
        """Advertise something else from now on, and tell everybody soon."""
        self._take(message, interval)
        self._sent = 0
        self.next_timer = self._earliest(now)

    def _take(self, message: RouterAdvertisement, interval: float) -> None:
        self._message = message
        self._longest = interval
        # RFC 4861 section 6.2.1, MinRtrAdvInterval
        self._shortest = max(MIN_DELAY_BETWEEN_RAS, 0.33 * interval)

    def _earliest(self, now: float) -> float:
        """Return when another multicast advertisement may leave."""
        return now if self._last is None else max(now, self._last + MIN_DELAY_BETWEEN_RAS)

    def timer(self, now: float) -> list[Send]:
        """The time is ``now``."""
        if now < self.next_timer:
            return []
        interval = self._random.uniform(self._shortest, self._longest)
        self._sent += 1
        if self._sent < MAX_INITIAL_RTR_ADVERTISEMENTS:
            interval = min(interval, MAX_INITIAL_RTR_ADVERT_INTERVAL)
        self._last = now
        self.next_timer = now + interval
        return [Send(ALL_NODES, self._message)]

    def solicited(self, source: IPv6Address, now: float) -> list[Send]:
        """A solicitation came from ``source``; one without an address is answered to everybody."""
        if not source.is_unspecified:
            return [Send(source, self._message)]
        self.next_timer = min(self.next_timer, self._earliest(now))
        return self.timer(now)

    def stop(self) -> list[Send]:
        """We cease to be a router on this link (RFC 4861 section 6.2.5)."""
        return [Send(ALL_NODES, replace(self._message, router_lifetime=0))]
