"""Uploads take neither the disk nor the server from others."""

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER, Actor
from api.http import upload as http_upload
from api.http.upload import MAX_UPLOADS, MAX_UPLOADS_OF_ADDRESS
from tests.support.acting import act, call_or_reason, connections, one
from tests.support.forms import CONTENT_TYPE, END, PATH, answer_on, begun, file, upload
from tests.support.parallel import at_once
from tests.support.serving import Connection, serve, settings_in
from tests.support.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def limited(shared_database: str, shared_folder: Path) -> Iterator[str]:
    """The URL of an app with rate limits."""
    with serve(settings_in(shared_folder, rate_limit="on"), shared_database) as url:
        yield url


def documents(folder: Path) -> list[Path]:
    """Returns the files and folders of the store, complete or not."""
    return list((folder / "contracts").rglob("*"))


def upload_from(url: str, source: str) -> int:
    with Connection(url, source) as connection:
        return connection.ask("POST", PATH, raw=file(b"text") + END, headers={"Content-Type": CONTENT_TYPE}).status


@contextmanager
def uploading(url: str, source: str) -> Iterator[socket.socket]:
    """Yields a connection on which an upload has begun."""
    host, _, port = url.removeprefix("http://").partition(":")
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: 1000\r\n"
    with socket.create_connection((host, int(port)), timeout=30, source_address=(source, 0)) as client:
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        yield client


def test_an_address_has_a_few_uploads_at_once_and_others_go_on(limited: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_upload, "SECONDS_TO_WAIT", 0.1)
    with ExitStack() as stack:
        for _ in range(MAX_UPLOADS_OF_ADDRESS):
            stack.enter_context(uploading(limited, "127.0.0.2"))
        with Connection(limited, "127.0.0.2") as connection:
            refused = connection.ask("POST", PATH, raw=file(b"text") + END, headers={"Content-Type": CONTENT_TYPE})
            assert connection.post("/api/voucher/issue", {"issuerUid": "anna"}).status == 200
            assert connection.get("/health").status == 200
        assert upload_from(limited, "127.0.0.3") == 200
    assert (refused.status, refused.headers["retry-after"]) == (503, "0.1")
    assert refused.body == {"ok": False, "error": "too many uploads at once, please try again shortly"}
    wait_until(lambda: upload_from(limited, "127.0.0.2") == 200)


def test_a_server_has_a_number_of_uploads_at_once_and_the_next_waits(limited: str, shared_folder: Path) -> None:
    before = documents(shared_folder)
    with ExitStack() as stack:
        uploads = [
            stack.enter_context(uploading(limited, f"127.0.1.{1 + i // MAX_UPLOADS_OF_ADDRESS}"))
            for i in range(MAX_UPLOADS)
        ]
        thread = stack.enter_context(ThreadPoolExecutor(1))
        waiting = thread.submit(upload_from, limited, "127.0.2.1")
        with Connection(limited, "127.0.2.2") as connection:
            assert connection.post("/api/voucher/issue", {"issuerUid": "anna"}).status == 200
        assert not waiting.done()
        assert documents(shared_folder) == before
        uploads[0].close()
        assert waiting.result() == 200


def test_an_address_has_a_number_of_uploads_a_minute(limited: str, shared_folder: Path) -> None:
    assert [upload_from(limited, "127.0.3.1") for _ in range(30)] == [200] * 30
    before = documents(shared_folder)
    assert upload_from(limited, "127.0.3.1") == 429
    assert documents(shared_folder) == before
    assert upload_from(limited, "127.0.3.2") == 200


def test_an_address_has_a_number_of_bytes_a_day(limited: str, shared_database: str, shared_folder: Path) -> None:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute("update private.settings set upload_bytes_a_day = 2 * 65536")
        answers = [upload_from(limited, "127.0.4.1") for _ in range(2)]
        before = documents(shared_folder)
        answers.append(upload_from(limited, "127.0.4.1"))
        assert documents(shared_folder) == before
        answers.append(upload_from(limited, "127.0.4.2"))
        connection.execute("update private.settings set upload_bytes_a_day = default")
    assert answers == [200, 200, 429, 200]


@pytest.mark.parametrize("limit", ["document_bytes", "document_bytes_a_thinker"])
def test_a_document_over_the_limits_leaves_nothing(
    shared_portal: str, shared_database: str, shared_folder: Path, limit: str
) -> None:
    before = documents(shared_folder)
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(f"update private.settings set {limit} = 0".encode())
        answer = upload(
            shared_portal, file(b"text"), b'--frontier\r\nContent-Disposition: form-data; name="actorId"\r\n\r\nx\r\n'
        )
        connection.execute(f"update private.settings set {limit} = default".encode())
    assert (answer.status, answer.body["error"]) == {
        "document_bytes": (507, "document store is full"),
        "document_bytes_a_thinker": (403, "no space left for documents of yours"),
    }[limit]
    assert documents(shared_folder) == before


def test_documents_that_are_stored_at_once_stay_within_the_limit(shared_database: str) -> None:
    def record(connection: psycopg.Connection) -> object:
        id_ = uuid4()
        return call_or_reason(
            connection,
            Actor("service_role", "crowd"),
            "record_contract",
            contract_id=id_,
            name="x",
            mime_type=None,
            byte_size=MIB,
            storage_url=f"contracts/{id_}/x",
            hash_sha256="0" * 64,
        )

    with connections(shared_database, 8) as opened:
        opened[0].execute("update private.settings set document_bytes_a_thinker = %s", (3 * MIB,))
        answers = at_once([partial(record, connection) for connection in opened])
        opened[0].execute("update private.settings set document_bytes_a_thinker = default")
        count = "select count(*) from public.contracts where private.uid_of(created_by) = 'crowd'"
        assert one(opened[0], count) == 3
    assert answers.count("your_documents_full") == 5


@pytest.mark.parametrize("written", [0, 10], ids=["before it begins", "while it is written"])
def test_an_upload_leaves_space_on_the_disk(
    shared_portal: str, shared_folder: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    space = shutil.disk_usage(shared_folder)
    sizes = chain(repeat(space, written), repeat(space._replace(free=1024 * MIB - 1)))
    before = documents(shared_folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: next(sizes))
    answer = upload(shared_portal, file(b"x" * 12 * MIB))
    assert (answer.status, answer.body) == (507, {"ok": False, "error": "document store is full"})
    assert documents(shared_folder) == before


def test_a_form_that_is_never_finished_leaves_nothing(shared_database: str, tmp_path: Path) -> None:
    with serve(settings_in(tmp_path, request_timeout=1), shared_database) as url:
        with begun(url, file(b"x" * 6 * MIB)[:-100], 7 * MIB) as client:
            assert answer_on(client).status == 408
        assert documents(tmp_path) == []


def test_an_upload_does_not_read_the_documents_of_others(shared_database: str) -> None:
    read: LiteralString = (
        "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relname = 'contracts'"
    )
    with psycopg.connect(shared_database) as connection:
        connection.execute(
            "insert into public.contracts (name, byte_size, storage_url, hash_sha256)"
            " select 'n', 1, 'contracts/' || n || '/n', repeat('0', 64) from generate_series(1, 500) n"
        )
        before = one(connection, read)
        document = {"name": "n", "mime_type": None, "storage_url": "contracts/n/n", "hash_sha256": "0" * 64}
        act(connection, SERVER, "record_contract", contract_id=uuid4(), byte_size=1, **document)
        assert one(connection, read) - before < 10
        connection.rollback()
