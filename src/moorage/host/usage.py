"""The shell around the sockets on the host's addresses: which there are, and which have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address

from moorage.host.actions import Action
from moorage.host.core import HostCore
from moorage.host.hooking import Hooking
from moorage.host.kernel import HostKernel
from moorage.kernel.netlink import Overrun
from moorage.kernel.sock_diag import DestroyMonitor

_PAUSE = 0.02
"""Seconds between two looks at which sockets have ended, perhaps many, since it is everybody's."""


class Usage:
    """What the kernel, and our hooks in it, say of sockets.

    Args:
        core: the host's.
        kernel: counts the sockets on an address.
        hooking: the hooks, which give addresses to sockets.
        do: does what the core wants done.
        clock: the core's.
    """

    def __init__(
        self,
        core: HostCore,
        kernel: HostKernel,
        hooking: Hooking,
        do: Callable[[list[Action]], None],
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._kernel = kernel
        self._hooking = hooking
        self._do = do
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._destroyed = DestroyMonitor()
        self._deaf: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._loop.add_reader(self._destroyed, self._read_destroyed)
        if self._hooking.hooks is not None:
            self._loop.add_reader(self._hooking.hooks, self._read_hooks)

    def close(self) -> None:
        """Listen no longer."""
        self._loop.remove_reader(self._destroyed)
        if self._hooking.hooks is not None:
            self._loop.remove_reader(self._hooking.hooks)
        if self._deaf is not None:
            self._deaf.cancel()

    def count(self, address: IPv6Address, linger: float) -> None:
        """Find out who uses an address."""
        given = self._hooking.last_given(address)
        cookies = self._kernel.sockets_on(address)
        if self._clock() < given + linger:
            cookies.add(0)
        self._do(self._core.sockets_counted(address, cookies, self._clock()))

    def _read_destroyed(self) -> None:
        self._loop.remove_reader(self._destroyed)
        self._deaf = self._loop.call_later(
            _PAUSE, self._loop.add_reader, self._destroyed, self._read_destroyed
        )
        try:
            ended = self._destroyed.read()
        except Overrun:
            for lease in list(self._core.leases):
                if lease.address is not None:
                    self._recount(lease.address, lease.sockets)
            return
        for cookie in ended:
            self._hooking.ended(cookie)
            self._do(self._core.socket_destroyed(cookie, self._clock()))

    def _read_hooks(self) -> None:
        for address in self._hooking.read():
            self._do(self._core.taken(address, self._clock()))

    def _recount(self, address: IPv6Address, known: set[int]) -> None:
        """Find out which of the known sockets have ended while we could not hear of it."""
        for cookie in known - self._kernel.sockets_on(address):
            self._do(self._core.socket_destroyed(cookie, self._clock()))
