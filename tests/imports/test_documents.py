"""The stored documents of a bucket: a copy of it, or its URL."""

import asyncio
import json
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from api.errors import PortalError
from api.imports.documents import Folder
from tests.cli.running import run
from tests.imports.conftest import Take
from tests.imports.legacy import write
from tests.imports.servers import Reply, Route, site

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
    long = f"contracts/ct-5/{'x' * 300}"
    take(write(tmp_path / "d1.sqlite", *more, ("contracts", {"id": "ct-5", "storage_url": long})))
    bucket = tmp_path / "bucket" / "contracts"
    for name, content in {"ct-1/Vertrag.pdf": "abc", "ct-2/grüße.pdf": "abc", "ct-3/x.pdf": "abd"}.items():
        (bucket / name).parent.mkdir(parents=True)
        (bucket / name).write_text(content)

    expected = {"read": 5, "missing": [URLS[3], long], "differing": [URLS[2]]}
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


@pytest.mark.usefixtures("connection")
@pytest.mark.parametrize(
    ("hers", "alias", "file", "differing"),
    [
        # only the first is how a server encodes
        ("ct-1/secret.txt", "%63t-1/secret.txt", "ct-1/secret.txt", []),
        ("ct-1/a-b.txt", "ct-1/a%2Db.txt", "ct-1/a-b.txt", []),
        ("ct-1/a", "contracts/ct-1%2Fa", "ct-1/a", []),
        # whose file it is, only the tool that copied it knows
        ("ct-1/a%20b.txt", "ct-1/a b.txt", "ct-1/a b.txt", ["hers"]),
        ("ct-1/a%20b.txt", "ct-1/a%2520b.txt", "ct-1/a%20b.txt", ["hers"]),
    ],
)
def test_another_spelling_of_a_path_gives_nobody_the_bytes(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hers: str, alias: str, file: str, differing: list[str]
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    paths = {"hers": f"contracts/{hers}", "alias": f"contracts/{alias}"}
    take(
        write(
            tmp_path / "d1.sqlite",
            ("contracts", {"storage_url": paths["hers"]}),
            ("contracts", {"id": "ct-9", "storage_url": paths["alias"], "created_by": "eve"}),
            good=False,
        )
    )
    stored = tmp_path / "bucket" / "contracts" / file
    stored.parent.mkdir(parents=True)
    stored.write_text("abc")
    report = json.loads(run("import", "contracts", str(tmp_path / "bucket"), "--json").stdout)
    assert sorted(report["differing"]) == sorted(paths[name] for name in differing)
    assert (report["stored"], report["missing"]) == (0 if differing else 1, [paths["alias"]])


@pytest.mark.parametrize("id_", ["ct-9", "ct-1"])
def test_the_document_of_an_erased_thinker_is_nobody_elses(
    connection: psycopg.Connection, take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id_: str
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    connection.execute("select private.ensure_thinker('clara')")
    connection.execute("select private.erase_thinker('clara')")
    take(write(tmp_path / "d1.sqlite", ("contracts", {"created_by": "clara"}), good=False))
    take(write(tmp_path / "eve.sqlite", ("contracts", {"id": id_, "created_by": "eve"}), good=False))
    (tmp_path / "bucket" / "ct-1").mkdir(parents=True)
    (tmp_path / "bucket" / "ct-1" / "Vertrag.pdf").write_text("abc")
    report = json.loads(run("import", "contracts", str(tmp_path / "bucket"), "--json").stdout)
    # an operator reads that the file stays behind
    left = [path for kind in ("missing", "differing") for path in report[kind]]
    assert (report["stored"], left) == (0, ["contracts/ct-1/Vertrag.pdf"] * report["read"])


def test_a_folder_has_no_file_with_a_name_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "ct-1").mkdir()
    assert asyncio.run(Folder(tmp_path).open(f"contracts/ct-1/{'x' * 300}")) is None


def with_token(route: Route) -> Route:
    """The same, for callers with the bearer token."""
    return lambda query, headers: (
        route(query, headers) if headers["Authorization"] == "Bearer token" else Reply(b"", 401)
    )


@pytest.mark.usefixtures("connection")
def test_documents_come_from_the_url_of_a_bucket(take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    large = ("contracts", {"id": "ct-5", "storage_url": "contracts/ct-5/x.pdf"})
    outside = ("contracts", {"id": "ct-6", "storage_url": "contracts/%2e%2e/secret"})
    more = [("contracts", {"id": url.split("/")[1], "storage_url": url}) for url in URLS[1:]]
    take(write(tmp_path / "d1.sqlite", *more, large, outside))

    with site({}) as bucket, site({}) as elsewhere:
        contents = {
            # its row has gr%C3%BC%C3%9Fe.pdf, which is asked for as gr%25C3... first
            f"/b/{URLS[0]}": Reply(b"abc"),
            "/b/contracts/ct-2/gr%C3%BC%C3%9Fe.pdf": Reply(b"abc"),
            f"/b/{URLS[2]}": Reply(b"abd"),
            f"/b/{URLS[3]}": Reply(b"", 403),
            "/b/contracts/ct-5/x.pdf": Reply(b"abcd" * 10**6),
        }
        for path, reply in contents.items():
            bucket.routes[path] = with_token(lambda _, __, reply=reply: reply)  # type: ignore[misc]
        for expected in (2, 0):
            result = run("import", "contracts", f"{bucket.url}/b/", "--json", IMPORT_BUCKET_TOKEN="token")
            report = json.loads(result.stdout)
            assert (report["stored"], report["alreadyThere"], result.exit_code) == (expected, 2 - expected, 3)
            assert sorted(report["missing"]) == ["contracts/%2e%2e/secret", URLS[3]]
            assert sorted(report["differing"]) == [URLS[2], "contracts/ct-5/x.pdf"]
        assert (tmp_path / "data" / URLS[1]).read_text() == "abc"
        assert sum(path.is_file() for path in (tmp_path / "data").rglob("*")) == 2
        assert not any("secret" in unquote(path) and ".." in unquote(path) for path, _ in bucket.requests)

        moved: Route = lambda _, __: Reply(b"", 302, {"Location": f"{elsewhere.url}/x"})  # noqa: E731
        for route, message in {
            with_token(lambda _, __: Reply(b"", 500)): "answers 500",
            lambda _, __: Reply(b"", 401): "set IMPORT_BUCKET_TOKEN",
            moved: "redirects to",
            lambda _, __: Reply(b"", headers={"Content-Length": "3"}): "Cannot read",
        }.items():
            bucket.routes[f"/b/{URLS[3]}"] = route
            with pytest.raises(PortalError, match=message):
                run("import", "contracts", f"{bucket.url}/b", IMPORT_BUCKET_TOKEN="token")
        assert elsewhere.requests == []
    assert run("import", "contracts", str(tmp_path / "none")).exit_code == 2
