"""Measures the API beside what it is made of, in one run on one machine (docs/performance.md).

python -m tests.bench                    the tables; BENCH_OUT, BENCH_SECONDS and BENCH_SIZE as in docs/performance.md
python -m tests.bench compare A B        two files of BENCH_OUT beside each other
python -m tests.bench imports [NUMBER]   an import of so many bookings, one million by default
"""

import os
import sys
from pathlib import Path

from tests.bench import imports, report
from tests.bench.measure import measure
from tests.bench.world import LARGE, MEDIUM, SMALL


def main() -> None:
    """Runs what the arguments say."""
    match sys.argv[1:]:
        case []:
            sizes = [SMALL, MEDIUM] + ([LARGE] if os.environ.get("BENCH_SIZE") == "large" else [])
            run = measure(int(os.environ.get("BENCH_SECONDS") or 5), sizes)
            report.show(run)
            if out := os.environ.get("BENCH_OUT"):
                report.write(Path(out), run)
        case ["compare", first, second]:
            report.compare(Path(first), Path(second))
        case ["imports", *number]:
            imports.measure(int(number[0]) if number else 1_000_000)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
