"""Reconfigure messages: how a server asks its clients to come back (RFC 8415 section 18.3.11).

They are authenticated by a key that the client was given in an earlier Reply (the Reconfiguration
Key Authentication Protocol, section 20.4). Ours are not stored but made of a secret of the domain:
any router of it can reconfigure a client that another one gave the key, and a client that moves
needs no new one. The client's public key goes into it, so that a keyed client's key is not to be
had by its DUID alone.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from moorage.wire.dhcp6 import (
    Authentication,
    ClientId,
    Message,
    MessageType,
    ReconfigureMessage,
    ServerId,
)

SHORTEST_SECRET: Final = 16
"""Bytes that a domain's secret has at least."""

_CONTEXT: Final = b"moorage reconfigure key v1"
_RKAP: Final = 3
_HMAC_MD5: Final = 1
_MONOTONIC: Final = 0
_IS_KEY: Final = b"\x01"
_IS_DIGEST: Final = b"\x02"
_SIZE: Final = 16

REC_TIMEOUT: Final = 2.0
REC_MAX_RC: Final = 8
_AT_ONCE: Final = 64
"""Clients that are asked and have not answered; the others wait for their turn."""


class ReconfigureKeys:
    """The reconfigure keys of a domain's clients.

    Args:
        secret: the same at all routers of the domain, and known to nobody else.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, client: bytes, public_key: bytes | None) -> bytes:
        """Return the key of a client, 16 bytes; without a public key it is that of a plain DUID."""
        text = _CONTEXT + len(client).to_bytes(2, "big") + client + (public_key or b"")
        return hmac.digest(self._secret, text, "sha256")[:_SIZE]


def key_option(key: bytes, now: float) -> Authentication:
    """Return the option that gives a client its key, in a Reply."""
    return _authentication(_IS_KEY + key, now)


def reconfigure_message(
    server: bytes, client: bytes, kind: MessageType, key: bytes, now: float
) -> bytes:
    """Return the datagram that asks a client for a message of type ``kind``.

    Args:
        server: our DUID.
        client: the client's DUID.
        kind: Renew, Rebind or Information-request.
        key: the client's reconfigure key.
        now: seconds since 1970; a client takes only what is later than all before.
    """
    message = Message(
        MessageType.RECONFIGURE,
        0,
        (
            ServerId(server),
            ClientId(client),
            ReconfigureMessage(kind),
            # The last option, so that the digest is the end of the message.
            _authentication(_IS_DIGEST + bytes(_SIZE), now),
        ),
    ).encode()
    return message[:-_SIZE] + hmac.digest(key, message, "md5")


def _authentication(information: bytes, now: float) -> Authentication:
    return Authentication(_RKAP, _HMAC_MD5, _MONOTONIC, round(now * 1_000_000), information)


@dataclass(frozen=True, slots=True)
class Target:
    """A client to reconfigure, and where it is."""

    client: bytes
    public_key: bytes | None
    link: str
    address: IPv6Address


@dataclass(slots=True)
class _Asked:
    target: Target
    next_at: float
    timeout: float = REC_TIMEOUT
    sent: int = 0


class Reconfiguration:
    """One message to each of many clients, repeated until it answers; a core without I/O.

    Attributes:
        kind: what the clients are to answer with.
        silent: the clients that did not answer REC_MAX_RC messages.
    """

    def __init__(self, targets: Iterable[Target], kind: MessageType) -> None:
        self.kind = kind
        self.silent: list[bytes] = []
        self._waiting = deque(targets)
        self._asked: dict[bytes, _Asked] = {}

    @property
    def next_timer(self) -> float | None:
        """When `due` has something to do, seconds since 1970; None: never again."""
        if self._waiting and len(self._asked) < _AT_ONCE:
            return 0.0
        return min((asked.next_at for asked in self._asked.values()), default=None)

    def due(self, now: float) -> list[Target]:
        """Return the clients to send to now."""
        while self._waiting and len(self._asked) < _AT_ONCE:
            target = self._waiting.popleft()
            self._asked[target.client] = _Asked(target, now)
        found = [asked for asked in self._asked.values() if asked.next_at <= now]
        for asked in found:
            if asked.sent == REC_MAX_RC:
                self.silent.append(asked.target.client)
                del self._asked[asked.target.client]
            else:
                asked.sent += 1
                asked.next_at = now + asked.timeout
                asked.timeout *= 2
        return [asked.target for asked in found if asked.target.client in self._asked]

    def heard(self, client: bytes, kind: MessageType) -> bool:
        """Take note of a client's message; whether it is what the client was asked for."""
        return kind is self.kind and self._asked.pop(client, None) is not None
