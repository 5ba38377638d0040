"""All that is Linux: netlink, routes, addresses, links, SRv6, sysctl; each part with its fake."""
