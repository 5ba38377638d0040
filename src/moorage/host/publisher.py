"""Dynamic updates of DNS (RFC 2136) that are signed with a TSIG key (RFC 8945)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from importlib.util import find_spec
from ipaddress import IPv6Address
from typing import Final

from moorage.config import ConfigError
from moorage.host.naming import DnsConfig

_PATIENCE: Final = 10.0
"""Seconds for one exchange."""


class DnsError(Exception):
    """The name was not changed; the text says why."""


class Publisher:
    """Lets the host's name have its addresses, one update after the other.

    Args:
        config: where.
        done: told the addresses of an update that has ended, and why it failed, if it did.

    Raises:
        ConfigError: something is to be published, and dnspython is not installed.
    """

    def __init__(
        self, config: DnsConfig, done: Callable[[frozenset[IPv6Address], str], None]
    ) -> None:
        if config.zone and find_spec("dns") is None:
            raise ConfigError("dns: the package dnspython is missing: pip install moorage[dns]")
        self._config = config
        self._done = done
        self._task: asyncio.Task[None] | None = None

    def start(self, addresses: frozenset[IPv6Address]) -> None:
        """Begin an update; the one before must have ended."""
        self._task = asyncio.get_running_loop().create_task(self._run(addresses))

    def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, addresses: frozenset[IPv6Address]) -> None:
        try:
            await update(self._config, addresses)
        except DnsError as error:
            self._done(addresses, str(error))
        else:
            self._done(addresses, "")


async def update(config: DnsConfig, addresses: Collection[IPv6Address]) -> None:
    """Let the host's name have these addresses, and no others.

    Raises:
        DnsError: the key cannot be read, the server does not answer, or it refuses.
    """
    # Most hosts publish nothing, and need not load this.
    import dns.asyncquery
    import dns.exception
    import dns.name
    import dns.rcode
    import dns.tsigkeyring
    import dns.update

    try:
        secret = config.key_path.read_text(encoding="ascii").strip()
        message = dns.update.UpdateMessage(
            config.zone,
            keyring=dns.tsigkeyring.from_text({config.key_name: secret}),
            keyalgorithm=dns.name.from_text(config.algorithm.value),
        )
        name = dns.name.from_text(config.name)
        message.delete(name, "AAAA")
        for address in addresses:
            message.add(name, config.ttl, "AAAA", str(address))
        answer = await dns.asyncquery.tcp(message, config.server, _PATIENCE, port=config.port)
    except (OSError, ValueError, EOFError, dns.exception.DNSException) as error:
        raise DnsError(str(error) or type(error).__name__) from None
    if answer.rcode() != dns.rcode.NOERROR:
        raise DnsError(f"the server says {dns.rcode.to_text(answer.rcode())}")
