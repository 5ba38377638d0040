"""Where BPF programs are attached, and what is said where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.kernel.bpf import Unavailable, cgroup, load

V1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    return tmp_path / "mounts"


def test_the_unified_hierarchy_is_found(mounts: Path) -> None:
    mounts.write_text(f"{V1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n")
    assert cgroup.root(mounts) == Path("/sys/fs/cgroup/unified")


def test_a_path_with_a_space(mounts: Path) -> None:
    mounts.write_text("none /odd\\040place\\134 cgroup2 rw 0 0\n")
    assert cgroup.root(mounts) == Path("/odd place\\")


def test_without_the_unified_hierarchy(mounts: Path) -> None:
    mounts.write_text(V1)
    with pytest.raises(Unavailable, match="no cgroup v2 is mounted"):
        cgroup.root(mounts)


def test_an_object_that_the_package_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"absent.bpf.o is not in the package|libbpf"):
        load("absent", group=tmp_path)
