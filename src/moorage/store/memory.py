"""A binding store in this process's memory: for tests, and for routers that share one process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv6Network
from time import monotonic

from moorage.store.model import Anchor, Binding, Router
from moorage.store.protocol import (
    AnchorChanged,
    BindingChanged,
    BindingGone,
    Change,
    Compacted,
    Conflict,
    Create,
    Delete,
    Event,
    Fenced,
    Hold,
    LeaseEnded,
    Mismatch,
    RouterChanged,
    RouterGone,
    Snapshot,
    StoreError,
    Update,
    distinct,
)


class MemoryStore:
    """A `BindingStore` that lasts as long as the object; all its users share one event loop."""

    def __init__(self, keep: int = 10_000) -> None:
        """Remember the events of the last ``keep`` revisions for watchers."""
        self._bindings: dict[IPv6Network, Binding] = {}
        self._held: dict[tuple[bytes, int, bool], IPv6Network] = {}
        self._routers: dict[str, Router] = {}
        self._leases: dict[str, float] = {}
        self._anchors: dict[str, Anchor] = {}
        self._revision = 0
        self._history: deque[tuple[Event, ...]] = deque(maxlen=keep)
        self._watchers: set[asyncio.Event] = set()
        self._closed = False

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""
        self._check_open()
        return self._bindings.get(prefix)

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""
        self._check_open()
        return _by_prefix(each for each in self._bindings.values() if each.client == client)

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision."""
        self._check_open()
        if not distinct(changes):
            return self._revision
        revision = self._revision + 1
        replaced: list[tuple[IPv6Network, Binding | None]] = []
        events: list[Event] = []
        try:
            for change in changes:
                binding = self._fitting(change)
                replaced.append((change.prefix, self._put(change.prefix, binding)))
                events.append(
                    BindingGone(revision, change.prefix)
                    if binding is None
                    else BindingChanged(revision, binding)
                )
        except Conflict:
            for prefix, before in reversed(replaced):
                self._put(prefix, before)
            raise
        return self._publish(tuple(events))

    async def commit_each(self, commits: Sequence[Sequence[Change]]) -> list[int | Conflict]:
        """Do each of the commits, or not; return revisions and conflicts."""
        outcomes: list[int | Conflict] = []
        for changes in commits:
            try:
                outcomes.append(await self.commit(changes))
            except Conflict as conflict:
                outcomes.append(conflict)
        return outcomes

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision."""
        self._check_open()
        self._routers[router.id] = router
        self._leases[router.id] = monotonic() + router.lease
        return self._publish((RouterChanged(self._revision + 1, router),))

    async def keep_alive(self, router: str) -> None:
        """Let the lease of a router begin anew."""
        self._check_open()
        if router not in self._leases:
            raise LeaseEnded(router)
        self._leases[router] = monotonic() + self._routers[router].lease

    async def hold(self, hold: Hold) -> int:
        """Say who holds a pool from now on, and return the revision."""
        self._check_open()
        anchor = hold.anchor
        if self._epoch(anchor.id) != hold.expected_epoch or hold.gone in self._leases:
            raise Fenced(anchor.id)
        self._anchors[anchor.id] = anchor
        return self._publish((AnchorChanged(self._revision + 1, anchor),))

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""
        self._check_open()
        return Snapshot(
            self._revision,
            tuple(_by_prefix(self._bindings.values())),
            tuple([router for _, router in sorted(self._routers.items())]),
            frozenset(self._leases),
            tuple([anchor for _, anchor in sorted(self._anchors.items())]),
        )

    async def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens."""
        self._check_open()
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            while not self._closed:
                changed.clear()
                for events in self._since(after):
                    for event in events:
                        yield event
                    after += 1
                self._end_leases()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rest()):
                        await changed.wait()
        finally:
            self._watchers.discard(changed)

    async def describe(self) -> dict[str, str | int]:
        """Return nothing: there is nothing but the content."""
        self._check_open()
        return {}

    async def close(self) -> None:
        """End the watches; nothing else works afterwards."""
        self._closed = True
        self._wake()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("memory: the store is closed")

    def _fitting(self, change: Change) -> Binding | None:
        """Return what ``change`` makes of its prefix's binding, or raise a Conflict."""
        stored = self._bindings.get(change.prefix)
        binding: Binding | None
        match change:
            case Create(binding, epoch):
                if epoch not in (None, self._epoch(binding.anchor)):
                    raise Fenced(binding.anchor)
                fits = stored is None
            case Update(binding, expected_seq):
                fits = stored is not None and stored.seq == expected_seq
            case Delete(_, expected_seq):
                binding = None
                fits = stored is not None and stored.seq == expected_seq
        if binding is not None and binding.held:
            fits = fits and self._held.get(binding.name, change.prefix) == change.prefix
        if not fits:
            raise Mismatch(change.prefix)
        return binding

    def _put(self, prefix: IPv6Network, binding: Binding | None) -> Binding | None:
        """Make ``binding`` the one of the prefix (None: none) and return the one before."""
        before = self._bindings.pop(prefix, None)
        if before is not None and before.held:
            del self._held[before.name]
        if binding is not None:
            self._bindings[prefix] = binding
            if binding.held:
                self._held[binding.name] = prefix
        return before

    def _epoch(self, anchor: str) -> int:
        """Return the epoch of an anchor, 0 if it is not there."""
        return self._anchors[anchor].epoch if anchor in self._anchors else 0

    def _end_leases(self) -> None:
        """Tell of the routers whose lease is over."""
        now = monotonic()
        for router in [router for router, end in self._leases.items() if end <= now]:
            del self._leases[router]
            self._publish((RouterGone(self._revision + 1, router),))

    def _rest(self) -> float | None:
        """Return the seconds until a lease is over, if there is one."""
        return min(self._leases.values()) - monotonic() if self._leases else None

    def _since(self, after: int) -> list[tuple[Event, ...]]:
        behind = self._revision - after
        if not 0 <= behind <= len(self._history):
            raise Compacted(after)
        return list(self._history)[len(self._history) - behind :]

    def _publish(self, events: tuple[Event, ...]) -> int:
        self._revision += 1
        self._history.append(events)
        self._wake()
        return self._revision

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()


def _by_prefix(bindings: Iterable[Binding]) -> list[Binding]:
    return sorted(bindings, key=lambda binding: binding.prefix)
