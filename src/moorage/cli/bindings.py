"""``moorage bindings``: who holds which prefix, and back-ups of that."""

from __future__ import annotations

import time
from ipaddress import IPv6Network
from typing import BinaryIO, Final

import click
import msgspec

from moorage.cli._text import duration, print_table
from moorage.cli.store import store_options, use
from moorage.service import ServiceType
from moorage.store.model import Anchor, Binding
from moorage.store.protocol import BindingStore, Snapshot
from moorage.store.records import Record, from_lines, to_line
from moorage.store.restore import Restored, restore

_HEADINGS: Final = ("PREFIX", "TYPE", "STATE", "ANCHOR", "SERVED AT", "HOST", "VALID")


def _to_prefix(context: click.Context, option: object, value: str | None) -> IPv6Network | None:
    try:
        return None if value is None else IPv6Network(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; allowed: a prefix or an address") from None


def _to_duid(context: click.Context, option: object, value: str | None) -> bytes | None:
    try:
        return None if value is None else bytes.fromhex(value.replace(":", ""))
    except ValueError:
        raise click.BadParameter(f"{value!r}; allowed: a DUID in hexadecimal") from None


@click.group(invoke_without_command=True)
@click.option("--host", callback=_to_duid, help="Only those of the client with this DUID.")
@click.option(
    "--prefix", callback=_to_prefix, help="Only those within, or around, a prefix or address."
)
@click.option(
    "--type", "kind", type=click.Choice([each.slug for each in ServiceType]), help="Only this type."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@store_options
@click.pass_context
def bindings(
    context: click.Context,
    host: bytes | None,
    prefix: IPv6Network | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Show who holds which prefix, who anchors it, and where the host is served."""
    if context.invoked_subcommand is not None:
        return
    found = [
        binding
        for binding in use(_all)
        if host in (None, binding.client)
        and (prefix is None or prefix.overlaps(binding.prefix))
        and kind in (None, binding.type.slug)
    ]
    if as_json:
        document = msgspec.json.encode([Record.of(each) for each in found], enc_hook=str)
        click.echo(msgspec.json.format(document))
        return
    now = time.time()
    print_table(_HEADINGS, [_row(binding, now) for binding in found])


async def _all(store: BindingStore) -> tuple[Binding, ...]:
    return (await store.snapshot()).bindings


def _row(binding: Binding, now: float) -> tuple[str, ...]:
    served = (binding.serving, binding.link, str(binding.next_hop))
    return (
        str(binding.prefix),
        binding.type.slug,
        binding.state.value,
        binding.anchor,
        "-" if binding.serving is None else " ".join(filter(None, served)),
        binding.client.hex(),
        duration(left) if (left := binding.valid_until - now) > 0 else "over",
    )


@bindings.command("export")
@click.argument("file", type=click.File("wb"), default="-")
@store_options
def export_bindings(file: BinaryIO) -> None:
    """Write all bindings, and who holds which pool, to FILE or standard output.

    One JSON object a line.
    """

    async def snapshot(store: BindingStore) -> Snapshot:
        return await store.snapshot()

    found = use(snapshot)
    content: list[Anchor | Binding] = [*found.anchors, *found.bindings]
    for each in content:
        file.write(to_line(each))


@bindings.command("import")
@click.argument("path", type=click.Path(exists=True, allow_dash=True), default="-", metavar="FILE")
@click.option("--overwrite", is_flag=True, help="Let FILE win over what is newer in the store.")
@store_options
def import_bindings(path: str, overwrite: bool) -> None:
    """Bring the bindings and anchors of FILE, as `export` writes them, into the store.

    A file with a wrong line is refused as a whole. What has changed since is kept as it is, so
    importing twice does no harm.
    """
    with click.open_file(path, "rb") as file:
        wanted = from_lines(file, path)

    async def bring(store: BindingStore) -> Restored:
        return await restore(store, wanted, path, overwrite=overwrite)

    done = use(bring, create=True)
    click.echo(
        f"{path}: {done.written} written, {done.present} already there,"
        f" {done.kept} kept as they are in the store"
    )
