"""The stored documents of a bucket."""

import json
from pathlib import Path

import pytest

from tests.cli.running import run
from tests.imports.conftest import Take
from tests.imports.legacy import write

URLS = [
    "contracts/ct-1/Vertrag.pdf",
    "contracts/ct-2/gr%C3%BC%C3%9Fe.pdf",
    "contracts/ct-3/x.pdf",
    "contracts/ct-4/y.pdf",
]


@pytest.mark.usefixtures("connection")
def test_documents_are_stored_if_they_have_their_hash(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    more = [("contracts", {"id": url.split("/")[1], "storage_url": url}) for url in URLS[1:]]
    outside = ("contracts", {"id": "ct-5", "storage_url": "contracts/../secret"})
    take(write(tmp_path / "d1.sqlite", *more, outside))
    bucket = tmp_path / "bucket" / "contracts"
    for name, content in {"ct-1/Vertrag.pdf": "abc", "ct-2/grüße.pdf": "abc", "ct-3/x.pdf": "abd"}.items():
        (bucket / name).parent.mkdir(parents=True)
        (bucket / name).write_text(content)
    (tmp_path / "secret").write_text("abc")

    expected = {"read": 5, "missing": ["contracts/../secret", URLS[3]], "differing": [URLS[2]]}
    for stored, folder in ((2, bucket.parent), (0, bucket)):
        result = run("import", "contracts", str(folder), "--json")
        report = json.loads(result.stdout)
        report["missing"].sort()
        assert report == expected | {"stored": stored, "alreadyThere": 2 - stored}
        assert result.exit_code == 3
    assert (tmp_path / "data" / URLS[0]).read_text() == "abc"
    assert sum(path.is_file() for path in (tmp_path / "data").rglob("*")) == 2
    (bucket / "ct-3" / "x.pdf").write_text("abc")
    assert json.loads(run("import", "contracts", str(bucket), "--json").stdout)["stored"] == 1
