"""What LibreOffice reads in a file."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.missing import missing

ENGLISH, GERMAN = 1033, 1031


def in_libreoffice(file: Path, folder: Path, *, language: int = ENGLISH) -> list[list[str]]:
    """The rows of a workbook or CSV file as LibreOffice shows them; of CSV it reads dates, times and truths, too."""
    program = shutil.which("soffice")
    if program is None:
        missing("This test needs LibreOffice on the PATH (Debian: apt install libreoffice-calc-nogui).")
    # separated by commas, in UTF-8
    form = f"44,34,76,1,,{language}"
    subprocess.run(
        [
            program, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless",
            *([f"--infilter=CSV:{form},false,true"] if file.suffix == ".csv" else []),
            "--convert-to", f"csv:Text - txt - csv (StarCalc):{form}",
            "--outdir", str(folder / "shown"), str(file),
        ],
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        check=True,
        capture_output=True,
    )  # fmt: skip
    with (folder / "shown" / f"{file.stem}.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.reader(text))
