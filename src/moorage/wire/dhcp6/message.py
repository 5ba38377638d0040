"""DHCPv6 messages (RFC 8415 sections 7 to 9)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final

from moorage.wire.dhcp6.auth import Authentication, ReconfigureAccept, ReconfigureMessage
from moorage.wire.dhcp6.exchange import (
    ElapsedTime,
    InfMaxRt,
    InformationRefreshTime,
    OptionRequest,
    Preference,
    RapidCommit,
    SolMaxRt,
)
from moorage.wire.dhcp6.ia import IaNa, IaPd, IaTa
from moorage.wire.dhcp6.identifiers import ClientId, ServerId
from moorage.wire.dhcp6.option import (
    Option,
    OptionHolder,
    decode_options,
    decoders,
    encode_options,
)
from moorage.wire.dhcp6.relay import InterfaceId, RelayMessageOption
from moorage.wire.dhcp6.status import StatusCode
from moorage.wire.dhcp6.vendor import UserClass, VendorClass, VendorOpts
from moorage.wire.errors import WireError
from moorage.wire.layout import Layout

CLIENT_PORT: Final = 546
SERVER_PORT: Final = 547
ALL_RELAY_AGENTS_AND_SERVERS: Final = IPv6Address("ff02::1:2")
"""The link-local group that clients send to (RFC 8415 section 7.1)."""
ALL_SERVERS: Final = IPv6Address("ff05::1:3")
"""The site-wide group that relay agents send to (RFC 8415 section 7.1)."""
HOP_COUNT_LIMIT: Final = 8
"""A relay agent does not relay again what has been relayed so often (RFC 8415 section 7.6)."""

# type and transaction id in one number
_MESSAGE: Final = Layout("DHCPv6 message", "I")
# type, hop count, link address, peer address
_RELAY: Final = Layout("DHCPv6 relay message", "BB 16s 16s")
_TRANSACTION_ID_BITS: Final = 24
_LARGEST_TRANSACTION_ID: Final = (1 << _TRANSACTION_ID_BITS) - 1
_IN_MESSAGE: Final = decoders(
    ClientId,
    ServerId,
    IaNa,
    IaTa,
    OptionRequest,
    Preference,
    ElapsedTime,
    RelayMessageOption,
    Authentication,
    StatusCode,
    RapidCommit,
    UserClass,
    VendorClass,
    VendorOpts,
    InterfaceId,
    ReconfigureMessage,
    ReconfigureAccept,
    IaPd,
    InformationRefreshTime,
    SolMaxRt,
    InfMaxRt,
)


class MessageType(IntEnum):
    """The message types of RFC 8415 section 7.3."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    RECONFIGURE = 10
    INFORMATION_REQUEST = 11
    RELAY_FORW = 12
    RELAY_REPL = 13


_TYPES: Final = {member.value: member for member in MessageType}
_RELAYED: Final = frozenset({MessageType.RELAY_FORW, MessageType.RELAY_REPL})
_RELAYED_OCTETS: Final = frozenset(bytes([kind]) for kind in _RELAYED)


@dataclass(frozen=True, slots=True)
class Message(OptionHolder):
    """A message between client and server; ``transaction_id`` has 24 bits."""

    type: MessageType
    transaction_id: int
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the datagram.

        Raises:
            ValueError: the type is a relay agent's, or a value does not fit its field.
        """
        if self.type in _RELAYED:
            raise ValueError(f"{self.type.name} is a relay agent's message")
        if not 0 <= self.transaction_id <= _LARGEST_TRANSACTION_ID:
            raise ValueError(f"transaction id {self.transaction_id:#x} has more than 24 bits")
        header = _MESSAGE.pack(self.type << _TRANSACTION_ID_BITS | self.transaction_id)
        return header + encode_options(self.options)


@dataclass(frozen=True, slots=True)
class Relay(OptionHolder):
    """A message between relay agent and server; it carries another one in an option."""

    type: MessageType
    hop_count: int
    link_address: IPv6Address
    peer_address: IPv6Address
    options: tuple[Option, ...] = ()

    def encode(self) -> bytes:
        """Return the datagram.

        Raises:
            ValueError: the type is not a relay agent's, or a value does not fit its field.
        """
        if self.type not in _RELAYED:
            raise ValueError(f"{self.type.name} is not a relay agent's message")
        header = _RELAY.pack(
            self.type, self.hop_count, self.link_address.packed, self.peer_address.packed
        )
        return header + encode_options(self.options)


def decode_message(data: bytes) -> Message | Relay:
    """Decode one datagram.

    Raises:
        WireError: it is no DHCPv6 message of a type that we know.
    """
    (head,), rest = _MESSAGE.split(data)
    number = head >> _TRANSACTION_ID_BITS
    message_type = _TYPES.get(number)
    if message_type is None:
        raise WireError(_MESSAGE.where, f"unknown type {number}")
    if message_type in _RELAYED:
        (_, hop_count, link, peer), rest = _RELAY.split(data)
        options = decode_options(rest, _IN_MESSAGE)
        return Relay(message_type, hop_count, IPv6Address(link), IPv6Address(peer), options)
    options = decode_options(rest, _IN_MESSAGE)
    return Message(message_type, head & _LARGEST_TRANSACTION_ID, options)


def client_of(datagram: bytes) -> bytes | None:
    """Return the DUID in the first Client Identifier of a message, relayed or not, if there is one.

    It is found without decoding anything else, and without a judgement on the rest: for deciding
    which of many messages to look at first.
    """
    for _ in range(HOP_COUNT_LIMIT + 2):
        relayed = datagram[:1] in _RELAYED_OCTETS
        start, wanted = (_RELAY.size, RelayMessageOption) if relayed else (_MESSAGE.size, ClientId)
        found = _body(datagram, start, wanted.option_code)
        if found is None or not relayed:
            return found
        datagram = found
    return None


def _body(datagram: bytes, start: int, code: int) -> bytes | None:
    """Return the body of the first option ``code`` from ``start`` on, if it is all there."""
    while start + 4 <= len(datagram):
        end = start + 4 + (datagram[start + 2] << 8 | datagram[start + 3])
        if datagram[start] << 8 | datagram[start + 1] == code:
            return datagram[start + 4 : end] if end <= len(datagram) else None
        start = end
    return None
