"""What the router daemon shows to those who look inside: resources, events and metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network

from prometheus_client.metrics_core import Metric

from moorage.management.event import Event
from moorage.management.journal import Journal
from moorage.management.metrics import new_registry
from moorage.management.server import BadQuery, ManagementServer, NotFound, Query
from moorage.router import metrics, view
from moorage.router.account import Account
from moorage.router.announcer import Announcer
from moorage.router.config import RouterConfig
from moorage.router.forwarding import Forwarding
from moorage.router.mirror import Known, Mirror
from moorage.router.view import PathView, StatusView

_log = logging.getLogger("moorage.router")


class Inside:
    """The management interface of the router daemon.

    Args:
        config: the router.
        mirror: what is known of the store.
        forwarding: the kernel.
        dropped: what came that was of no use, by kind.
        served: the access links that are served.

    Attributes:
        account: where the daemon writes down what it does.
        announcer: tells the network of our pools, if the operator has said how.
    """

    def __init__(
        self,
        config: RouterConfig,
        mirror: Mirror,
        forwarding: Forwarding,
        dropped: Mapping[str, int],
        served: Container[str],
    ) -> None:
        self._config = config
        self._mirror = mirror
        self._forwarding = forwarding
        self._dropped = dropped
        self._served = served
        self._since = time.time()
        self.announcer: Announcer | None = None
        self._journal = Journal(config.management.events)
        self.account = Account(config.id, mirror.holder, self.tell, time.time)
        self._server = ManagementServer(
            config.management,
            self._journal,
            new_registry(self._look),
            {"/status": self._status, "/paths": self._paths},
        )

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the socket cannot be made.
            ConfigError: the group does not exist.
        """
        await self._server.start()

    async def close(self) -> None:
        """Hang up on everybody."""
        await self._server.close()

    def reconfigure(self, config: RouterConfig) -> None:
        """Show another configuration from now on."""
        self._config = config

    def tell(self, event: Event) -> None:
        """Log and remember what happened."""
        _log.info("%s", event)
        self._journal.append(event, time.time())

    def _look(self) -> Iterator[Metric]:
        return metrics.look(
            self._config,
            self._mirror,
            self.account,
            self._forwarding,
            self._dropped,
            self._served,
            self.announcer,
        )

    async def _status(self, query: Query) -> StatusView:
        return view.status(
            self._config,
            self._mirror,
            self.account,
            self._forwarding,
            self._dropped,
            self._served,
            self.announcer,
            self._since,
            time.time(),
        )

    async def _paths(self, query: Query) -> Iterator[PathView | None]:
        return (view.path(self._config, self._mirror, known) for known in self._wanted(query))

    def _wanted(self, query: Query) -> list[Known]:
        match dict(query):
            case {"prefix": text} if len(query) == 1:
                found = self._mirror.covering(_address(text))
                if found is None:
                    raise NotFound(f"nobody has {text}")
                return [found]
            case {"host": text} if len(query) == 1:
                prefixes = self._mirror.holdings.of_client(_duid(text))
                if not prefixes:
                    raise NotFound(f"no host {text} has a prefix")
                return [known for each in prefixes if (known := self._mirror.get(each))]
            case {} if not query:
                return list(self._mirror.known())
            case _:
                raise BadQuery("allowed: nothing, prefix=PREFIX, or host=DUID")


def _address(text: str) -> IPv6Address:
    """Return an address, or the first one of a prefix."""
    try:
        return IPv6Network(text, strict=False).network_address
    except ValueError:
        raise BadQuery(f"{text}: allowed: a prefix or an address") from None


def _duid(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", ""))
    except ValueError:
        raise BadQuery(f"{text}: allowed: a DUID in hexadecimal") from None
