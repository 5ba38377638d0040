"""``moorage store``: how the binding store is, and how the commands for it find it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from moorage import config as configuration
from moorage.router.config import RouterConfig
from moorage.service import ServiceType
from moorage.store import open_store
from moorage.store.migrate import Migration, NotEmpty, differences
from moorage.store.model import Anchor, BindingState
from moorage.store.protocol import BindingStore, Conflict, Hold, Snapshot, StoreError

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

_DEFAULT_CONFIG: Final = Path("/etc/moorage/router.toml")


def store_options(command: Command) -> Command:
    """Give a command the options that name a store; those of a group hold for its commands."""
    with_config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        help=f"The router's configuration, which names the store.  [default: {_DEFAULT_CONFIG}]",
        expose_value=False,
        callback=_remember,
    )
    with_store = click.option(
        "--store",
        metavar="URL",
        help="The store itself, as sqlite:PATH, or etcd:PATH with a cluster's configuration.",
        expose_value=False,
        callback=_remember,
    )
    return with_config(with_store(command))


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    if value is not None:
        context.meta[f"{__name__}.{option.name}"] = value


def use(work: Callable[[BindingStore], Coroutine[Any, Any, T]], *, create: bool = False) -> T:
    """Return what ``work`` makes of the store that the options name.

    Raises:
        click.ClickException: there is no such store, unless ``create`` is set, or it failed.
        ConfigError: the configuration, which would name the store, cannot be used.
    """
    meta = click.get_current_context().meta
    url = meta.get(f"{__name__}.store")
    if url is None:
        url = configuration.load(_config(meta.get(f"{__name__}.config")), RouterConfig).store

    async def run() -> T:
        async with _opened(url, create=create) as store:
            return await work(store)

    return _run(run())


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (StoreError, Conflict) as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _opened(url: str, *, create: bool = False) -> AsyncIterator[BindingStore]:
    if url == "memory:":
        raise click.ClickException("memory: is a store inside the router, which nobody else reads")
    store = open_store(url, create=create)
    try:
        yield store
    finally:
        await store.close()


def _config(named: Path | None) -> Path:
    if named is None and not _DEFAULT_CONFIG.exists():
        raise configuration.ConfigError(
            f"{_DEFAULT_CONFIG}: no such file; name the store by --config FILE or --store URL"
        )
    return named or _DEFAULT_CONFIG


@click.group()
def store() -> None:
    """The binding store: who holds which prefix, who anchors it, who serves it."""


@store.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@store_options
def status(as_json: bool) -> None:
    """Show how much is in the store and whether it is sound."""

    async def look(store: BindingStore) -> dict[str, Any]:
        return {**_content(await store.snapshot()), "engine": await store.describe()}

    found = use(look)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    lines = [(name, value) for name, value in _flat(found) if value != 0 or isinstance(value, bool)]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:{width}}  {value}")


@store.command("hand-over")
@click.argument("router")
@click.option("--to", "holder", help="The router that is to hold it.  [default: ROUTER itself]")
@store_options
def hand_over(router: str, holder: str | None) -> None:
    """Let another router hold the pool that is configured to ROUTER, or ROUTER itself again.

    It must be there. A router that holds the pool for another one gives it back by itself, unless
    its configuration says otherwise.
    """
    heir = holder or router

    async def change(store: BindingStore) -> Anchor:
        snapshot = await store.snapshot()
        if heir not in snapshot.present:
            present = ", ".join(sorted(snapshot.present)) or "none"
            raise click.ClickException(f"{heir}: no router that is there; there are: {present}")
        anchors = {anchor.id: anchor for anchor in snapshot.anchors}
        if router not in anchors:
            known = ", ".join(anchors) or "none"
            raise click.ClickException(f"{router}: has no pool; those that have one: {known}")
        anchor = anchors[router]
        if anchor.holder == heir:
            return anchor
        changed = replace(anchor, holder=heir, epoch=anchor.epoch + 1)
        await store.hold(Hold(changed, anchor.epoch))
        return changed

    anchor = use(change)
    click.echo(f"{anchor.pool} of {anchor.id} is held by {anchor.holder}")


@store.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--follow", is_flag=True, help="Go on with what happens in SOURCE, until Ctrl-C or SIGTERM."
)
def migrate(source: str, target: str, follow: bool) -> None:
    """Copy everything from the store SOURCE to TARGET, which is empty, and compare them.

    Both are URLs: sqlite:PATH, or etcd:PATH with a cluster's configuration.
    """

    async def run() -> list[str]:
        async with _opened(source) as first, _opened(target, create=True) as second:
            migration = Migration(first, second)
            await migration.begin()
            if follow:
                await _until_told(migration.follow())
            copied = await migration.converge()
            click.echo(_amount(copied))
            return differences(await first.snapshot(), await second.snapshot())

    try:
        _report(_run(run()))
    except NotEmpty:
        raise click.ClickException(f"{target}: is not empty") from None


@store.command()
@click.argument("first")
@click.argument("second")
def compare(first: str, second: str) -> None:
    """Show what two stores do not have alike; exit status 1 if there is anything.

    Both are URLs: sqlite:PATH, or etcd:PATH with a cluster's configuration.
    """

    async def run() -> list[str]:
        async with _opened(first) as one, _opened(second) as other:
            return differences(await one.snapshot(), await other.snapshot())

    _report(_run(run()))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Do some work until SIGINT or SIGTERM."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()
    working.cancel()
    await asyncio.wait((working,))


def _amount(snapshot: Snapshot) -> str:
    return (
        f"revision {snapshot.revision}: {len(snapshot.bindings)} bindings,"
        f" {len(snapshot.anchors)} anchors and {len(snapshot.routers)} routers copied"
    )


def _report(found: Sequence[str]) -> None:
    """Show what differs; raise ClickException if anything does."""
    for line in found:
        click.echo(line)
    if found:
        raise click.ClickException(f"{len(found)} differences")
    click.echo("no differences")


def _content(snapshot: Snapshot) -> dict[str, Any]:
    """Count what is stored, and say which routers are there and what they hold."""
    count = Counter((binding.type, binding.state) for binding in snapshot.bindings)
    return {
        "revision": snapshot.revision,
        "routers": {
            router.id: {"present": router.id in snapshot.present, "lease": router.lease}
            for router in snapshot.routers
        },
        "anchors": {
            anchor.id: {
                "pool": str(anchor.pool),
                "holder": anchor.holder,
                "epoch": anchor.epoch,
            }
            for anchor in snapshot.anchors
        },
        "bindings": {
            kind.slug: {state.value: count[kind, state] for state in BindingState}
            for kind in ServiceType
        },
    }


def _flat(found: dict[str, Any], above: str = "") -> list[tuple[str, object]]:
    """Return nested values with the names that lead to them."""
    lines: list[tuple[str, object]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{above}{name} ")
        else:
            lines.append((f"{above}{name}", value))
    return lines
