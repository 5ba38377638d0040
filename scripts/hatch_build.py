"""Builds the C parts that the Python package takes along, where there are compilers for them.

Hatchling runs it for every installation from source. Without make or a compiler the package is
whole but for what needs those parts, which then say so.
"""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PARTS = Path("src", "moorage", "_native")


class NativeParts(BuildHookInterface[Any]):
    """Runs ``make package`` in native/ and takes what came of it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the parts before the files of the wheel are collected."""
        root = Path(self.root)
        try:
            subprocess.run(
                ["make", "--keep-going", "-C", str(root / "native"), "package"],
                check=True,
                capture_output=True,
                text=True,
            )
        except FileNotFoundError:
            self.app.display_warning("without its C parts: make is not there")
        except subprocess.CalledProcessError as error:
            self.app.display_warning(f"without some of its C parts:\n{error.stderr}")
        if any((root / _PARTS).glob("*")):
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
            build_data["artifacts"].append(f"/{_PARTS}/*")
