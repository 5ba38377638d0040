"""The socket option of address preferences (RFC 5014), and the draft's flag in it (section 6.2)."""

from __future__ import annotations

import errno
import socket
import warnings
from typing import Final
from weakref import WeakSet

from moorage.numbers import IPV6_ADDR_PREFERENCES, IPV6_REQUIRE_SRC_ON_NET

DEFAULT: Final = 0x0500
"""What Linux reports where nothing was set: IPV6_PREFER_SRC_PUBTMP_DEFAULT and _HOME."""

_warned: Final[WeakSet[socket.socket]] = WeakSet()


class AddressPreferencesWarning(UserWarning):
    """A socket has flags of RFC 5014 and asks for an address by its type (draft section 5.4)."""


class FlagNotKept(OSError):
    """The kernel does not know IPV6_REQUIRE_SRC_ON_NET and has dropped it."""

    def __init__(self) -> None:
        super().__init__(
            errno.EOPNOTSUPP,
            "the kernel did not keep IPV6_REQUIRE_SRC_ON_NET; give on_net=True to setsc() instead",
        )


def require_src_on_net(sock: socket.socket, required: bool = True) -> None:
    """Set or reset IPV6_REQUIRE_SRC_ON_NET of a socket, for its next `moorage.setsc`.

    Its other flags in IPV6_ADDR_PREFERENCES stay as they are.

    Raises:
        FlagNotKept: the kernel has dropped the flag, as Linux does without a word.
        OSError: ``sock`` has no such option: it is no IPv6 socket, or closed.
    """
    level, option = socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES
    others = sock.getsockopt(level, option) & ~IPV6_REQUIRE_SRC_ON_NET
    sock.setsockopt(level, option, others | IPV6_REQUIRE_SRC_ON_NET if required else others)
    if bool(sock.getsockopt(level, option) & IPV6_REQUIRE_SRC_ON_NET) is not required:
        raise FlagNotKept


def requires_src_on_net(sock: socket.socket, stacklevel: int) -> bool:
    """Return whether IPV6_REQUIRE_SRC_ON_NET is set; warn once of other flags beside ``setsc()``.

    ``stacklevel`` is that of `warnings.warn`, seen from here.
    """
    flags = sock.getsockopt(socket.IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)
    if flags & ~IPV6_REQUIRE_SRC_ON_NET not in (0, DEFAULT) and sock not in _warned:
        _warned.add(sock)
        warnings.warn(
            f"IPV6_ADDR_PREFERENCES is {flags:#x}: after bind() to the address of setsc() these"
            " flags have no effect, without it that address has none",
            AddressPreferencesWarning,
            stacklevel + 1,
        )
    return bool(flags & IPV6_REQUIRE_SRC_ON_NET)
