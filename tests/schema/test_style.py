"""The style of SQL that `make lint` cannot check, because sqruff sees the body of a function as one string."""

import re

from api.settings import ROOT

FILES = [
    file
    for pattern in ("sql/**/*.sql", "supabase/seed.sql", "supabase/snippets/*.sql", "supabase/tests/**/*sql")
    for file in sorted(ROOT.glob(pattern))
]

KEYWORD = re.compile(
    r"\b(AND|AS|BEGIN|CASE|CREATE|DECLARE|DELETE|ELSE|END|EXISTS|FOR|FROM|GROUP|IF|IN|INSERT|INTO|IS|JOIN|LIMIT|LOOP|NOT|"
    r"NULL|ON|OR|ORDER|PERFORM|RAISE|RETURN|RETURNS|SELECT|SET|THEN|UNION|UPDATE|USING|VALUES|WHEN|WHERE|WITH)\b"
)
TEXT_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|--[^\n]*")


def code(sql: str) -> str:
    """SQL without its texts and comments; the bodies of functions stay."""
    return TEXT_OR_COMMENT.sub("''", sql)


def test_lines_are_short_and_without_trailing_spaces_or_tabs() -> None:
    assert [
        (str(file.relative_to(ROOT)), number)
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if len(line) > 120 or line != line.rstrip() or "\t" in line
    ] == []


def test_keywords_are_in_lower_case() -> None:
    found = {str(file.relative_to(ROOT)): KEYWORD.findall(code(file.read_text())) for file in FILES}
    assert {file: keywords for file, keywords in found.items() if keywords} == {}


def test_letters_of_a_function_do_not_depend_on_the_locale() -> None:
    # a constraint of a table gets the collation from its column (tests/schema/test_conventions.py)
    assert [
        (str(file.relative_to(ROOT)), line.strip())
        for file in ROOT.glob("sql/**/*.sql")
        if file.parent.name != "tables"
        for line in file.read_text().splitlines()
        if re.search(r"\b(upper|lower|initcap)\(|~\*|\bilike\b|\\[sSwWdDmM]|\[\[:", line) and 'collate "C"' not in line
    ] == []
