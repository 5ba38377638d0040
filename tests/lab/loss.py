"""A router whose DHCPv6 answers do not arrive."""

from __future__ import annotations

from typing import Final

from moorage.lab.lab import Node

_TABLE: Final = ("ip6", "loss")


def lose_answers(router: Node) -> None:
    """Let what the router answers from now on be lost."""
    router.run(["nft", "add", "table", *_TABLE])
    hook = "{ type filter hook output priority 0; }"
    router.run(["nft", "add", "chain", *_TABLE, "output", hook])
    router.run(["nft", "add", "rule", *_TABLE, "output", "udp", "sport", "547", "drop"])


def lose_no_more(router: Node) -> None:
    """Let it arrive again."""
    router.run(["nft", "delete", "table", *_TABLE])
