"""What is no whole export, or no empty database, is refused, and leaves nothing."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from api.errors import PortalError
from api.exports.manifest import NAME, Format, Manifest, encode_manifest, read_manifest
from api.exports.writing import write_export
from api.storage import Storage
from tests.cli.running import PORTAL, portal
from tests.exports.conftest import DOCUMENT
from tests.support.databases import Server
from tests.support.serving import settings_in
from tests.support.usage import rows, use
from tests.support.waiting import wait_for_row

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(server: Server, migrated: str) -> Iterator[str]:
    """The URL of a database with few rows, and a document."""
    with server.database(template=migrated) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            use(connection)
            connection.execute(
                "insert into public.contracts (name, byte_size, storage_url, hash_sha256) values ('deed', %s, %s, %s)",
                (len(DOCUMENT), "contracts/a/deed", hashlib.sha256(DOCUMENT).hexdigest()),
            )
        yield url


@pytest.fixture(scope="module")
def moved(small: str, used_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of it as CSV."""
    folder = tmp_path_factory.mktemp("export") / "moved"
    portal("export", str(folder), "--format", "csv", DATABASE_URL=small, DATA_DIR=str(used_folder))
    return folder


def replace(table: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Returns what changes a file, and forges its hash in the manifest."""

    def change(folder: Path) -> None:
        manifest = read_manifest(folder)
        file = folder / manifest.tables[table].file
        content = file.read_bytes().replace(old, new)
        assert content != file.read_bytes()
        file.write_bytes(content)
        manifest.tables[table].sha256 = hashlib.sha256(content).hexdigest()
        (folder / NAME).write_bytes(encode_manifest(manifest))

    return change


def edit(change: Callable[[Manifest], object]) -> Callable[[Path], None]:
    """Returns what changes the manifest."""

    def apply(folder: Path) -> None:
        manifest = read_manifest(folder)
        change(manifest)
        (folder / NAME).write_bytes(encode_manifest(manifest))

    return apply


def remove_row(table: str) -> Callable[[Path], None]:
    """Returns what removes the last row of a file, and forges its hash in the manifest."""

    def change(folder: Path) -> None:
        last = (folder / f"{table}.csv").read_bytes().splitlines(keepends=True)[-1]
        replace(table, last, b"")(folder)

    return change


def append(folder: Path) -> None:
    """Adds a line to a file."""
    with (folder / "public.vouchers.csv").open("ab") as file:
        file.write(b"\n")


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed file": (append, r"public\.vouchers\.csv was changed since the export"),
    "a missing file": (lambda folder: (folder / "public.vouchers.csv").unlink(), "Cannot read .*public.vouchers.csv"),
    "no manifest": (lambda folder: (folder / NAME).unlink(), "has no manifest.json: it is no export, or one that was"),
    "no JSON": (lambda folder: (folder / NAME).write_text("{"), "is damaged"),
    "another layout": (edit(lambda manifest: setattr(manifest, "layout", 2)), "layout 2"),
    "another schema": (edit(lambda m: setattr(m, "schema_version", "1")), "has the schema version 1, and the database"),
    "another column": (
        edit(lambda m: m.tables["public.rooms"].columns.update(id="uuid")),
        "other tables or columns: public.rooms",
    ),
    "a file outside": (edit(lambda m: setattr(m.tables["public.rooms"], "file", "../x")), "a file outside of it"),
    "a check": (replace("public.vouchers", b",booked,", b",taken,"), r"public\.vouchers\.csv is refused: .* check"),
    "a foreign key": (
        replace("public.voucher_bookings", b",kept,", b",lost,"),
        r"public\.voucher_bookings\.csv is refused: .* foreign key",
    ),
    "another amount": (
        replace("public.vouchers", b",1000,EUR,", b",1001,EUR,"),
        r"public\.vouchers is not as it was exported: other sums and checksum",
    ),
    "a row less": (remove_row("private.turns"), r"private\.turns is not as it was exported: other rows and sums"),
}


def test_what_is_no_whole_export_is_refused_and_leaves_nothing(target: str, moved: Path, tmp_path: Path) -> None:
    problems = []
    with psycopg.connect(target, autocommit=True) as connection:
        before = rows(connection)
        for name, (change, sentence) in CASES.items():
            folder = tmp_path / name
            shutil.copytree(moved, folder)
            change(folder)
            with pytest.raises(PortalError) as refused:
                portal("import", "export", str(folder), DATABASE_URL=target)
            if not re.search(sentence, str(refused.value)):
                problems.append((name, str(refused.value)))
        assert rows(connection) == before
        assert connection.execute("select tgname from pg_trigger where tgenabled <> 'O'").fetchall() == []
        # the same files, as they were
        portal("import", "export", str(moved), DATABASE_URL=target, DATA_DIR=str(tmp_path))
        assert rows(connection) != before
    assert problems == []


def test_a_database_with_rows_is_refused_without_a_lock(small: str, moved: Path) -> None:
    with psycopg.connect(small) as other:
        # a reader, behind which a lock would wait
        other.execute("select from public.thinkers")
        with pytest.raises(PortalError, match="is not empty"):
            portal("import", "export", str(moved), DATABASE_URL=small)


def test_a_database_that_others_use_is_refused(target: str, moved: Path) -> None:
    with psycopg.connect(target) as other:
        other.execute("insert into public.properties (id) values ('not yet there')")
        with pytest.raises(PortalError, match="Another session uses the database"):
            portal("import", "export", str(moved), DATABASE_URL=target)


def test_a_folder_with_files_is_not_exported_to(small: str, moved: Path) -> None:
    before = {file.name: file.read_bytes() for file in moved.glob("*.*")}
    with pytest.raises(PortalError, match="is not empty: name another folder"):
        portal("export", str(moved), DATABASE_URL=small)
    assert {file.name: file.read_bytes() for file in moved.glob("*.*")} == before


def test_a_changed_document_is_refused_and_none_is_stored(target: str, moved: Path, tmp_path: Path) -> None:
    shutil.copytree(moved, tmp_path / "moved")
    [document] = (tmp_path / "moved" / "documents").iterdir()
    document.write_bytes(document.read_bytes() + b"x")
    with pytest.raises(PortalError, match=f"{document.name} is missing or was changed"):
        portal("import", "export", str(tmp_path / "moved"), DATABASE_URL=target, DATA_DIR=str(tmp_path / "data"))
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    with psycopg.connect(target) as connection:
        assert connection.execute("select from public.contracts").fetchall() == []


def test_a_killed_export_is_no_export(small: str, target: str, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    with psycopg.connect(small) as blocking, psycopg.connect(small, autocommit=True) as connection:
        # the last table in the order of references
        blocking.execute("lock table public.mortgage_contracts in access exclusive mode")
        with subprocess.Popen([*PORTAL, "export", folder], env=os.environ | {"DATABASE_URL": small}) as process:
            wait_for_row(connection, "select from pg_locks where not granted")
            process.kill()
    assert (folder / "public.thinkers.jsonl").exists()
    with pytest.raises(PortalError, match="or one that was interrupted"):
        portal("import", "export", str(folder), DATABASE_URL=target)


def test_an_interrupted_export_leaves_nothing(small: str, tmp_path: Path) -> None:
    def interrupt(done: int, of: int) -> None:
        """Is Ctrl-C before the last table."""
        if done == of - 1:
            assert (tmp_path / "moved" / "public.thinkers.csv").exists()
            raise KeyboardInterrupt

    storage = Storage(settings_in(tmp_path / "data"))
    with psycopg.connect(small, autocommit=True) as connection, pytest.raises(KeyboardInterrupt):
        write_export(connection, storage, tmp_path / "moved", Format.CSV, interrupt)
    assert list((tmp_path / "moved").iterdir()) == []
