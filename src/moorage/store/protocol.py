"""What every binding store does, whichever engine is below.

The store is the one place that routers share. A router lists the store once (``snapshot``) and
follows it from there (``watch``); it changes bindings by compare-and-swap (``commit``), so that of
two routers that act on the same binding exactly one wins. So it is with who holds a pool
(``hold``): what is created by somebody who no longer holds it is refused.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Final, Protocol

from moorage.store.model import Anchor, Binding, Router


class StoreError(Exception):
    """The store cannot do its work: not reachable, not writable, full, closed, not ours.

    Its text is one line that names the store and the reason.
    """


class Conflict(Exception):
    """A premise does not hold, and nothing was done. Read again and decide anew."""


class Mismatch(Conflict):
    """A binding is not as a change of it expects.

    Attributes:
        prefix: the prefix of the change that did not fit.
    """

    def __init__(self, prefix: IPv6Network) -> None:
        super().__init__(f"the binding of {prefix} is not as expected")
        self.prefix = prefix


class Fenced(Conflict):
    """An anchor is not at the expected epoch, or its holder is not gone as expected.

    Attributes:
        anchor: its id.
    """

    def __init__(self, anchor: str) -> None:
        super().__init__(f"the anchor {anchor} is not held as expected")
        self.anchor = anchor


class LeaseEnded(Conflict):
    """A router has no lease to keep: it never registered, or others were told that it is gone.

    Attributes:
        router: its id.
    """

    def __init__(self, router: str) -> None:
        super().__init__(f"the lease of {router} has ended")
        self.router = router


class Compacted(Exception):
    """The changes after the asked revision are no longer known. Take a new snapshot.

    Attributes:
        revision: the revision that was asked for.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(f"changes after revision {revision} are not known")
        self.revision = revision


@dataclass(frozen=True, slots=True)
class Create:
    """Add a binding. Mismatch: the prefix has one (of any state), or its name is held.

    Its name is (client, iaid), for prefixes and for addresses apart. Fenced: its anchor is not at
    ``epoch``, 0 being that of one that is not there. Without an epoch whoever holds the anchor does
    not matter: the binding is of no pool, or comes from a back-up.
    """

    binding: Binding
    epoch: int | None = None

    @property
    def prefix(self) -> IPv6Network:
        """The prefix whose binding this changes."""
        return self.binding.prefix


@dataclass(frozen=True, slots=True)
class Update:
    """Replace the binding of a prefix as a whole.

    Mismatch: none is there, its seq is not ``expected_seq``, or its name is held elsewhere.

    Raises:
        ValueError: the new seq is not higher than ``expected_seq``.
    """

    binding: Binding
    expected_seq: int

    def __post_init__(self) -> None:
        if self.binding.seq <= self.expected_seq:
            raise ValueError(f"seq {self.binding.seq} does not rise above {self.expected_seq}")

    @property
    def prefix(self) -> IPv6Network:
        """The prefix whose binding this changes."""
        return self.binding.prefix


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget a binding. Mismatch: none is there, or its seq is not ``expected_seq``."""

    prefix: IPv6Network
    expected_seq: int


Change = Create | Update | Delete

MOST_CHANGES: Final = 32
"""Changes in one commit that every engine takes."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Say who holds a pool from now on.

    Fenced: the anchor of this id is not at ``expected_epoch``, 0 being that of one that is not
    there; or the lease of the router ``gone`` has not ended.

    Raises:
        ValueError: the new epoch is not higher than ``expected_epoch``.
    """

    anchor: Anchor
    expected_epoch: int
    gone: str | None = None

    def __post_init__(self) -> None:
        if self.anchor.epoch <= self.expected_epoch:
            raise ValueError(f"epoch {self.anchor.epoch} does not rise above {self.expected_epoch}")


@dataclass(frozen=True, slots=True)
class BindingChanged:
    """A binding was added or replaced; this is what it is now."""

    revision: int
    binding: Binding


@dataclass(frozen=True, slots=True)
class BindingGone:
    """The binding of a prefix was forgotten."""

    revision: int
    prefix: IPv6Network


@dataclass(frozen=True, slots=True)
class RouterChanged:
    """A router registered, for the first time or again."""

    revision: int
    router: Router


@dataclass(frozen=True, slots=True)
class RouterGone:
    """A router's lease ended. What is known of it stays true: its kernel may go on forwarding."""

    revision: int
    router: str


@dataclass(frozen=True, slots=True)
class AnchorChanged:
    """Somebody holds a pool from now on; this is what the anchor is now."""

    revision: int
    anchor: Anchor


Event = BindingChanged | BindingGone | RouterChanged | RouterGone | AnchorChanged


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the store held at ``revision``.

    Attributes:
        revision: the last one.
        bindings: by prefix.
        routers: all that ever registered, by id.
        present: ids of those whose lease has not ended.
        anchors: by id.
    """

    revision: int
    bindings: tuple[Binding, ...] = ()
    routers: tuple[Router, ...] = ()
    present: frozenset[str] = frozenset()
    anchors: tuple[Anchor, ...] = ()


class BindingStore(Protocol):
    """Bindings, routers and anchors, shared by the routers of a domain.

    Every commit, every registration, every end of a lease and every change of a holder has a
    revision, higher than all before it; the events of one commit share it. Every method raises
    `StoreError` when the store cannot answer.
    """

    async def get(self, prefix: IPv6Network) -> Binding | None:
        """Return the binding of exactly this prefix, released or not."""

    async def of_client(self, client: bytes) -> list[Binding]:
        """Return the bindings of a DUID by prefix, released ones among them."""

    async def commit(self, changes: Sequence[Change]) -> int:
        """Do all of ``changes`` in their order, or none, and return the revision.

        When it returns, the changes are durable. No changes: the revision as it is now. A
        cancelled commit may have happened.

        Raises:
            Mismatch: a change does not fit what is stored.
            Fenced: a binding is created from a pool that is held otherwise.
            ValueError: two changes are about the same prefix.
        """

    async def commit_each(self, commits: Sequence[Sequence[Change]]) -> list[int | Conflict]:
        """Do each of ``commits``, none of them empty, as `commit` does, but wait once for all.

        Those that are about the same prefix, or the same client, are done in their order. Returns
        the revision or the conflict of each.

        Raises:
            ValueError: two changes of one commit are about the same prefix.
        """

    async def register(self, router: Router) -> int:
        """Add a router or replace what is known of it, and return the revision.

        Its lease begins; when it ends, those who watch see `RouterGone`. If nobody watches, it ends
        later: when somebody does.
        """

    async def keep_alive(self, router: str) -> None:
        """Let the lease of a router begin anew; that is no event.

        Raises:
            LeaseEnded: it has to register again.
        """

    async def hold(self, hold: Hold) -> int:
        """Say who holds a pool from now on, and return the revision.

        Raises:
            Fenced: the premises do not hold.
        """

    async def snapshot(self) -> Snapshot:
        """Return everything, as of one revision."""

    def watch(self, after: int) -> AsyncGenerator[Event, None]:
        """Yield every event with a revision above ``after``, in order, as it happens.

        With ``after`` taken from a snapshot nothing is lost in between. Several events may share
        a revision: to go on after an interruption take a new snapshot. Ends when the store closes.

        Raises:
            Compacted: ``after`` is too old, or not from this store, or the watcher fell too far
                behind.
        """

    async def describe(self) -> dict[str, str | int]:
        """Return what the engine has to say of itself to operators, by names of its own.

        It looks whether all of its content is sound, which may take a second; `StoreError` if not.
        """

    async def close(self) -> None:
        """Finish the commits under way, end the watches, let go of the engine."""


def distinct(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return the changes of one commit, checked to be about one prefix each.

    Raises:
        ValueError: two are about the same prefix.
    """
    prefixes = [change.prefix for change in changes]
    if len(set(prefixes)) != len(prefixes):
        raise ValueError("two changes of one commit are about the same prefix")
    return tuple(changes)
