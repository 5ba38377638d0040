"""What relay agents put around a client's message, and around the answer (RFC 8415 section 19)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from moorage.router.validation import Discarded
from moorage.wire.dhcp6 import (
    HOP_COUNT_LIMIT,
    InterfaceId,
    Message,
    MessageType,
    Relay,
    RelayMessageOption,
    decode_message,
)

_MOST_HOPS: Final = HOP_COUNT_LIMIT + 1
"""A relay agent passes on what has a hop count below the limit, and adds one to it."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """A client's message that came through relay agents.

    Attributes:
        hops: their headers, that of the agent next to us first.
        datagram: the message as the client sent it.
        message: the same, decoded.
    """

    hops: tuple[Relay, ...]
    datagram: bytes
    message: Message

    @property
    def client(self) -> IPv6Address:
        """The address that the client sent from, as the agent next to it says."""
        return self.hops[-1].peer_address

    @property
    def link_address(self) -> IPv6Address | None:
        """An address on the client's link, from the agent that is nearest to it and knows one.

        None: the agents are on the client's link themselves (RFC 6221).
        """
        for hop in reversed(self.hops):
            if not (hop.link_address.is_unspecified or hop.link_address.is_link_local):
                return hop.link_address
        return None

    def reply(self, answer: bytes) -> bytes:
        """Return the datagram that takes ``answer`` back the way the message came.

        Each agent gets back its own header and its name for the interface (RFC 8415 section 19.3).
        """
        for hop in reversed(self.hops):
            back = Relay(
                MessageType.RELAY_REPL,
                hop.hop_count,
                hop.link_address,
                hop.peer_address,
                (*hop.every(InterfaceId), RelayMessageOption(answer)),
            )
            answer = back.encode()
        return answer


def unwrap(relay: Relay) -> Relayed:
    """Return what relay agents passed on.

    Raises:
        Discarded: it is not a server's business, or has come too far.
        WireError: a message in it breaks the format.
    """
    hops: list[Relay] = []
    found: Relay | Message = relay
    datagram = b""
    while isinstance(found, Relay):
        if found.type is not MessageType.RELAY_FORW:
            raise Discarded(f"{found.type.name} is not sent to servers")
        if found.hop_count > HOP_COUNT_LIMIT or len(hops) == _MOST_HOPS:
            raise Discarded(f"relayed more than {_MOST_HOPS} times")
        inside = found.every(RelayMessageOption)
        if len(inside) != 1 or len(found.every(InterfaceId)) > 1:
            raise Discarded("a relay agent's message with too little or too much in it")
        hops.append(found)
        datagram = inside[0].message
        found = decode_message(datagram)
    return Relayed(tuple(hops), datagram, found)
