"""A socket as on a kernel that keeps IPV6_REQUIRE_SRC_ON_NET, which Linux by itself drops."""

from __future__ import annotations

import socket
import struct
from typing import Any

from moorage.numbers import IPV6_ADDR_PREFERENCES, IPV6_REQUIRE_SRC_ON_NET

_ANSWER = "=II24x"
_ASK_THE_DAEMON = 1


class HookedSocket(socket.socket):
    """Keeps the flag beside the kernel's socket, as a hook in the kernel would."""

    _on_net = 0

    def setsockopt(self, level: int, optname: int, value: Any, *rest: int) -> None:
        if (level, optname) == (socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES):
            self._on_net = value & IPV6_REQUIRE_SRC_ON_NET
            value &= ~IPV6_REQUIRE_SRC_ON_NET
        super().setsockopt(level, optname, value, *rest)

    def getsockopt(self, level: int, optname: int, *rest: int) -> Any:
        if (level, optname) != (socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES):
            return super().getsockopt(level, optname, *rest)
        flags = super().getsockopt(level, optname) | self._on_net
        return struct.pack(_ANSWER, flags, _ASK_THE_DAEMON) if rest else flags
