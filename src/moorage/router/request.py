"""A client's message as the DHCPv6 server judges it, after the checks of RFC 8415 section 16."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from moorage.router.authority import Proof, Rejected, Standing
from moorage.service import ServiceType
from moorage.wire.dhcp6 import (
    ClientId,
    IaNa,
    IaPd,
    Message,
    MessageType,
    OnDemand,
    Relay,
    ServerId,
)


class Discarded(Exception):
    """A message that gets no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A message that may be answered.

    Attributes:
        message: what was received.
        client: the client's DUID; empty in an Information-request that does not say it.
        on_demand: our option, None: the client does not know it and is not sent it.
        source: the link-local address that it came from.
        standing: what it proves about its sender.
    """

    message: Message
    client: bytes
    on_demand: OnDemand | None
    source: IPv6Address
    standing: Standing

    @property
    def proof(self) -> Proof | None:
        """The accepted signature."""
        return self.standing if isinstance(self.standing, Proof) else None

    @property
    def rejected(self) -> bool:
        """Whether there is a signature that was not accepted."""
        return isinstance(self.standing, Rejected)

    def type_of(self, iaid: int) -> ServiceType | None:
        """Return the type that the client names for an IA_PD."""
        return None if self.on_demand is None else self.on_demand.service_type(iaid)


_FOR_ONE_SERVER = frozenset(
    {MessageType.REQUEST, MessageType.RENEW, MessageType.RELEASE, MessageType.DECLINE}
)
_FOR_ANY_SERVER = frozenset({MessageType.SOLICIT, MessageType.CONFIRM, MessageType.REBIND})


def admit(message: Message | Relay, source: IPv6Address, server_duid: bytes) -> Message:
    """Return ``message`` if a server may answer it.

    Raises:
        Discarded: it is not for us (RFC 8415 section 16), or says something twice.
    """
    if isinstance(message, Relay):
        raise Discarded("sent by a relay agent")
    if not source.is_link_local:
        raise Discarded("sent from an address that is not link-local")
    servers = message.every(ServerId)
    clients = message.every(ClientId)
    if len(servers) > 1 or len(clients) > 1:
        raise Discarded("more than one client or server")
    if message.type in _FOR_ANY_SERVER:
        if servers:
            raise Discarded(f"{message.type.name} with a server identifier")
    elif message.type in _FOR_ONE_SERVER:
        if not servers or servers[0].duid != server_duid:
            raise Discarded(f"{message.type.name} for another server")
    elif message.type is MessageType.INFORMATION_REQUEST:
        if servers and servers[0].duid != server_duid:
            raise Discarded(f"{message.type.name} for another server")
        if message.first(IaPd) or message.first(IaNa):
            raise Discarded(f"{message.type.name} with an identity association")
        return message
    else:
        raise Discarded(f"{message.type.name} is not sent by clients")
    if not clients:
        raise Discarded(f"{message.type.name} without a client identifier")
    iaids = [ia.iaid for ia in message.every(IaPd)]
    if len(set(iaids)) != len(iaids):
        raise Discarded("two IA_PDs of one IAID")
    return message


def hint(ia: IaPd) -> IPv6Network | None:
    """Return the prefix that a client would like to have, None: any (RFC 8168 section 3)."""
    for wish in ia.prefixes:
        if not wish.prefix.network_address.is_unspecified:
            return wish.prefix
    return None
