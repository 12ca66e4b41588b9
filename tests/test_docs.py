"""What the documentation names exists, and what is named of the documentation exists in it."""

import re

import psycopg

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


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    names = sorted(set(re.findall(r"`((?:tests|supabase)/[^`]*)`", SECURITY)))
    assert len(names) > 50
    assert [name for name in names if not exists(name)] == []


def exists(name: str) -> bool:
    """Returns whether a file, and a test in it, exist."""
    file, _, test = name.partition("::")
    return (ROOT / file).exists() and (
        not test or bool(re.search(rf"^(async )?(def|class) {test}\b", (ROOT / file).read_text(), re.MULTILINE))
    )


def test_every_promise_names_a_test() -> None:
    promises = SECURITY.partition("## What is promised")[2].partition("## What is not promised")[0]
    paragraphs = re.split(r"\n\n(?=\*\*)", promises.strip())
    assert len(paragraphs) > 10
    assert [paragraph for paragraph in paragraphs if "(`tests/" not in paragraph] == []


def test_every_link_leads_to_a_file() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())]
    assert [(page, link) for page, link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_path_exists() -> None:
    pattern = r"`((?:api|docs|sql|supabase|tests)/[\w./-]+)`"
    paths = [(page, path) for page in PAGES for path in re.findall(pattern, page.read_text())]
    assert [(page, path) for page, path in paths if not (ROOT / path).exists()] == []


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
