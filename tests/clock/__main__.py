"""Runs the tests marked `clock` at each of MOMENTS, or at the named ones; arguments after `--` go to pytest."""

import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

from tests.clock.moved import run_at

# the portal is in Berlin; tests that begin at 23:59 run over midnight
MOMENTS = {
    "before midnight": "2027-06-14T23:59:00+02:00",
    "after midnight": "2027-06-15T00:01:00+02:00",
    "before midnight of UTC": "2027-01-14T23:59:00Z",
    "after midnight of UTC": "2027-01-15T00:01:00Z",
    # in Berlin it is already the next day, month or year
    "23:30 of UTC": "2026-12-03T23:30:00Z",
    "23:30 of UTC, August 31": "2027-08-31T23:30:00Z",
    "23:30 of UTC, December 31": "2027-12-31T23:30:00Z",
    "December 31": "2026-12-31T23:59:00+01:00",
    "January 1": "2027-01-01T00:01:00+01:00",
    "February 29": "2028-02-29T12:00:00+01:00",
    "March 1 after it": "2028-03-01T00:01:00+01:00",
    # the month before had no such day
    "March 30": "2027-03-30T00:10:00+02:00",
    "May 31": "2027-05-31T23:50:00+02:00",
    "April 30": "2027-04-30T23:59:00+02:00",
    "May 1": "2027-05-01T00:01:00+02:00",
    # a minute before the hour from two to three that is skipped
    "summer time begins": "2027-03-28T01:59:00+01:00",
    # within the hour from two to three that occurs twice
    "summer time ends": "2027-10-31T02:30:00+02:00",
    "winter time has begun": "2027-10-31T02:30:00+01:00",
    # the UTC offset was different five days ago, or fifty
    "3 days later": "2027-11-03T23:30:00+01:00",
    "50 days later": "2026-12-14T12:00:00+01:00",
}


def run(moment: str, options: list[str]) -> tuple[int, list[str], bool]:
    """Runs the tests at a moment. Returns how many ran, the names of those that failed, and whether all passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "clock", f"--junitxml={report}", *options]
        good = run_at(datetime.fromisoformat(moment), *command) == 0
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    ran = sum(case.find("skipped") is None for case in cases)
    return ran, failed, good and ran > 0


def main() -> None:
    """Prints a line for each moment; the exit code is 1 if a test failed, or none ran."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    names, options = arguments[:end] or list(MOMENTS), arguments[end + 1 :]
    if unknown := [name for name in names if name not in MOMENTS]:
        sys.exit(f"There is no moment {unknown[0]!r}, but: {', '.join(MOMENTS)}.")
    lines, all_good = [], True
    for name in names:
        print(f"\n{name}: {MOMENTS[name]}", flush=True)  # noqa: T201
        began = time.monotonic()
        number, failed, good = run(MOMENTS[name], options)
        all_good = all_good and good
        took = time.monotonic() - began
        lines.append(f"{name:26} {MOMENTS[name]:26} {number:5} tests {len(failed):4} failed {took:5.0f} s")
        lines += [f"    {test}" for test in failed]
    print("", *lines, sep="\n")  # noqa: T201
    sys.exit(not all_good)


if __name__ == "__main__":
    main()
