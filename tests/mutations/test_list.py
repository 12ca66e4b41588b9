"""The list of mutations fits the code: each text occurs once, and each test exists."""

import re

import pytest

from tests.mutations.run import ROOT, Mutation, load

MUTATIONS = load()


@pytest.mark.parametrize("mutation", [pytest.param(mutation, id=mutation.rule) for mutation in MUTATIONS])
def test_the_text_of_a_mutation_occurs_once(mutation: Mutation) -> None:
    assert mutation.path(ROOT).read_text().count(mutation.find) == 1
    assert mutation.find != mutation.replace


@pytest.mark.parametrize("test", sorted({test for mutation in MUTATIONS for test in mutation.tests}))
def test_the_tests_of_a_mutation_exist(test: str) -> None:
    parts = re.fullmatch(r"(?P<file>[\w/]+\.py)(::(?P<name>\w+)(\[(?P<case>.+)\])?)?", test)
    assert parts
    assert f"def {parts['name'] or 'test_'}" in (ROOT / parts["file"]).read_text()
    if parts["name"] == "test_pgtap":
        assert (ROOT / "supabase" / "tests" / parts["case"]).exists()


def test_each_rule_has_one_mutation() -> None:
    rules = [mutation.rule for mutation in MUTATIONS]
    assert len(rules) == len(set(rules))
