"""The shell around the kernel's quotas of bytes, which are opened when there is a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address

from moorage.kernel.netlink import Overrun
from moorage.kernel.send_quotas import (
    Event,
    NetlinkSendQuotas,
    Quota,
    Removed,
    SendQuotas,
    Spent,
)


class ByteCounting:
    """Has the kernel count, and calls ``spent`` with each address whose quota is used up."""

    def __init__(
        self,
        spent: Callable[[IPv6Address], None],
        complain: Callable[[str], None],
        opened: Callable[[], SendQuotas] = NetlinkSendQuotas,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._spent = spent
        self._complain = complain
        self._opened = opened
        self._quotas: SendQuotas | None = None
        self._wanted: Mapping[IPv6Address, Quota] = {}
        self._impossible = False

    def apply(self, wanted: Mapping[IPv6Address, Quota]) -> None:
        """Have these quotas and no others; complain, once, if the kernel cannot."""
        if self._impossible or (self._quotas is None and not wanted):
            return
        try:
            if self._quotas is None:
                self._quotas = self._opened()
                self._loop.add_reader(self._quotas, self._read)
                # A daemon that was killed has left its quotas behind.
                earlier = self._quotas.used()
                wanted = {
                    address: replace(quota, used=max(quota.used, earlier.get(address, 0)))
                    for address, quota in wanted.items()
                }
            self._quotas.apply(wanted)
            self._wanted = wanted
        except OSError as error:
            self._impossible = True
            self._complain(f"bytes sent are not counted, nor lifetimes kept by them: {error}")

    def used(self) -> dict[IPv6Address, int]:
        """Return the bytes that were counted so far, with those of earlier lives."""
        with contextlib.suppress(OSError):
            if self._quotas is not None:
                return self._quotas.used()
        return {}

    def close(self) -> None:
        """Count no more; nothing of ours stays in the kernel."""
        if self._quotas is None:
            return
        self._loop.remove_reader(self._quotas)
        with contextlib.suppress(OSError):
            self._quotas.remove()
        self._quotas.close()

    def _look(self) -> list[Event]:
        """Return what must have happened, by what the kernel has now."""
        used = self.used()
        events: list[Event] = [
            Spent(address)
            for address, quota in self._wanted.items()
            if used.get(address, 0) >= quota.limit
        ]
        return events if used.keys() == self._wanted.keys() else [*events, Removed()]

    def _read(self) -> None:
        assert self._quotas is not None
        try:
            events = self._quotas.read()
        except Overrun:
            events = self._look()
        if Removed() in events:
            with contextlib.suppress(OSError):
                self._quotas.resync()
        for event in events:
            if isinstance(event, Spent):
                self._spent(event.address)
