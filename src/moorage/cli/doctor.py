"""``moorage doctor``: what this machine can do for us, each thing tried once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
import msgspec

from moorage import config as configuration
from moorage.cli._inside import print_json
from moorage.doctor import core
from moorage.doctor.check import Check, Finding, Outcome, User, carry_out
from moorage.doctor.features import CHECKS
from moorage.router.config import RouterConfig

_ROUTER_CONFIG = Path("/etc/moorage/router.toml")
_MARKS = {
    Outcome.PASSED: click.style("✓", fg="green"),
    Outcome.MISSING: click.style("✗", fg="red", bold=True),
    Outcome.NOT_TRIED: click.style("?", fg="yellow"),
}


@click.command()
@click.argument(
    "parts",
    nargs=-1,
    type=click.Choice([user.value for user in User]),
    metavar="[host] [router] [lab]",
)
@click.option(
    "--router-config",
    type=click.Path(path_type=Path),
    help=f"Of this router, to try its core with.  [default: {_ROUTER_CONFIG}, if it is there]",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for other programs.")
@click.pass_context
def doctor(
    context: click.Context, parts: Sequence[str], router_config: Path | None, as_json: bool
) -> None:
    """Try everything that is needed of this machine.

    Each feature of the kernel is used once, in a network namespace that is thrown away, so no
    daemon has to run and nothing is changed. As root more can be tried. Ends with status 1 if
    something is missing without which the host, the router or the lab does not work at all.
    """
    users = frozenset(User(part) for part in parts) or frozenset(User)
    wanted = (check for check in chain(CHECKS, _core_checks(router_config)) if check.users & users)
    findings = []
    for finding in carry_out(wanted):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json(msgspec.json.encode(findings))
    else:
        click.echo(_summary(findings, users))
    if any(_hopeless(finding) for finding in findings):
        context.exit(1)


def _core_checks(path: Path | None) -> Iterator[Check]:
    if path is None and not _ROUTER_CONFIG.exists():
        return
    yield from core.checks(configuration.load(path or _ROUTER_CONFIG, RouterConfig))


def _print(finding: Finding) -> None:
    detail = f": {finding.detail}" if finding.detail else ""
    if finding.outcome is Outcome.PASSED:
        click.echo(f"{_MARKS[finding.outcome]} {finding.name}{detail}")
        return
    what = "" if finding.outcome is Outcome.MISSING else f" ({finding.outcome})"
    click.echo(f"{_MARKS[finding.outcome]} {finding.name}{what}{detail}")
    for user in finding.users:
        click.echo(f"    {user}, without it: {finding.lost}")


def _hopeless(finding: Finding) -> bool:
    return finding.needed and finding.outcome is Outcome.MISSING


def _summary(findings: Sequence[Finding], users: Collection[User]) -> str:
    lines = []
    for user in sorted(users):
        own = [finding for finding in findings if user in finding.users]
        if not own:
            continue
        missing = [finding for finding in own if finding.outcome is Outcome.MISSING]
        unknown = [finding for finding in own if finding.outcome is Outcome.NOT_TRIED]
        if any(_hopeless(finding) for finding in own):
            verdict = "does not work on this machine"
        elif missing:
            verdict = "works, with less than it could have"
        elif unknown:
            verdict = f"may work; {len(unknown)} of {len(own)} could not be tried, root can"
        else:
            verdict = f"works: {len(own)} of {len(own)}"
        lines.append(f"{user}: {verdict}")
    return "\n".join(["", *lines])
