"""The links that clients are on: access links, and links behind relay agents on them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from moorage.router.config import AccessLink, RouterConfig
from moorage.router.next_hop import LINK_LOCAL
from moorage.router.pool import Pool
from moorage.router.relaying import Relayed
from moorage.router.settings import RelayAgent
from moorage.router.supply import Addresses
from moorage.router.validation import Discarded

_ADDRESS_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Segment:
    """A link that clients are on.

    Attributes:
        link: the access link that leads to it.
        id: 8 bytes that tell it from every other.
        networks: the prefixes of addresses that are used on it, as far as we know.
        addresses: what single addresses are taken from; None: none are assigned.
        relayed: it is not the access link itself, but lies behind a relay agent.
    """

    link: AccessLink
    id: bytes
    networks: tuple[IPv6Network, ...]
    addresses: Addresses | None
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client is: its link, and whom packets to it are handed to there."""

    segment: Segment
    next_hop: IPv6Address


class Segments:
    """All links that a router serves clients on.

    Args:
        config: the router.
        secret: what makes the addresses of its clients unforeseeable.
    """

    def __init__(self, config: RouterConfig, secret: bytes) -> None:
        self._direct: dict[str, Segment] = {}
        self._agents: dict[str, dict[IPv6Address, RelayAgent]] = {}
        self._behind: dict[tuple[str, IPv6Network], Segment] = {}
        for link in config.access:
            name, link_id = link.interface, config.link_id(link)
            self._direct[name] = _segment(link, link_id, link.networks, secret)
            self._agents[name] = {}
            for agent in link.relays:
                self._agents[name] |= dict.fromkeys((agent.address, *agent.sources), agent)
                for network in agent.links:
                    named = hashlib.sha256(link_id + network.network_address.packed).digest()[:8]
                    behind = _segment(link, named, (network,), secret)
                    self._behind[name, network] = replace(behind, relayed=True)

    def on(self, link: AccessLink, client: IPv6Address) -> Place:
        """Return the place of a client whose own message came by an access link.

        Raises:
            Discarded: it did not come from the link itself.
        """
        if client not in LINK_LOCAL:
            raise Discarded("sent from an address that is not link-local")
        return Place(self._direct[link.interface], client)

    def behind(self, link: AccessLink, source: IPv6Address, relayed: Relayed) -> Place:
        """Return the place of a client whose message a relay agent on an access link passed on.

        Raises:
            Discarded: the agent is none of ours, or does not serve that link.
        """
        agent = self._agents[link.interface].get(source)
        if agent is None:
            raise Discarded("sent by a relay agent that is not configured")
        address = relayed.link_address
        if address is None or (link.slaac_prefix is not None and address in link.slaac_prefix):
            return self.on(link, relayed.client)
        for network in agent.links:
            if address in network:
                return Place(self._behind[link.interface, network], agent.address)
        raise Discarded(f"relayed from a link that is not configured: {address}")


def _segment(
    link: AccessLink,
    identity: bytes,
    networks: tuple[IPv6Network, ...],
    secret: bytes,
) -> Segment:
    if not networks:
        return Segment(link, identity, networks, None)
    pool = Pool(networks[-1], _ADDRESS_LENGTH)
    return Segment(link, identity, networks, Addresses(pool, networks, secret + identity))
