"""On-Demand Mobility for applications: choose a source address by what a socket needs.

    sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    address = moorage.setsc(sock, moorage.ServiceType.SESSION_LASTING)
    sock.bind((str(address), 0))
    sock.connect(("server.example", 443))

`create_connection` does all four, `watch` tells what happens to the address then; `moorage.aio` has
the same for asyncio.
"""

from __future__ import annotations

import socket

from moorage.client import setsc
from moorage.errors import RequiredIPFailed, RequiredIPNotSupported, SetscError
from moorage.numbers import (
    EAI_REQUIREDIPFAILED,
    EAI_REQUIREDIPNOTSUPPORTED,
    IPV6_ADDR_PREFERENCES,
    IPV6_REQUIRE_SRC_ON_NET,
)
from moorage.preferences import AddressPreferencesWarning, FlagNotKept, require_src_on_net
from moorage.service import ServiceType
from moorage.watching import Event, Interrupted, Watch, watch
from moorage.wire.app import Reason
from moorage.wire.notice import (
    Attached,
    Deprecated,
    Detached,
    Gone,
    Moved,
    Overrun,
    Replaced,
    Why,
)

__all__ = [
    "EAI_REQUIREDIPFAILED",
    "EAI_REQUIREDIPNOTSUPPORTED",
    "IPV6_ADDR_PREFERENCES",
    "IPV6_REQUIRE_SRC_ON_NET",
    "AddressPreferencesWarning",
    "Attached",
    "Deprecated",
    "Detached",
    "Event",
    "FlagNotKept",
    "Gone",
    "Interrupted",
    "Moved",
    "Overrun",
    "Reason",
    "Replaced",
    "RequiredIPFailed",
    "RequiredIPNotSupported",
    "ServiceType",
    "SetscError",
    "Watch",
    "Why",
    "create_connection",
    "require_src_on_net",
    "setsc",
    "watch",
]


def create_connection(
    address: tuple[str, int],
    service: ServiceType | None = None,
    timeout: float | None = None,
    *,
    on_net: bool = False,
) -> socket.socket:
    """Return a TCP connection to ``address`` (host, port) from a source of type ``service``.

    Like `socket.create_connection`, it tries every IPv6 address of the host in turn.

    Args:
        address: host name or IPv6 address, and port.
        service: what the connection needs of its source address; without it, the host's policy or
            the network chooses.
        timeout: seconds for each attempt to connect, and for the network to give an address.
        on_net: as for `setsc`.

    Raises:
        SetscError: there is no such source address.
        OSError: no address of the host could be connected to.
    """
    host, port = address
    error: OSError | None = None
    for *_, target in socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        try:
            source = setsc(sock, service, on_net=on_net, timeout=timeout)
            sock.settimeout(timeout)
            sock.bind((str(source), 0))
            sock.connect(target)
        except SetscError:
            sock.close()
            raise
        except OSError as failure:
            sock.close()
            error = failure
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error or OSError(f"{host} has no IPv6 address")
