"""Mobility in network namespaces on one machine: topologies, moves, traffic, scenarios."""
