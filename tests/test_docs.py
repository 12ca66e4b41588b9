"""What the documentation names is there."""

import ast
import re
from pathlib import Path

import pytest

from api.settings import ROOT

SECURITY = (ROOT / "docs" / "security.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:tests|supabase)/[^`]*)`", SECURITY))))
def test_every_promise_is_held_by_a_test_that_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert (ROOT / file).exists()
    if test:
        functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if hasattr(node, "name")]
        assert test in functions


def test_every_promise_names_a_test() -> None:
    promises = SECURITY.partition("## What is promised")[2].partition("## What is not promised")[0]
    paragraphs = re.split(r"\n\n(?=\*\*)", promises.strip())
    assert len(paragraphs) > 10
    assert [paragraph for paragraph in paragraphs if "(`tests/" not in paragraph] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
