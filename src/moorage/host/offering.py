"""What the hooks in the kernel may give without a question to the daemon, and who may use it.

A pure function of what the host knows. Not plainly allowed is the same as not offered: then the
daemon is asked, who finds out all that there is to know of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from moorage.host.known import Known
from moorage.host.lifecycle import State
from moorage.host.renewal import Renewal
from moorage.kernel.hooks import Offer, Rights
from moorage.service import ServiceType

_OFFERED: Final = frozenset(ServiceType) - {ServiceType.NON_PERSISTENT}
"""Not those whose sockets end at a move: the daemon has to know each of them."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What the hooks know.

    Attributes:
        offers: the address that new sockets of a type get.
        rights: what users may do; none stands for all who are not named.
        restricted: addresses that not everybody may use without ``setsc()``.
    """

    offers: Mapping[ServiceType, Offer]
    rights: Mapping[int | None, Rights]
    restricted: Mapping[IPv6Address, ServiceType]


def offered(known: Known, renewal: Renewal, now: float) -> Offered:
    """Return what the hooks are to know by now."""
    rights = known.admission.policy.rights(known.networks.policy)
    everybody = known.default_lease()
    restricted = {
        lease.address: lease.type
        for lease in known.leases.alive()
        if lease.address is not None
        and lease is not everybody
        and lease.type in known.restricted_types
    }
    # As long as nobody can have enough of them, no quota has to be looked at.
    offers: dict[ServiceType, Offer] = {}
    if known.admission.quotas_suffice(len(known.leases.iaids())):
        for kind in _OFFERED:
            lease = renewal.fitting(kind, None, now)
            if lease is not None and lease.address is not None:
                offers[kind] = Offer(
                    lease.address,
                    renewal.given_until(lease),
                    lease.valid_until,
                    restricted=lease.address in restricted,
                    known=lease.state is State.IN_USE,
                )
    return Offered(offers, rights, restricted)
