"""``moorage why``: why a process or a socket has the address that it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

import click

from moorage.cli._inside import HOST, ask, looks_into, user_name
from moorage.cli._text import duration, one_line
from moorage.host.survey import endpoint
from moorage.host.view import AddressView
from moorage.host.why import AnswerView, RequestView, StepView, UseView, WhyView
from moorage.kernel.processes import Process
from moorage.management.client import Management


class _Subject(click.ParamType[dict[str, str]]):
    """A process, or a socket by its local address: as the query that asks for it."""

    name = "pid or address"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        if value.isdecimal():
            return {"pid": value}
        address, bracket, port = value.removeprefix("[").partition("]")
        try:
            query = {"address": str(IPv6Address(address))}
        except ValueError:
            self.fail(f"{value!r}; allowed: a process id, ADDRESS, or [ADDRESS]:PORT", param, ctx)
        if bracket and port:
            query["port"] = port.removeprefix(":")
        return query


@click.command()
@click.argument("subject", type=_Subject(), metavar="PID|ADDRESS|[ADDRESS]:PORT")
@looks_into(HOST)
def why(management: Management, as_json: bool, subject: dict[str, str]) -> None:
    """Say why a process, or a socket, has its address.

    Shows what was looked at when the address was asked for, in order, and what came of it. Of a
    process also what policy would say if it asked now. `moorage sockets` lists the sockets.
    """
    view = ask(management, "/why", WhyView, as_json=as_json, **subject)
    click.echo("\n\n".join(map("\n".join, _paragraphs(view))))


def _paragraphs(view: WhyView) -> Iterator[Iterator[str]]:
    if view.process is not None:
        yield _process(view.process, view)
    for use in view.uses:
        yield _use(use)
    for request in view.requests:
        yield _request(_forsaken(request), request)


def _process(process: Process, view: WhyView) -> Iterator[str]:
    yield f"process {process.pid} of {user_name(process.uid)}: {one_line(process.command)}"
    yield f"  may have {', '.join(view.permitted) or 'no type at all'}"
    yield "  if it asked now, and named no type:"
    yield from _steps(view.policy)


def _use(use: UseView) -> Iterator[str]:
    socket, request = use.socket, use.request
    yield f"{socket.protocol} {endpoint(socket.address, socket.port)}, {socket.state}"
    yield f"  {_described(use.address)}"
    if request is None:
        yield "  nobody asked the daemon: the program, or the kernel, chose the address"
        return
    who = f"process {request.pid} of {user_name(request.uid)}"
    if request.cgroup is not None:
        heading = f"  a rule gave such addresses to {request.cgroup} {duration(request.ago)} ago"
    elif request.cookie is None:
        heading = f"  {who} was run with such addresses by default {duration(request.ago)} ago"
    else:
        heading = f"  {who} asked for it {duration(request.ago)} ago"
    yield from _request(heading, request)


def _forsaken(request: RequestView) -> str:
    what = "no socket" if request.cookie is None else "a socket that is not, or no longer, on it"
    return f"asked {duration(request.ago)} ago for an address, for {what}"


def _described(address: AddressView) -> str:
    words = [f"address: {address.type}, {address.state}"]
    if address.reach:
        words.append(address.reach)
    if address.kept:
        words.append("kept by policy")
    words.append(f"valid for {duration(address.valid_for)}")
    return ", ".join(words)


def _request(heading: str, request: RequestView) -> Iterator[str]:
    yield heading
    yield from _steps(request.steps)
    yield _step("answer", _answer(request.answer))


def _answer(answer: AnswerView | None) -> str:
    if answer is None:
        return "none yet, or the program did not wait for it"
    return answer.error or f"{answer.address}, valid for {duration(answer.valid_for)}"


def _steps(steps: Iterable[StepView]) -> Iterator[str]:
    for step in steps:
        yield _step(step.about, step.found + " (refused)" * step.refused)


def _step(about: str, found: str) -> str:
    return f"    {about:8}  {found}"
