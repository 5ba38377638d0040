"""The shell around the hooks in the kernel, where there are any."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv6Address

from moorage.host.offering import Offered
from moorage.kernel.bpf import Unavailable
from moorage.kernel.hooks import Hooks, load_hooks
from moorage.service import ServiceType

_log = logging.getLogger("moorage.host")


class Hooking:
    """Keeps the hooks' tables as they have to be; without hooks it does nothing."""

    def __init__(self, wanted: bool, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._now = Offered({}, {}, {})
        self._granted: set[int] = set()
        self._given: dict[IPv6Address, float] = {}
        self.hooks: Hooks | None = None
        if not wanted:
            return
        try:
            self.hooks = load_hooks()
        except Unavailable as error:
            _log.info("no hooks in the kernel, setsc() asks the daemon: %s", error.strerror)

    def close(self) -> None:
        """Take the hooks out of the kernel."""
        if self.hooks is not None:
            self.hooks.close()

    def prepare(self, wanted: Offered) -> None:
        """Take back what is no longer offered or allowed; comes before addresses change."""
        if self.hooks is None or wanted is self._now:
            return
        for kind, offer in self._now.offers.items():
            if wanted.offers.get(kind) != offer:
                self._withdraw(self.hooks, kind)
        try:
            if wanted.rights is not self._now.rights:
                for user in {*self._now.rights, *wanted.rights}:
                    self.hooks.allow(user, wanted.rights.get(user))
            for address in wanted.restricted.keys() - self._now.restricted.keys():
                self.hooks.restrict(address, wanted.restricted[address])
        except OSError as error:
            self._complain(f"the hooks do not know who may use which address: {error}")

    def publish(self, wanted: Offered) -> None:
        """Offer and allow what is new; comes after addresses have changed."""
        if self.hooks is None or wanted is self._now:
            return
        for address in self._now.restricted.keys() - wanted.restricted.keys():
            self.hooks.restrict(address, None)
        for kind, offer in wanted.offers.items():
            if self._now.offers.get(kind) != offer:
                self.hooks.offer(kind, offer)
        self._now = wanted

    def read(self) -> list[IPv6Address]:
        """Return the addresses that sockets have taken, of which nobody knew that they did."""
        if self.hooks is None:
            return []
        offers = self._now.offers
        return [offers[kind].address for kind in self.hooks.read() if kind in offers]

    def last_given(self, address: IPv6Address) -> float:
        """Return when the hooks gave an address last; they do not until the next `publish`."""
        if self.hooks is None:
            return 0.0
        for kind, offer in list(self._now.offers.items()):
            if offer.address == address:
                self._withdraw(self.hooks, kind)
        return self._given.pop(address, 0.0)

    def grant(self, cookie: int, kind: ServiceType) -> None:
        """Authorise a socket for a type."""
        if self.hooks is None:
            return
        try:
            self.hooks.grant(cookie, [kind])
            self._granted.add(cookie)
        except OSError as error:
            self._complain(f"a socket cannot use its address: {error}")

    def ended(self, cookie: int) -> None:
        """Forget a socket."""
        if self.hooks is not None and cookie in self._granted:
            self._granted.discard(cookie)
            self.hooks.grant(cookie, ())

    def _withdraw(self, hooks: Hooks, kind: ServiceType) -> None:
        hooks.withdraw(kind)
        offers = dict(self._now.offers)
        self._given[offers.pop(kind).address] = hooks.last_taken(kind)
        self._now = Offered(offers, self._now.rights, self._now.restricted)
