"""A host and its routers by a clock that a test turns: what they decide, without a kernel."""

from __future__ import annotations

from ipaddress import IPv6Address
from pathlib import Path
from random import Random
from typing import Final

from moorage.host.actions import Action, Answer, CountSockets, DestroySockets, Persist, SendDhcp
from moorage.host.config import HostConfig
from moorage.host.core import HostCore
from moorage.host.state import StateFile
from moorage.identity import Identities, Identity
from moorage.kernel.addresses import Address
from moorage.kernel.links import Link
from moorage.router.advertising import advertisement
from moorage.router.lifecycle import Departures, Expiry
from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.app import Operation, Reply, Request
from tests.domain import Clock, Domain, Site, two_routers
from tests.scripted import CALLER

DAY: Final = 86400.0

_NAME: Final = "wl0"
_INDEX: Final = 2
_MAC: Final = bytes.fromhex("020000000001")
_LINK_LOCAL: Final = IPv6Address("fe80::100")
_ROUTER: Final = IPv6Address("fe80::1")


class Clockwork:
    """One host with one interface; the moments of its core are seconds since 1970."""

    def __init__(self, folder: Path) -> None:
        self.domain: Domain = two_routers()
        self.here: Site | None = None
        self._key = Identity.generate()
        self._identities = Identities(self._key)
        self._file = folder / "leases.json"
        self._state = StateFile(self._file, 0.0)
        self._replies: list[Reply] = []
        self.sockets: dict[IPv6Address, set[int]] = {}
        """The sockets on the host's addresses, by cookie."""
        self._signed = 0
        self._core = self._new_core()

    @property
    def clock(self) -> Clock:
        """What tells the time, to the host and to the routers."""
        return self.domain.clock

    async def attach(self, site: Site) -> None:
        """Attach the host to the link of a router, which advertises itself."""
        self.here = site
        now = self.clock.now
        await self._do(self._core.link_changed(_link(carrier=True), now))
        await self._do(self._core.address_changed(Address(_LINK_LOCAL, _INDEX, 64), now))
        await self.advertise()

    async def advertise(self) -> None:
        """Have the router advertise itself."""
        assert self.here is not None
        message = advertisement(self.here.config, self.here.link, b"")
        await self._do(self._core.router_advertised(_INDEX, _ROUTER, message, self.clock.now))

    async def detach(self) -> None:
        """Take the host off its link; its router notices."""
        assert self.here is not None
        site, self.here = self.here, None
        now = self.clock.now
        await self._do(self._core.link_changed(_link(carrier=False), now))
        departures = Departures(site.config)
        for change in departures.left(await self.domain.bindings(), now):
            await self.domain.store.commit([change])

    async def move(self) -> None:
        """Move the host to the other router."""
        [other] = [site for site in self.domain.sites if site is not self.here]
        await self.detach()
        await self.attach(other)

    def kill(self) -> None:
        """End the host daemon, which keeps nothing but its file."""
        self._core = self._new_core()

    def lose_state(self) -> None:
        """Lose what the host daemon has saved, apart from its key."""
        self._file.unlink()

    async def start(self) -> None:
        """Start the host daemon again."""
        memory = self._state.load(lambda _: _INDEX, self.clock.now)
        await self._do(self._core.restore(memory))
        if self.here is not None:
            await self.attach(self.here)

    def restart_routers(self) -> None:
        """Start all routers again, which keep nothing but the store."""
        before = self.domain.sites
        after = [Site(site.config, self.domain.store, self.clock) for site in before]
        if self.here is not None:
            self.here = after[before.index(self.here)]
        self.domain.sites = after

    async def setsc(
        self, service: ServiceType, cookie: int | None = None, *, on_net: bool = False
    ) -> IPv6Address:
        """What an application gets for a socket, or one that closes it at once."""
        operation = Operation.HOLD if cookie is None else Operation.SETSC
        request = Request(1, operation, int(service), on_net, 0)
        await self._do(self._core.setsc("application", CALLER, request, cookie, self.clock.now))
        await self._do(self._core.client_gone("application", self.clock.now))
        reply = self._replies.pop()
        assert reply.status == 0
        if cookie is not None:
            self.sockets.setdefault(reply.address, set()).add(cookie)
        return reply.address

    async def close(self, cookie: int) -> None:
        """Close a socket."""
        for users in self.sockets.values():
            users.discard(cookie)
        await self._do(self._core.socket_destroyed(cookie, self.clock.now))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everybody do what is due meanwhile."""
        end = self.clock.now + seconds
        while (due := self._core.next_timer()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            await self._expire()
            await self._do(self._core.poll(self.clock.now))
        self.clock.now = end
        await self._expire()

    def addresses(self) -> set[IPv6Address]:
        """The addresses that the host keeps."""
        return {lease.address for lease in self._core.leases if lease.address is not None}

    async def binding(self) -> Binding:
        """The only binding in the store."""
        return await self.domain.binding()

    def _new_core(self) -> HostCore:
        secret = self._key.secret_for(b"interface identifiers")
        config = HostConfig(interfaces=[_NAME])
        return HostCore(config, lambda domain: self._identities.of(domain).duid, secret, Random(1))

    async def _expire(self) -> None:
        for site in self.domain.sites:
            bindings = {binding.prefix: binding for binding in await self.domain.bindings()}
            expiry = Expiry(site.config, site.mirror.holder)
            expiry.start(bindings.values())
            for change in expiry.due(bindings.get, self.clock.now):
                await self.domain.store.commit([change])

    async def _do(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendDhcp(transmission) if self.here is not None:
                    self._signed += 1
                    datagram = self._identities.of(transmission.domain).sign(
                        transmission.message,
                        _LINK_LOCAL,
                        round(self.clock.now * 1_000_000) + self._signed,
                        transmission.link_id,
                    )
                    reply = await self.here.ask(datagram, _LINK_LOCAL)
                    if reply is not None:
                        now = self.clock.now
                        await self._do(self._core.dhcp_received(_INDEX, _ROUTER, reply, now))
                case CountSockets(address):
                    users = self.sockets.get(address, set())
                    await self._do(self._core.sockets_counted(address, users, self.clock.now))
                case DestroySockets(address, cookies):
                    users = self.sockets.get(address, set())
                    for cookie in set(users if cookies is None else users & cookies):
                        await self.close(cookie)
                case Answer(_, reply):
                    self._replies.append(reply)
                case Persist():
                    self._state.save(self._core.memory, lambda _: _NAME)
                case _:
                    pass


def _link(*, carrier: bool) -> Link:
    return Link(_INDEX, _NAME, _MAC, 1500, up=True, carrier=carrier, loopback=False)
