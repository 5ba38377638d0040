"""Hears of it when somebody else changes our packet filter."""

from __future__ import annotations

from typing import Final

from moorage.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, Overrun
from moorage.kernel.nft_messages import concerns

_NFNLGRP_NFTABLES: Final = 7


class FilterMonitor:
    """Watches one table of nf_tables, in the network namespace of the thread that makes it.

    Args:
        table: its name; its family is ip6.
        except_port: what the socket with this address does is no news.

    Raises:
        OSError: the kernel has no nf_tables, or our rights do not suffice.
    """

    def __init__(self, table: str, except_port: int) -> None:
        self._table = table
        self._socket = NetlinkSocket(NETLINK_NETFILTER, [_NFNLGRP_NFTABLES], except_port)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._socket.fileno()

    def read(self) -> bool:
        """Whether anything in the table may have changed since the last time."""
        try:
            news = self._socket.receive()
        except Overrun:
            return True
        return any(concerns(message, self._table) for message in news)
