"""The documents as a whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\(([^)#\s]+)")


def links(page: Path) -> set[Path]:
    """Return the files that a page leads to."""
    found = LINK.findall(page.read_text())
    return {(page.parent / target).resolve() for target in found if "://" not in target}


def test_the_index_leads_to_every_page() -> None:
    assert set(PAGES) - links(DOCS / "index.md") == {DOCS / "index.md"}


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES])
def test_no_link_leads_nowhere(page: Path) -> None:
    assert {target for target in links(page) if not target.exists()} == set()
