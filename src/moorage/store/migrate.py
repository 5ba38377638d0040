"""Brings what one store holds into another one, which may be of another kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from ipaddress import IPv6Network
from typing import Final

from moorage.store.model import Anchor, Binding, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    BindingStore,
    Change,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    Hold,
    LeaseEnded,
    RouterChanged,
    RouterGone,
    Snapshot,
    StoreError,
    Update,
)

_PORTION: Final = 256
"""Changes that are under way at once."""

_SIGNS_OF_LIFE: Final = 3
"""How many there are while a lease lasts."""


class NotEmpty(Exception):
    """The target holds something already."""


class Migration:
    """Makes a target the same as a source, and keeps it so; nobody else is to change the target.

    Who is alive in the source is so in the target, too, for as long as it is followed.
    """

    def __init__(self, source: BindingStore, target: BindingStore) -> None:
        self._source = source
        self._target = target
        self._there: dict[IPv6Network, int] = {}
        self._epochs: dict[str, int] = {}
        self._routers: dict[str, Router] = {}
        self._present: set[str] = set()

    async def begin(self) -> None:
        """Check that the target is there, and empty.

        Raises:
            NotEmpty: it is not.
            StoreError: it does not answer.
        """
        found = await self._target.snapshot()
        if found != Snapshot(found.revision):
            raise NotEmpty

    async def converge(self) -> Snapshot:
        """Make the target the same as the source is now, and return what that is.

        Raises:
            Conflict: somebody else changes the target.
            StoreError: one of the stores does not answer.
        """
        wanted, found = await self._source.snapshot(), await self._target.snapshot()
        for changes in _steps(_by_prefix(found), _by_prefix(wanted)):
            for start in range(0, len(changes), _PORTION):
                await self._commit(changes[start : start + _PORTION])
        self._there = {binding.prefix: binding.seq for binding in wanted.bindings}
        self._epochs = {anchor.id: anchor.epoch for anchor in found.anchors}
        for anchor in wanted.anchors:
            if anchor not in found.anchors:
                await self._hold(anchor)
        self._routers = {router.id: router for router in wanted.routers}
        self._present = set(wanted.present)
        for router in wanted.routers:
            if router not in found.routers or router.id in wanted.present:
                await self._target.register(router)
        return wanted

    async def follow(self) -> None:
        """Keep the target the same as the source, until cancelled.

        Raises:
            StoreError: one of the stores does not answer.
        """
        keeping = asyncio.ensure_future(self._keep_alive())
        try:
            while True:
                start = await self.converge()
                with suppress(Compacted, Conflict):
                    async with aclosing(self._source.watch(start.revision)) as events:
                        async for event in events:
                            await self._repeat(event)
        finally:
            keeping.cancel()

    async def _repeat(self, event: Event) -> None:
        """Have happen in the target what has happened in the source."""
        match event:
            case BindingChanged(_, binding):
                seq = self._there.get(binding.prefix)
                await self._commit([Create(binding) if seq is None else Update(binding, seq)])
                self._there[binding.prefix] = binding.seq
            case BindingGone(_, prefix):
                await self._commit([Delete(prefix, self._there.pop(prefix))])
            case AnchorChanged(_, anchor):
                await self._hold(anchor)
            case RouterChanged(_, router):
                self._routers[router.id] = router
                self._present.add(router.id)
                await self._target.register(router)
            case RouterGone(_, name):
                self._present.discard(name)

    async def _commit(self, changes: Sequence[Change]) -> None:
        for outcome in await self._target.commit_each([[change] for change in changes]):
            if isinstance(outcome, Conflict):
                raise outcome

    async def _hold(self, anchor: Anchor) -> None:
        await self._target.hold(Hold(anchor, self._epochs.get(anchor.id, 0)))
        self._epochs[anchor.id] = anchor.epoch

    async def _keep_alive(self) -> None:
        while True:
            leases = [self._routers[name].lease for name in self._present]
            await asyncio.sleep(min(leases, default=1.0) / _SIGNS_OF_LIFE)
            for name in list(self._present):
                with suppress(StoreError):  # whoever follows meets it, too
                    try:
                        await self._target.keep_alive(name)
                    except LeaseEnded:
                        await self._target.register(self._routers[name])


def _steps(
    found: Mapping[IPv6Network, Binding], wanted: Mapping[IPv6Network, Binding]
) -> tuple[list[Change], list[Change]]:
    """Return what makes ``wanted`` of ``found``: first what makes room, then the rest."""
    going: list[Change] = []
    coming: list[Change] = []
    for prefix, before in found.items():
        if (after := wanted.get(prefix)) != before and not _follows(before, after):
            going.append(Delete(prefix, before.seq))
    gone = {change.prefix for change in going}
    for prefix, binding in wanted.items():
        if prefix not in found or prefix in gone:
            coming.append(Create(binding))
        elif binding != found[prefix]:
            coming.append(Update(binding, found[prefix].seq))
    return going, coming


def _follows(before: Binding, after: Binding | None) -> bool:
    """Whether one may be updated to the other, which takes no name from others."""
    return (
        after is not None
        and after.seq > before.seq
        and (after.name, after.held) == (before.name, before.held)
    )


def differences(first: Snapshot, second: Snapshot) -> list[str]:
    """Return a line about everything that two stores do not have alike, leases apart."""
    lines: list[str] = []
    for here, there in zip(_contents(first), _contents(second), strict=True):
        for what in {**here, **there}:
            if what not in there:
                lines.append(f"{what}: only in the first")
            elif what not in here:
                lines.append(f"{what}: only in the second")
            elif here[what] != there[what]:
                lines.append(f"{what}: {here[what]} in the first, {there[what]} in the second")
    return lines


def _contents(snapshot: Snapshot) -> tuple[Mapping[str, object], ...]:
    return (
        {str(binding.prefix): binding for binding in snapshot.bindings},
        {f"router {router.id}": router for router in snapshot.routers},
        {f"anchor {anchor.id}": anchor for anchor in snapshot.anchors},
    )


def _by_prefix(snapshot: Snapshot) -> dict[IPv6Network, Binding]:
    return {binding.prefix: binding for binding in snapshot.bindings}
