"""The server answers as the legacy servers did, except for the deviations in deviations.yaml."""

import pytest

from tests.legacy.conftest import LegacyServers
from tests.legacy.replay import GENERATIONS, Scenario, load_deviations, load_scenarios, replay

SCENARIOS = load_scenarios()
DEVIATIONS = load_deviations(SCENARIOS)
CASES = [
    pytest.param(
        generation,
        scenario,
        id=f"gen{generation}-{scenario.name}",
        # it sends hundreds of requests
        marks=[pytest.mark.slow] if scenario.name.endswith("rate-limits") else [],
    )
    for generation in GENERATIONS
    for scenario in SCENARIOS
    if scenario.steps_of(generation)
]


@pytest.mark.parametrize(("generation", "scenario"), CASES)
def test_scenario_is_answered_as_recorded(legacy_servers: LegacyServers, generation: int, scenario: Scenario) -> None:
    failures = replay(scenario, generation, legacy_servers[generation], DEVIATIONS)
    if failures:
        count = f"{len(failures)} of {len(scenario.steps_of(generation))} steps"
        report = "\n\n".join(str(failure) for failure in failures)
        pytest.fail(f"{count} differ from generation {generation} in {scenario.name}\n\n{report}", pytrace=False)


def test_every_recorded_step_exists() -> None:
    steps = {generation: sum(len(s.steps_of(generation)) for s in SCENARIOS) for generation in GENERATIONS}
    assert steps == {1: 347, 2: 379}


def test_step_names_are_unique_in_their_scenario() -> None:
    for scenario in SCENARIOS:
        names = [step.name for step in scenario.steps]
        assert len(names) == len(set(names)), scenario.name
