"""`moorage doctor` on the real kernel: as root, as nobody, and where the core is too narrow."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from moorage.doctor.check import Finding, Outcome, carry_out
from moorage.doctor.features import CHECKS
from moorage.lab.lab import Lab
from tests.lab.inside import moorage, moorage_json

pytestmark = pytest.mark.netns

CONFIG = ("router", "--router-config", "/run/moorage/router.toml")


@pytest.fixture(scope="module")
def domain() -> Iterator[Lab]:
    with Lab.start("two-routers") as lab:
        lab.start_daemons()
        yield lab


def test_everything_is_tried_where_a_lab_can_run(mark: str) -> None:
    outcomes = {finding.name: finding for finding in carry_out(CHECKS)}
    assert len(outcomes) == len(CHECKS)
    needed = [finding for finding in outcomes.values() if finding.needed]
    assert [finding for finding in needed if finding.outcome is not Outcome.PASSED] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's identity")
def test_an_ordinary_user_hears_what_could_not_be_tried(mark: str) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writer, msgspec.json.encode(list(carry_out(CHECKS))))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as result:
        findings = msgspec.json.decode(result.read(), type=list[Finding])
    os.waitpid(child, 0)
    assert len(findings) == len(CHECKS)
    # Some of it takes root of the whole machine; nothing of the kernel's is missing all the same.
    assert all(finding.outcome is not Outcome.MISSING for finding in findings)
    assert any(finding.outcome is Outcome.NOT_TRIED for finding in findings)


def test_a_core_that_carries_full_size_packets_passes(domain: Lab) -> None:
    findings = {x["name"]: x for x in moorage_json(domain.node("ar1"), "doctor", *CONFIG)}
    between = findings["full-size packets between the routers"]
    assert (between["outcome"], between["detail"]) == ("passed", "ar2")
    assert findings["MTU of the configured interfaces"]["detail"] == "core0 1600, acc0 1500"


def test_a_core_that_is_too_narrow_somewhere_is_found(domain: Lab) -> None:
    core = domain.node("core")
    [far] = [
        line.split()[1].partition("@")[0]
        for line in core.run(["ip", "-o", "link"]).stdout.splitlines()
        if "ar2" in line
    ]
    core.run(["ip", "link", "set", far, "mtu", "1500"])
    try:
        text = moorage(domain.node("ar1"), "doctor", *CONFIG, status=1)
        assert "no answer to 1600 bytes from ar2" in text
    finally:
        core.run(["ip", "link", "set", far, "mtu", "1600"])


def test_an_interface_that_is_too_narrow_is_found(domain: Lab) -> None:
    router = domain.node("ar1")
    router.run(["ip", "link", "set", "acc0", "mtu", "1400"])
    try:
        text = moorage(router, "doctor", *CONFIG, status=1)
        assert "acc0 carries 1400 bytes, the configuration says 1500" in text
        assert "router: does not work on this machine" in text
    finally:
        router.run(["ip", "link", "set", "acc0", "mtu", "1500"])
