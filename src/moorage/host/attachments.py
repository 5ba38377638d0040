"""Which links the host's interfaces are on, and what changes there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from moorage.host.attachment import Attachment, Traits, link_id_of
from moorage.host.findings import (
    Advertised,
    Attached,
    Clash,
    Contradicted,
    Finding,
    Lack,
    Left,
    PrefixesGone,
    PrefixesMissing,
    Recognised,
    RouterGone,
)
from moorage.kernel.addresses import Address
from moorage.kernel.links import Link
from moorage.wire.nd import OnDemandLink, RouterAdvertisement


@dataclass(slots=True)
class _Interface:
    """An interface of ours; ``link_locals`` maps each usable one to whether it is optimistic."""

    name: str
    mac: bytes = b""
    ready: bool = False
    link_locals: dict[IPv6Address, bool] = field(default_factory=dict)


class Attachments:
    """The attachments of all interfaces that the host may use."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._interfaces: dict[int, _Interface] = {}
        self._attached: dict[int, Attachment] = {}
        self._last: dict[str, Traits] = {}
        self._settled: set[int] = set()

    def __contains__(self, interface: int) -> bool:
        return interface in self._attached

    @property
    def last(self) -> Mapping[str, Traits]:
        """What each interface's present link is, or its last one was, as far as it is settled."""
        present = {self.name(each): self._attached[each].traits for each in self._settled}
        return self._last | present

    def use(self, names: Collection[str]) -> None:
        """Use the interfaces with these names, as soon as the kernel has told of them anew."""
        self._names = frozenset(names)

    def get(self, interface: int | None) -> Attachment | None:
        """Return the attachment of an interface, if it has one."""
        return None if interface is None else self._attached.get(interface)

    def name(self, interface: int) -> str:
        """Return the name of an interface of ours, empty if it is gone."""
        known = self._interfaces.get(interface)
        return known.name if known is not None else ""

    def manages(self, interface: int) -> bool:
        """Whether the interface is one that the host may use."""
        return interface in self._interfaces

    def hears(self, interface: int, router: IPv6Address) -> bool:
        """Whether a router of the link that an interface is on has given a sign of life."""
        attachment = self._attached.get(interface)
        if attachment is None or router in attachment.unreachable:
            return False
        return router in attachment.routers

    def newest_first(self) -> list[Attachment]:
        """Return the attachments, the newest first."""
        return sorted(self._attached.values(), key=lambda a: a.since, reverse=True)

    # ---- telling links apart -------------------------------------------------------------------

    def remember(self, last: Mapping[str, Traits]) -> None:
        """Take up what an earlier life knew of the interfaces' links."""
        self._last.update(last)

    def settle(self, interface: int) -> bool | None:
        """Take an interface's link for the present one.

        Return whether the last was another; none: nothing is known of the last.
        """
        before = self._last.get(self.name(interface))
        self._settled.add(interface)
        return None if before is None else self._attached[interface].traits.differs(before)

    # ---- what happens --------------------------------------------------------------------------

    def link_changed(self, link: Link, now: float) -> list[Finding]:
        """Take in what the kernel says of an interface."""
        if link.name not in self._names:
            return self.link_removed(link.index)
        known = self._interfaces.setdefault(link.index, _Interface(link.name))
        known.mac = link.mac
        known.ready = link.up and link.carrier
        return self._update(link.index, now)

    def link_removed(self, interface: int) -> list[Finding]:
        """Forget an interface."""
        found = self._leave(interface) if interface in self._attached else []
        self._interfaces.pop(interface, None)
        return found

    def link_local_changed(self, address: Address, now: float) -> list[Finding]:
        """Take in a link-local address of ours."""
        known = self._interfaces.get(address.interface)
        if known is None:
            return []
        if address.usable:
            known.link_locals[address.address] = address.optimistic
        else:
            known.link_locals.pop(address.address, None)
        found = self._update(address.interface, now)
        if address.clashed:
            found.insert(0, Clash(address.interface, address.address))
        return found

    def link_local_removed(self, address: Address, now: float) -> list[Finding]:
        """Take in that a link-local address is gone."""
        known = self._interfaces.get(address.interface)
        if known is None:
            return []
        known.link_locals.pop(address.address, None)
        return self._update(address.interface, now)

    def resumed(self, now: float) -> list[Finding]:
        """Take every link for perhaps another, since the host has slept."""
        found: list[Finding] = []
        for interface in list(self._attached):
            found += self._leave(interface)
            found += self._update(interface, now)
        return found

    def advertised(
        self, interface: int, router: IPv6Address, message: RouterAdvertisement, now: float
    ) -> list[Finding]:
        """Take in a router advertisement."""
        attachment = self._attached.get(interface)
        if attachment is None:
            return []
        found: list[Finding] = []
        announced = message.first(OnDemandLink)
        if announced is not None and attachment.is_another(router, announced):
            assert attachment.on_demand is not None
            passed = attachment.passed | {link_id_of(attachment.on_demand)}
            found += self._leave(interface)
            found += self._update(interface, now)
            attachment = self._attached[interface]
            attachment.passed = passed
        first = not attachment.heard
        attachment.unreachable.discard(router)
        if message.router_lifetime:
            attachment.routers[router] = now + message.router_lifetime
        elif attachment.routers.pop(router, None) is not None:
            found.append(RouterGone(interface, router, Lack.RESIGNED))
        if announced is not None:
            found += self._announced(attachment, router, announced)
        if attachment.heard_prefixes(router, message):
            gone = attachment.forget_missed()
            found.append(PrefixesGone(interface, gone) if gone else PrefixesMissing(interface))
        if first and attachment.heard:
            found.append(Recognised(interface))
        found.append(Advertised(interface))
        return found

    def _announced(
        self, attachment: Attachment, router: IPv6Address, announced: OnDemandLink
    ) -> list[Finding]:
        called = attachment.on_demand
        if called is None or link_id_of(called) == link_id_of(announced):
            # Any router that agrees vouches for it as well.
            attachment.heard_service(router, announced)
            return []
        assert attachment.announcer is not None
        return [Contradicted(attachment.interface, attachment.announcer)]

    def unreachable(self, interface: int, router: IPv6Address) -> list[Finding]:
        """Take in that a neighbour does not answer; only routers matter."""
        if not self.hears(interface, router):
            return []
        self._attached[interface].unreachable.add(router)
        return [RouterGone(interface, router, Lack.UNREACHABLE)]

    def next_timer(self) -> float | None:
        """Return when `poll` must be called at the latest."""
        until = (until for a in self._attached.values() for until in a.routers.values())
        return min(until, default=None)

    def poll(self, now: float) -> list[Finding]:
        """Find the routers that have not been heard for their lifetime."""
        found: list[Finding] = []
        for interface, attachment in self._attached.items():
            for router, until in list(attachment.routers.items()):
                if until <= now:
                    del attachment.routers[router]
                    found.append(RouterGone(interface, router, Lack.SILENT))
        return found

    def _update(self, interface: int, now: float) -> list[Finding]:
        """Attach or leave as the state of the interface calls for."""
        known = self._interfaces[interface]
        attachment = self._attached.get(interface)
        found: list[Finding] = []
        if attachment is not None and (
            not known.ready
            or attachment.link_local not in known.link_locals
            or attachment.mac != known.mac
        ):
            found += self._leave(interface)
            attachment = None
        if attachment is None and known.ready and known.link_locals:
            address = next(iter(known.link_locals))
            attachment = self._attached[interface] = Attachment(interface, now, address, known.mac)
            found.append(Attached(interface))
        if attachment is not None:
            attachment.optimistic = known.link_locals[attachment.link_local]
        return found

    def _leave(self, interface: int) -> list[Finding]:
        name = self.name(interface)
        attachment = self._attached.pop(interface)
        if interface in self._settled:
            self._settled.remove(interface)
            self._last[name] = attachment.traits
        return [Left(interface, name)]
