"""Break one rule at a time in a copy of the repository, and see whether the tests fail.

    make mutations                                           all of mutations.yaml
    .venv/bin/python -m tests.mutations.run settle fee       those whose rule or file contains one of the words

The exit code is 1 where a mutation survives, where its tests fail without it too, and where they cannot run with it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from tests.support.make_migration import schema_files
from tests.support.yaml_file import read_yaml

ROOT = Path(__file__).parents[2]
LINKED = (".venv", "tests/node/node_modules")
"""Folders that the copies share, because they are large and no mutation changes them."""

TIMEOUT_SECONDS = 600

console = Console(soft_wrap=True)


class Mutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change that breaks a rule, and the tests that must fail then."""

    rule: str
    file: str
    find: str
    replace: str
    tests: list[str]

    def path(self, root: Path) -> Path:
        """Returns the file under `root`; a file of `sql/` is named without its folder."""
        if not self.file.endswith(".sql"):
            return root / self.file
        [path] = (root / "sql").rglob(self.file)
        return path

    def apply(self, root: Path) -> None:
        """Changes the file under `root`. Raises ValueError where the text is not there exactly once."""
        path = self.path(root)
        text = path.read_text()
        if text.count(self.find) != 1:
            raise ValueError(f"{path.relative_to(root)} has {text.count(self.find)} times: {self.find}")
        path.write_text(text.replace(self.find, self.replace))


@dataclass(frozen=True)
class Outcome:
    """The result of a run of tests. `caught` is the test that failed; None where all passed, or could not even run."""

    passed: bool
    caught: str | None
    output: str
    seconds: float


def load() -> list[Mutation]:
    """Returns the mutations of mutations.yaml. Raises msgspec.ValidationError, as for `replace: false`, a boolean."""
    return msgspec.convert(read_yaml(Path(__file__).with_name("mutations.yaml")), list[Mutation])


@contextmanager
def copy_of_repository() -> Iterator[Path]:
    """Yields a copy of the repository's files, without what git ignores, and removes it afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        for name in LINKED:
            if (ROOT / name).exists():
                (copy / name).symlink_to(ROOT / name)
        yield copy


def write_migration(copy: Path) -> None:
    """Replaces the migrations of a copy by its files of `sql/`, because the migrations are what is applied."""
    folder = copy / "supabase" / "migrations"
    shutil.rmtree(folder)
    folder.mkdir()
    texts = [(copy / file.relative_to(ROOT)).read_text() for file in schema_files()]
    (folder / "20260101000000_schema.sql").write_text("\n".join(texts))


def run_tests(copy: Path, tests: Iterable[str], workers: int = 0) -> Outcome:
    """Runs tests in a copy until one fails."""
    started = time.monotonic()
    options = ["-x", "-q", "-rf", "-p", "no:cacheprovider", "-n", str(workers)]
    try:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *dict.fromkeys(tests)],
            cwd=copy,
            # the copy's `api`, not the one that is installed
            env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # what a test shows of bytes
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(False, None, f"no end after {TIMEOUT_SECONDS} s", TIMEOUT_SECONDS)
    failed = re.search(r"^FAILED (.+?)(?: - |$)", result.stdout, re.MULTILINE)
    output = result.stdout + result.stderr
    return Outcome(result.returncode == 0, failed and failed[1], output, time.monotonic() - started)


def try_mutation(mutation: Mutation) -> Outcome:
    """Runs the tests of a mutation in a copy with the mutation."""
    with copy_of_repository() as copy:
        mutation.apply(copy)
        if mutation.file.endswith(".sql"):
            write_migration(copy)
        return run_tests(copy, mutation.tests)


def try_all(mutations: Sequence[Mutation], workers: int) -> bool:
    """Tries the mutations and prints the outcomes. Returns True if all were caught."""
    caught = 0
    with ThreadPoolExecutor(workers) as executor:
        outcomes = executor.map(try_mutation, mutations)
        for mutation, outcome in zip(mutations, outcomes, strict=True):
            if outcome.caught:
                caught += 1
                line = f"[green]caught[/]   {mutation.rule} [dim]({outcome.seconds:.0f} s, {escape(outcome.caught)})[/]"
            elif outcome.passed:
                line = f"[red]SURVIVED[/] {mutation.rule} ({mutation.file}: {escape(mutation.replace)})"
            else:
                line = f"[red]CANNOT RUN[/] {mutation.rule}\n{escape(outcome.output[-3000:])}"
            console.print(line)
    console.print(f"{caught} of {len(mutations)} caught")
    return caught == len(mutations)


def main() -> None:
    """Reads the command line and runs the mutations."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutations whose rule or file contains one of these")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    words: list[str] = arguments.words
    mutations = [m for m in load() if not words or any(word in f"{m.rule} {m.file}" for word in words)]

    with copy_of_repository() as copy:
        unchanged = run_tests(copy, chain.from_iterable(mutation.tests for mutation in mutations), arguments.workers)
    if not unchanged.passed:
        console.print(escape(unchanged.output[-3000:]))
        sys.exit("The tests fail without any mutation.")
    sys.exit(0 if try_all(mutations, arguments.workers) else 1)


if __name__ == "__main__":
    main()
