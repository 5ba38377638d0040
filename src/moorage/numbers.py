"""Every number of ours that no registry has assigned, in one place.

Each can be replaced by an assigned one without touching other code. The meaning and the reason for
each value stand in ``docs/protocol.md``.
"""

from __future__ import annotations

from typing import Final

IPV6_ADDR_PREFERENCES: Final = 72
"""Linux' socket option number at level IPPROTO_IPV6 (``<linux/in6.h>``); assigned, not ours."""

IPV6_REQUIRE_SRC_ON_NET: Final = 0x1000
"""The draft's ON_NET flag inside IPV6_ADDR_PREFERENCES (draft section 6.2)."""

EAI_REQUIREDIPNOTSUPPORTED: Final = -180
"""setsc(): the required service type is not supported (draft section 6.1)."""

EAI_REQUIREDIPFAILED: Final = -181
"""setsc(): the network could not fulfil the request (draft section 6.1)."""

ROUTE_PROTOCOL: Final = 0x6D
"""RTA_PROTOCOL, FRA_PROTOCOL and IFA_PROTO of everything that we put into a kernel."""

ENTERPRISE_NUMBER: Final = 32473
"""Enterprise number of our DHCPv6 vendor option; the example number of RFC 5612 until then."""

ND_OPTION_ON_DEMAND: Final = 253
"""Neighbor Discovery option that announces the service; experimental type of RFC 4727."""

HOST_TABLE: Final = 10_900
"""The host's routing table for typed prefixes; the number of its one rule's priority, too."""

ROUTER_DOWN_TABLE: Final = 10_901
"""The access router's table of the prefixes that are attached to it (behind the *down* SID)."""

ROUTER_LINK_TABLE_BASE: Final = 11_000
"""Table of source routes for an access link: this number plus the link's position in the file."""

ROUTER_METRIC: Final = ROUTE_PROTOCOL
"""Metric of all the access router's routes, some of which are in the main table: what is nobody
else's default, since a route takes the place of one with its destination, table and metric."""
