"""The ``[[rule]]`` tables of the policy file: whom they fit, and what those may have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from moorage.accounts import GroupId, UserId
from moorage.host.caller import Caller
from moorage.service import ServiceType


def types_of(key: str, slugs: Iterable[str]) -> frozenset[ServiceType]:
    """Return the types that ``slugs`` name.

    Raises:
        ValueError: one is no type; the text names ``key`` and the types.
    """
    try:
        return frozenset(ServiceType.from_slug(slug) for slug in slugs)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def types_delegated(key: str, slugs: Iterable[str]) -> frozenset[ServiceType]:
    """Return the types that ``slugs`` name, of which Non-persistent is not to be one.

    Raises:
        ValueError: one is no such type; the text names ``key`` and what is allowed.
    """
    types = types_of(key, slugs)
    if ServiceType.NON_PERSISTENT in types:
        raise ValueError(f"{key}: non-persistent is what every network gives by itself")
    return types


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule. It fits a caller whom every list of its first five that is not empty fits.

    In patterns ``*`` stands for any text, ``/`` included, ``?`` for one character and ``[...]`` for
    one of those characters.

    Attributes:
        users: effective users.
        groups: groups, primary or supplementary.
        units: patterns of systemd units of the system's manager.
        cgroups: patterns of control groups.
        executables: patterns of paths of programs.
        types: what the caller may have; none: all types.
        default: the type that he gets if he names none; empty: as for all. Programs that do not
            ask get it, too, if the rule is ``by_group_alone`` (`Policy.default_within`).
        fresh: the types of which each of his sockets gets an address of its own; none: as for all.
    """

    users: list[UserId] = []
    groups: list[GroupId] = []
    units: list[str] = []
    cgroups: list[str] = []
    executables: list[str] = []
    types: list[str] | None = None
    default: str = ""
    fresh: list[str] | None = None

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        types_delegated("fresh", self.fresh or [])
        if not types_of("default", [self.default] if self.default else []) <= self.permitted:
            raise ValueError(f"default: must be one of the rule's types, {', '.join(self._slugs)}")

    @property
    def _slugs(self) -> Sequence[str]:
        return [kind.slug for kind in ServiceType] if self.types is None else self.types

    @property
    def permitted(self) -> frozenset[ServiceType]:
        """``types`` as types."""
        return types_of("types", self._slugs)

    @property
    def types_fresh(self) -> frozenset[ServiceType] | None:
        """``fresh`` as types."""
        return None if self.fresh is None else types_delegated("fresh", self.fresh)

    @property
    def default_type(self) -> ServiceType | None:
        """``default`` as a type."""
        return ServiceType.from_slug(self.default) if self.default else None

    @property
    def by_user_alone(self) -> bool:
        """Whether a caller's user decides whether it fits him."""
        return not (self.groups or self.units or self.cgroups or self.executables)

    @property
    def by_group_alone(self) -> bool:
        """Whether it names control groups or units, and a caller's is all that decides."""
        return bool(self.units or self.cgroups) and not (
            self.users or self.groups or self.executables
        )

    def may_fit(self, unit: str | None, cgroup: str) -> bool:
        """Whether it may be about somebody in a control group, whoever he is."""
        return _like(self.units, unit) and _like(self.cgroups, cgroup)

    def fits(self, caller: Caller) -> bool:
        """Whether the rule is about ``caller``."""
        return (
            (not self.users or caller.uid in self.users)
            and (not self.groups or not caller.gids.isdisjoint(self.groups))
            and _like(self.units, caller.unit)
            and _like(self.cgroups, caller.cgroup)
            and _like(self.executables, caller.executable)
        )


def _like(patterns: Sequence[str], value: str | None) -> bool:
    if not patterns:
        return True
    return value is not None and any(fnmatchcase(value, pattern) for pattern in patterns)


def default_rules() -> list[Rule]:
    """Return the rules of a host whose policy file has none.

    A Fixed address costs its network a prefix for good, so it is for the system's own services.
    """
    every_day = [kind.slug for kind in ServiceType if kind is not ServiceType.FIXED]
    return [Rule(users=[UserId(0)]), Rule(types=every_day)]
