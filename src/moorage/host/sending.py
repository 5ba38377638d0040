"""What the host daemon sends to networks: signed DHCPv6 messages, and router solicitations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from moorage.host.attachment import Attachment
from moorage.host.signing import SignatureClock
from moorage.host.sockets import DhcpSocket, RouterSocket
from moorage.host.transmission import Transmission
from moorage.identity import Identities
from moorage.wire import nd


class Sending:
    """Sends from wherever the host is attached; ``clock`` is the core's.

    A link that goes away just then is no error: the kernel tells of it elsewhere.
    """

    def __init__(
        self,
        dhcp: DhcpSocket,
        routers: RouterSocket,
        identities: Identities,
        clock: Callable[[], float],
    ) -> None:
        self._dhcp = dhcp
        self._routers = routers
        self._identities = identities
        self._clock = clock
        self._signature_clock = SignatureClock()

    def transmit(self, transmission: Transmission, attachment: Attachment) -> None:
        """Sign a DHCPv6 message and send it where the host is attached."""
        source = attachment.link_local
        network = transmission.network_time
        theirs = None if network is None else network.at(self._clock())
        signed = self._identities.of(transmission.domain).sign(
            transmission.message,
            source,
            self._signature_clock.time(time.time_ns() // 1000, theirs),
            transmission.link_id,
            attachment.mac,
        )
        with contextlib.suppress(OSError):
            self._dhcp.send(signed, attachment.interface, source)

    def solicit(self, attachment: Attachment) -> None:
        """Ask the routers of a link for their advertisements (RFC 4861 section 6.3.7)."""
        # With our link-layer address in it, the router need not ask for it before it answers.
        tell = attachment.mac and not attachment.optimistic
        options = (nd.SourceLinkLayerAddress(attachment.mac),) if tell else ()
        solicitation = nd.RouterSolicitation(options).encode()
        with contextlib.suppress(OSError):
            self._routers.solicit(solicitation, attachment.interface, attachment.link_local)
