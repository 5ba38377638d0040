"""BPF programs on the sockets of control groups, by the system's libbpf.

Optional: who wants them does without where `load` raises `Unavailable`, which says what is missing.
"""

from __future__ import annotations

from moorage.kernel.bpf.errors import Unavailable
from moorage.kernel.bpf.objects import KernelMap, KernelObject, Map, Object, Ring, load

__all__ = ["KernelMap", "KernelObject", "Map", "Object", "Ring", "Unavailable", "load"]
