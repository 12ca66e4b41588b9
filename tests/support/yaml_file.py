"""Read files of YAML."""

from pathlib import Path
from typing import Any

import yaml


def read_yaml(file: Path) -> Any:
    """Returns what a file holds; by the parser in C, because each process of the tests reads all files."""
    return yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
