"""The runtime dependencies in pyproject.toml, extras included, are those that the modules of the wheel import."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

from api.settings import ROOT

# what an extra of a dependency brings, what only works with one version of a dependency, and what shares its namespace
PARTS = {"cryptography": "pyjwt", "psycopg-pool": "psycopg", "pydantic-core": "pydantic"} | {
    f"opentelemetry-{part}": "opentelemetry-sdk"
    for part in (
        "api", "exporter-http-transport", "exporter-otlp-common", "exporter-otlp-proto-common", "proto",
        "semantic-conventions",
    )
}  # fmt: skip


def test_runtime_dependencies_are_those_that_api_imports() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = configuration["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    declared = {_normalized(requirement) for requirement in [*project["dependencies"], *extras]}
    left_out = configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["exclude"]
    in_wheel = set((ROOT / "api").rglob("*.py")) - {ROOT / path for path in left_out}
    distributions = packages_distributions()
    imported = {
        PARTS.get(distribution, distribution)
        for module in _imported_modules(in_wheel)
        for distribution in map(_normalized, distributions.get(module, []))
    }
    assert declared == imported


def _imported_modules(paths: Iterable[Path]) -> set[str]:
    """The modules that these files import, also in a text that is run as a program of its own."""
    names: set[str] = set()
    for path in paths:
        for part in ast.walk(ast.parse(path.read_text())):
            match part:
                case ast.Import():
                    names |= {alias.name for alias in part.names}
                case ast.ImportFrom(module=str() as module):
                    names.add(module)
                case ast.Constant(value=str() as text) if text.startswith("import "):
                    names |= set(re.findall(r"\w+", text.partition(";")[0]))
    modules = {name.partition(".")[0] for name in names}
    return modules - sys.stdlib_module_names - {"api"}


def _normalized(requirement: str) -> str:
    """The name of a distribution, as PyPI compares names, without version and extras."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()
