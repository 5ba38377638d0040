"""Sends Reconfigure messages to the clients on a router's links, when somebody asks for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

from moorage.config import ConfigError
from moorage.router.config import RouterConfig
from moorage.router.mirror import Mirror
from moorage.router.reconfigure import (
    SHORTEST_SECRET,
    Reconfiguration,
    ReconfigureKeys,
    Target,
    reconfigure_message,
)
from moorage.wire.dhcp6 import MessageType

Send = Callable[[bytes, IPv6Address], None]
"""Sends a datagram to a client of one link; OSError if it cannot."""


def load_keys(secret: Path | None) -> ReconfigureKeys | None:
    """Return the keys that the secret in a file makes; without a file there are none.

    Raises:
        ConfigError: the file cannot be read, or is too short.
    """
    if secret is None:
        return None
    try:
        content = secret.read_bytes()
    except OSError as error:
        raise ConfigError(f"dhcp.secret: {secret}: {error.strerror}") from None
    if len(content) < SHORTEST_SECRET:
        raise ConfigError(f"dhcp.secret: {secret}: must have {SHORTEST_SECRET} bytes at least")
    return ReconfigureKeys(content)


class Reconfigurer:
    """Asks clients to come back: those that take it, on the links that are served.

    Args:
        config: the router.
        mirror: what is known of bindings.
        keys: the reconfigure keys; None: no client is asked.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        config: RouterConfig,
        mirror: Mirror,
        keys: ReconfigureKeys | None,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._mirror = mirror
        self._keys = keys
        self._clock = clock
        self._links: dict[str, Send] = {}
        self._under_way: list[tuple[Reconfiguration, asyncio.Event]] = []

    def attach(self, link: str, send: Send) -> None:
        """A link is served."""
        self._links[link] = send

    def detach(self, link: str) -> None:
        """It is no longer."""
        self._links.pop(link, None)

    def heard(self, client: bytes, kind: MessageType) -> None:
        """A client has sent a message of this type."""
        for reconfiguration, changed in self._under_way:
            if reconfiguration.heard(client, kind):
                changed.set()

    async def run(self, kind: MessageType = MessageType.RENEW) -> list[bytes]:
        """Ask every client for a message of type ``kind``; return those that did not answer.

        Each gets its answer when it asks: lifetimes and policy as they are configured by then.
        """
        if self._keys is None:
            return []
        reconfiguration = Reconfiguration(self._targets(), kind)
        changed = asyncio.Event()
        entry = reconfiguration, changed
        self._under_way.append(entry)
        try:
            while (due := reconfiguration.next_timer) is not None:
                now = self._clock()
                if due > now:
                    changed.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), due - now)
                for target in reconfiguration.due(self._clock()):
                    self._send(target, kind, self._keys)
        finally:
            self._under_way.remove(entry)
        return reconfiguration.silent

    def _targets(self) -> list[Target]:
        found: dict[bytes, Target] = {}
        for known in self._mirror.known():
            binding = known.binding
            here = binding.serving == self._config.id and binding.held and binding.reconfigurable
            if here and binding.link is not None and binding.next_hop is not None:
                found[binding.client] = Target(
                    binding.client, binding.key, binding.link, binding.next_hop
                )
        return list(found.values())

    def _send(self, target: Target, kind: MessageType, keys: ReconfigureKeys) -> None:
        send = self._links.get(target.link)
        if send is None:
            return
        key = keys.of(target.client, target.public_key)
        message = reconfigure_message(
            self._config.server_duid, target.client, kind, key, self._clock()
        )
        with contextlib.suppress(OSError):
            send(message, target.address)
