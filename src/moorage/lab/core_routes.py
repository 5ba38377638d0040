"""The core of a lab whose routers stand by for each other: it routes pools as they announce them.

A datagram says ``announce POOL`` or ``withdraw POOL``; its source is the router. It takes the place
of the routing protocol that operators have.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from moorage.kernel.netlink_routes import NetlinkRouteTable
from moorage.kernel.routes import Add, Remove, Route, RouteChange
from moorage.lab.announce import PORT
from moorage.lab.static import MAIN_TABLE, PROTOCOL

_LONGEST: Final = 256
_CHANGES: Final[Mapping[str, Callable[[Route], RouteChange]]] = {
    "announce": Add,
    "withdraw": Remove,
}


def serve() -> None:
    """Change routes as the routers say, for ever."""
    with (
        closing(NetlinkRouteTable(PROTOCOL)) as table,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(("::", PORT))
        while True:
            message, sender = sock.recvfrom(_LONGEST)
            sock.sendto(_obey(table, message, IPv6Address(sender[0])), sender)


def _obey(table: NetlinkRouteTable, message: bytes, router: IPv6Address) -> bytes:
    """Do what a router says, and return the answer."""
    try:
        verb, pool = message.decode().split()
        route = Route(IPv6Network(pool), MAIN_TABLE, gateway=router)
        change = _CHANGES[verb](route)
    except (ValueError, KeyError):
        return b"allowed: announce POOL, withdraw POOL"
    [error] = table.apply([change])
    # What another router has announced meanwhile is not this one's to withdraw.
    if error is None or (isinstance(change, Remove) and error.errno == errno.ESRCH):
        return b"done"
    return str(error).encode()


if __name__ == "__main__":
    serve()
