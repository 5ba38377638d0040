"""The part of a delegated prefix that stays with the link to its client (RFC 6603).

A client that lists the Prefix Exclude option in its Option Request may use that part on the link on
which it asked, and nowhere else. The router has it on the link, so that the client needs no other
prefix there.
"""

from __future__ import annotations

from ipaddress import IPv6Network

from moorage.router.outcomes import Association
from moorage.router.request import Request
from moorage.store.model import Binding
from moorage.wire.dhcp6 import IaPd, PrefixExclude, WireError


def excluded_from(prefix: IPv6Network, request: Request, length: int | None) -> int | None:
    """Return the length of the part to exclude from what a client is given; None: there is none.

    Args:
        prefix: what it is given.
        request: what it asks for. Behind a relay agent the link is not ours to route to.
        length: what the configuration says.
    """
    if length is None or length <= prefix.prefixlen or request.place.segment.relayed:
        return None
    return length if request.asks_for(PrefixExclude.option_code) else None


def names_another_part(ia: Association, binding: Binding) -> bool:
    """Whether a client says that another part of its prefix was excluded (section 6.2)."""
    if not isinstance(ia, IaPd):
        return False
    named = [(lease.prefix, part) for lease in ia.prefixes if (part := lease.first(PrefixExclude))]
    try:
        return any(part.within(prefix) != binding.excluded_prefix for prefix, part in named)
    except WireError:
        return True
