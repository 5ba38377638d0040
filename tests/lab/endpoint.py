"""Somebody else's DHCPv6 client, or a relay agent, on a host of a lab: real sockets."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from ipaddress import IPv6Address
from typing import Any

from moorage.lab.lab import Lab
from moorage.wire.dhcp6 import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    CLIENT_PORT,
    SERVER_PORT,
    InterfaceId,
    Message,
    MessageType,
    Relay,
    RelayMessageOption,
    decode_message,
)
from tests.domain import Client
from tests.lab.plain_host import interface

PORT_7 = InterfaceId(b"port 7")


class Endpoint(Client):
    """Sends from a port of the host; signs nothing and knows nothing of us."""

    def __init__(
        self,
        lab: Lab,
        stack: ExitStack,
        port: int = CLIENT_PORT,
        *,
        node: str = "mn",
        link: str = "wl0",
        **changes: Any,
    ) -> None:
        self.node = lab.node(node)
        self.index, source = self.node.call(interface, link)
        clock: Any = time.time
        super().__init__(clock, None, speaks=False, source=source, **changes)
        self.socket = stack.enter_context(self.node.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        self.socket.bind((str(source), port, 0, self.index))
        self.socket.settimeout(0.5)
        self.router = ""

    def send(self, data: bytes, target: IPv6Address = ALL_RELAY_AGENTS_AND_SERVERS) -> None:
        self.socket.sendto(data, (str(target), SERVER_PORT, 0, self.index))

    def receive(self) -> Message | Relay | None:
        """The next message, if one comes soon; `router` is who sent it."""
        try:
            data, sender = self.socket.recvfrom(4096)
        except TimeoutError:
            return None
        self.router = sender[0].partition("%")[0]
        return decode_message(data)

    def exchange(self, message: Message) -> Message:
        """The answer to a message."""
        for _ in range(20):
            self.send(message.encode())
            end = time.monotonic() + 0.5
            while time.monotonic() < end and (reply := self.receive()) is not None:
                if isinstance(reply, Message) and reply.transaction_id == message.transaction_id:
                    return reply
        raise AssertionError("no router answers")

    def relay(self, inside: bytes, link: IPv6Address, target: IPv6Address) -> Relay:
        """The answer to a message that is passed on as a relay agent does."""
        content = (PORT_7, RelayMessageOption(inside))
        forward = Relay(MessageType.RELAY_FORW, 0, link, IPv6Address("fe80::c11e"), content)
        for _ in range(20):
            self.send(forward.encode(), target)
            reply = self.receive()
            if isinstance(reply, Relay):
                return reply
        raise AssertionError("no router answers")
