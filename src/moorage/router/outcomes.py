"""What may become of one identity association of a message."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import TypeAlias

from moorage.service import ServiceType
from moorage.store.model import Binding
from moorage.wire.dhcp6 import IaNa, IaPd, RefusalReason

Association: TypeAlias = IaNa | IaPd


@dataclass(frozen=True, slots=True)
class Granted:
    """The client has the lease of ``binding``, for so many seconds from now, and not ``gone``."""

    ia: Association
    binding: Binding
    preferred: int
    valid: int
    gone: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The client must not use these prefixes or addresses any longer."""

    ia: Association
    type: ServiceType
    prefixes: tuple[IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The client gets nothing; ``type`` is what it asked for, or holds."""

    ia: Association
    type: ServiceType | None
    reason: RefusalReason


@dataclass(frozen=True, slots=True)
class OffLink:
    """The client asks for addresses that are not of its link."""

    ia: Association


@dataclass(frozen=True, slots=True)
class Unbound:
    """We know of no such binding."""

    ia: Association


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another router of the link acted on this very message, and answers it."""

    ia: Association


@dataclass(frozen=True, slots=True)
class Released:
    """The client gave the lease back: there is nothing more to say."""

    ia: Association


Outcome: TypeAlias = Granted | Withdrawn | Refused | OffLink | Unbound | Elsewhere | Released
