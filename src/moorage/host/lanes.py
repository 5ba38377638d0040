"""Who serves what: the prefixes of one network and type always leave by the same interface.

Which interface that is, each lane decides for itself, since prefixes of one operator are of no use
on another's link, and policy may name the interfaces of a type.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from moorage.host.attachment import Attachment
from moorage.host.attachments import Attachments
from moorage.host.config import HostConfig
from moorage.host.serving import Lane, Serving
from moorage.service import ServiceType


class Lanes:
    """The serving interfaces of all lanes; ``config`` says which interfaces may serve a type."""

    def __init__(self, attachments: Attachments, config: Callable[[], HostConfig]) -> None:
        self._attachments = attachments
        self._config = config
        self._servings: dict[Lane, Serving] = {}

    def allowed(self, type_: ServiceType | None) -> list[Attachment]:
        """Return the links where policy wants a type, the preferred ones and the newest first."""
        links = self._attachments.newest_first()
        names = self._config().serving.get(type_.slug) if type_ is not None else None
        if names is None:
            return links
        places = {name: place for place, name in enumerate(names)}
        wanted = [link for link in links if self._name(link) in places]
        return sorted(wanted, key=lambda link: places[self._name(link)])

    def links(self, lane: Lane) -> list[Attachment]:
        """Return the links that may serve a lane, the preferred ones first.

        New prefixes are asked for where somebody may give them, if there is such a link.
        """
        links = self.allowed(lane.type)
        if lane.domain is None:
            return sorted(links, key=lambda link: (not _offers(link, lane), not link.knows_service))
        return [link for link in links if link.may_be_of(lane.domain)]

    def choose(self, lane: Lane, now: float) -> int | None:
        """Return the interface on which to ask for a lane now, or none if nothing changes."""
        return self._serving(lane).choose(self.links(lane), now)

    def asked(self, type_: ServiceType | None, now: float) -> Attachment | None:
        """Return the link where new prefixes of a type are asked for, if there is any."""
        self.choose(Lane(None, type_), now)
        return self.present(type_)

    def present(self, type_: ServiceType | None) -> Attachment | None:
        """Return the link where new prefixes of a type were asked for last."""
        serving = self._serving(Lane(None, type_))
        return self._attachments.get(serving.trying) or self._attachments.get(serving.current)

    def foremost(self) -> Attachment | None:
        """Return the link whose network counts: the newest that knows the service, or at all."""
        links = self._attachments.newest_first()
        return next((link for link in links if link.knows_service), next(iter(links), None))

    def service_known(self, type_: ServiceType | None) -> bool:
        """Whether a link where policy wants a type knows the service, or the next one may."""
        links = self.allowed(type_)
        return not links or any(link.knows_service for link in links)

    def state(self, interface: int) -> str:
        """Return what an interface is to the lanes: ``serving``, ``trying`` or nothing of these."""
        servings = self._servings.values()
        if any(serving.current == interface for serving in servings):
            return "serving"
        return "trying" if any(serving.trying == interface for serving in servings) else ""

    def left(self, interface: int) -> None:
        """Note that an interface has left its link."""
        for serving in self._servings.values():
            serving.left(interface)

    def heard(self, interface: int) -> None:
        """Note a sign of life from the link of an interface."""
        for serving in self._servings.values():
            serving.heard(interface)

    def answered(self, lanes: Iterable[Lane], interface: int, now: float) -> None:
        """Note that the network answered on an interface for these lanes."""
        for lane in lanes:
            self._serving(lane).answered(interface, now)

    def stranded(self, lane: Lane) -> None:
        """Note that a lane has to be served anew."""
        self._serving(lane).stranded()

    def next_timer(self, lanes: Collection[Lane]) -> float | None:
        """Return when one of these lanes must be chosen for again at the latest."""
        times = [self._serving(lane).next_timer(self.links(lane)) for lane in lanes]
        return min((time for time in times if time is not None), default=None)

    def forget_others(self, lanes: Collection[Lane]) -> None:
        """Forget the lanes of networks whose last prefix is gone: all but these."""
        self._servings = {
            lane: serving
            for lane, serving in self._servings.items()
            if lane.domain is None or lane in lanes
        }

    def _name(self, link: Attachment) -> str:
        return self._attachments.name(link.interface)

    def _serving(self, lane: Lane) -> Serving:
        serving = self._servings.setdefault(lane, Serving(0.0))
        serving.dwell = self._config().dwell
        return serving


def _offers(link: Attachment, lane: Lane) -> bool:
    return lane.type is None or link.offers(lane.type)
