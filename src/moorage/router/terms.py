"""What a router's configuration comes to for its clients, worked out once for all messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from moorage.router.config import RouterConfig
from moorage.service import ServiceType
from moorage.wire.dhcp6 import NetworkPolicy, OfferedTypes, SubOption


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same for every client.

    Attributes:
        server_duid: whom they talk to.
        offered: the types that are delegated.
        permitted: those that the operator permits.
        default: the type for a client that asks for none.
        about: what our option says about the network in every answer.
    """

    server_duid: bytes
    offered: frozenset[ServiceType]
    permitted: frozenset[ServiceType]
    default: ServiceType
    about: tuple[SubOption, ...]

    @classmethod
    def of(cls, config: RouterConfig) -> Self:
        """Return the terms of a router."""
        offered, policy = config.offered_types, config.policy
        about: tuple[SubOption, ...] = (OfferedTypes(offered),)
        permitted = frozenset(ServiceType)
        if policy is not None:
            permitted = policy.permitted_types
            about += (NetworkPolicy(permitted, policy.boot_types, policy.default_type),)
        return cls(config.server_duid, offered, permitted, config.default, about)
