"""What ``setsc()`` costs with the hooks in the kernel, and what they cost everybody else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_INET6, SOCK_STREAM, socket
from typing import Final

import moorage
from benchmarks import handoff, report
from benchmarks.figure import Figure
from moorage import ServiceType
from moorage.kernel.hooks import Hooks, Offer, Rights, load_hooks

_TOPOLOGY: Final = "two-routers"
_SERVICE: Final = ServiceType.SESSION_LASTING
_ROOT: Final = Path(__file__).parents[1]
_ROUNDS: Final = 200
_ROUNDS_OF_COST: Final = 20
_BLOCKS_OF_COST: Final = 30
_WARM_UP: Final = 10
_BLOCK: Final = 100
_LIFETIME: Final = 3600
_C_LIMIT: Final = 1.25
_PYTHON_LIMIT: Final = 1.4
_DAEMON_LIMIT_US: Final = 100.0
_COST_LIMIT: Final = 1.03

Block = Callable[[str], float]
"""Makes a block of calls of a kind; returns the microseconds that one has taken."""


def run() -> list[Figure]:
    """Measure C and Python in one lab, and then the hooks alone, each block beside its like."""
    with tempfile.TemporaryDirectory() as folder:
        program = _built(Path(folder))
        with handoff.daemons(_TOPOLOGY) as lab, ExitStack() as stack:
            host = lab.node(handoff.HOST)
            # One socket stays, so that addresses are neither taken into use nor out of it.
            user = stack.enter_context(host.socket(AF_INET6, SOCK_STREAM))
            moorage.setsc(user, _SERVICE, lifetime=_LIFETIME)
            address = moorage.setsc(user, _SERVICE)
            with _calling(host.popen, [str(program), str(address)]) as block:
                figures = _calls("C", block, _C_LIMIT)
            figures += host.call(_calls, "Python", _python(address), _PYTHON_LIMIT)
        with _calling(subprocess.Popen, [str(program), "::1"]) as block:
            for name, kind in (("TCP connect", "t"), ("UDP send", "u")):
                figures.append(_cost(name, block, kind, restricted=False, limit=_COST_LIMIT))
                figures.append(_cost(name, block, kind, restricted=True, limit=None))
    return figures


def _built(folder: Path) -> Path:
    native, program = _ROOT / "native", folder / "calls"
    library = folder / "libsetsc.a"
    make = ["make", "--silent", "-C", str(native), f"BUILD={folder}", str(library)]
    source = Path(__file__).with_name("calls.c")
    build = ["cc", "-O2", f"-I{native}", "-pthread", "-o", str(program), str(source), str(library)]
    for command in (make, build):
        subprocess.run(command, check=True)
    return program


@contextmanager
def _calling(start: Callable[..., subprocess.Popen[bytes]], argv: Sequence[str]) -> Iterator[Block]:
    # Inside of a node the daemon is where every application expects it.
    env = {key: value for key, value in os.environ.items() if key != "MOORAGE_SOCKET"}
    with start(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def block(kind: str) -> float:
            to.write(kind.encode())
            to.flush()
            return int(back.readline()) / 1000

        yield block
        to.close()


def _python(address: IPv6Address) -> Block:
    def use(kind: str) -> None:
        with socket(AF_INET6, SOCK_STREAM) as sock:
            source = text
            if kind == "s":
                source = str(moorage.setsc(sock, _SERVICE))
            elif kind == "d":
                source = str(moorage.setsc(sock, _SERVICE, lifetime=_LIFETIME))
            sock.bind((source, 0))

    def block(kind: str) -> float:
        begin = time.perf_counter()
        for _ in range(_BLOCK):
            use(kind)
        return (time.perf_counter() - begin) / _BLOCK * 1e6

    text = str(address)
    return block


def _calls(language: str, block: Block, limit: float) -> list[Figure]:
    """Each round is a block without ``setsc()``, one by the kernel and one by the daemon."""
    rounds = [[block(kind) for kind in "psd"] for _ in range(_ROUNDS + _WARM_UP)][_WARM_UP:]
    plain, kernel, daemon = map(tuple, zip(*rounds, strict=True))
    return [
        Figure(f"{language}: socket, setsc, bind, close", "us", kernel, "without setsc", plain),
        Figure(
            f"{language}: the same, ratio",
            "",
            tuple(k / p for k, p in zip(kernel, plain, strict=True)),
            limit=limit,
        ),
        Figure(
            f"{language}: by the daemon, beyond the calls without",
            "us",
            tuple(d - p for d, p in zip(daemon, plain, strict=True)),
            limit=_DAEMON_LIMIT_US,
        ),
    ]


def _cost(name: str, block: Block, kind: str, *, restricted: bool, limit: float | None) -> Figure:
    """Each round is some blocks without hooks, and as many with hooks that have things to do."""
    ratios = []
    for _ in range(_ROUNDS_OF_COST):
        without = _best(block, kind)
        with closing(load_hooks()) as hooks:
            _fill(hooks, restricted=restricted)
            ratios.append(_best(block, kind) / without)
    what = ", and a restricted address" if restricted else ""
    return Figure(f"{name} with hooks{what}, ratio", "", tuple(ratios), limit=limit)


def _best(block: Block, kind: str) -> float:
    """The best of some blocks: what other programs take away is not the hooks' cost."""
    block(kind)
    return min(block(kind) for _ in range(_BLOCKS_OF_COST))


def _fill(hooks: Hooks, *, restricted: bool) -> None:
    address, forever = IPv6Address("2001:db8::7"), float("inf")
    every = frozenset(ServiceType)
    hooks.allow(None, Rights(every, every - {ServiceType.FIXED}))
    hooks.allow(0, Rights(every, every))
    hooks.offer(_SERVICE, Offer(address, forever, forever, restricted=False, known=True))
    if restricted:
        hooks.restrict(address, ServiceType.FIXED)


if __name__ == "__main__":
    sys.exit(report.standalone(run))
