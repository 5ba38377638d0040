"""The smallest BPF program that the kernel takes for a hook on sockets of a control group."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_PROG_LOAD: Final = 5
_CGROUP_SOCKOPT: Final = 25
_SETSOCKOPT: Final = 22
_EXIT: Final = struct.Struct("=BBhi")
_ALLOW: Final = _EXIT.pack(0xB7, 0, 0, 1) + _EXIT.pack(0x95, 0, 0, 0)
"""r0 = 1; exit."""
_LICENSE: Final = b"GPL\0"
_ATTRIBUTES: Final = struct.Struct("=IIQQIIQII16sII")
"""union bpf_attr for BPF_PROG_LOAD, as far as expected_attach_type."""


def load_socket_hook() -> None:
    """Load the program and let it go.

    Raises:
        OSError: the kernel has no such hooks, or our rights do not suffice.
    """
    number = _SYS_BPF.get(os.uname().machine)
    if number is None:
        raise OSError(f"nobody has told how to call bpf() on {os.uname().machine}")
    code = ctypes.create_string_buffer(_ALLOW, len(_ALLOW))
    license_ = ctypes.create_string_buffer(_LICENSE, len(_LICENSE))
    attributes = _ATTRIBUTES.pack(
        _CGROUP_SOCKOPT,
        len(_ALLOW) // _EXIT.size,
        ctypes.addressof(code),
        ctypes.addressof(license_),
        0,
        0,
        0,
        0,
        0,
        b"",
        0,
        _SETSOCKOPT,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(number, _PROG_LOAD, attributes, len(attributes))
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    os.close(descriptor)
