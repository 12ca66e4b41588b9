"""What the documentation names exists, and what is named of the documentation exists in it."""

import ast
import re
from pathlib import Path

import psycopg
import pytest

from api.settings import ROOT
from tests.support import database_page

SECURITY = (ROOT / "docs" / "security.md").read_text()
PAGES = [
    file for pattern in ("*.md", "docs/*.md", "tests/*.md", "tests/legacy/*.md") for file in sorted(ROOT.glob(pattern))
]
SOURCES = [
    file
    for folder in ("api", "sql", "supabase", "tests")
    for file in sorted((ROOT / folder).rglob("*"))
    if file.suffix in {".js", ".psql", ".py", ".sql", ".toml", ".yaml"} and "node_modules" not in file.parts
]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_exists(page: Path) -> None:
    paths = re.findall(r"`((?:api|docs|sql|supabase|tests)/[\w./-]+)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_reference_leads_to_a_section() -> None:
    # code and comments refer to a section as: docs/compatibility.md, "Vouchers"
    wrong = [
        f"{file.relative_to(ROOT)}: {page}, {title}"
        for file in SOURCES
        for page, title in re.findall(r'(docs/[a-z-]+[.]md), "([^"]+)"', file.read_text())
        if not re.search(rf"^#+ {re.escape(title)}$", (ROOT / page).read_text(), re.MULTILINE)
    ]
    assert wrong == []


def test_the_page_of_the_database_is_current(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert database_page.PAGE.read_text() == database_page.page(connection), "run: make docs"
