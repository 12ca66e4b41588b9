"""The list of mutations fits the code: each text occurs once, and each test exists."""

import re

from tests.mutations.run import ROOT, load

MUTATIONS = load()


def test_the_text_of_a_mutation_occurs_once() -> None:
    occurrences = {mutation.rule: mutation.path(ROOT).read_text().count(mutation.find) for mutation in MUTATIONS}
    assert {rule: number for rule, number in occurrences.items() if number != 1} == {}
    assert [mutation.rule for mutation in MUTATIONS if mutation.find == mutation.replace] == []


def test_the_tests_of_a_mutation_exist() -> None:
    assert [test for mutation in MUTATIONS for test in mutation.tests if not exists(test)] == []


def exists(test: str) -> bool:
    """Returns whether a file of tests, a test in it, and a file of pgTAP exist."""
    parts = re.fullmatch(r"(?P<file>[\w/]+\.py)(::(?P<name>\w+)(\[(?P<case>.+)\])?)?", test)
    assert parts, test
    if parts["name"] == "test_pgtap" and not (ROOT / "supabase" / "tests" / parts["case"]).exists():
        return False
    return f"def {parts['name'] or 'test_'}" in (ROOT / parts["file"]).read_text()


def test_each_rule_has_one_mutation() -> None:
    rules = [mutation.rule for mutation in MUTATIONS]
    assert len(rules) == len(set(rules))
