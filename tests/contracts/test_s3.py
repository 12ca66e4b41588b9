"""Uploads into a store that speaks S3, configured by STORAGE_URL and AWS_* only."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from api.actor import Actor
from api.settings import load_settings
from tests.contracts.test_upload import MAX, MIB, contracts_in, noise
from tests.support.acting import one
from tests.support.forms import END, begun, field, file, upload
from tests.support.serving import serve
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

# at /storage/v1/s3 it is as strict with keys as Supabase Storage
SERVER = """
import re, sys
from threading import Thread
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/storage/v1/s3/"):
        environ["PATH_INFO"] = environ["RAW_URI"] = environ["REQUEST_URI"] = path.removeprefix("/storage/v1/s3")
        if re.search(r"[^A-Za-z0-9_/!.*'() &$@=;:+,?-]", path):
            start_response("400 Bad Request", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidKey</Code></Error>"]
    return moto(environ, start_response)

server = make_server("127.0.0.1", 0, application, threaded=True)
Thread(target=server.serve_forever, daemon=True).start()
print(server.port, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a server that speaks S3."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


@pytest.fixture
def bucket(s3: str) -> str:
    """The URL of an empty bucket."""
    httpx.post(f"{s3}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3}/documents").raise_for_status()
    return f"{s3}/documents"


@pytest.fixture
def portal(s3: str, bucket: str, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app with its documents in the folder `portal` of the bucket."""
    with serving(database, monkeypatch, storage="s3://documents/portal", endpoint=s3) as url:
        yield url


@contextmanager
def serving(database: str, monkeypatch: pytest.MonkeyPatch, *, storage: str, endpoint: str) -> Iterator[str]:
    """The app with its documents in this bucket."""
    for name, value in {
        "STORAGE_URL": storage,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    with serve(load_settings(), database) as url:
        yield url


def keys(bucket: str) -> list[str]:
    return re.findall("<Key>(.*?)</Key>", httpx.get(bucket, params={"list-type": "2"}).text)


def unfinished(bucket: str) -> list[str]:
    return re.findall("<UploadId>(.*?)</UploadId>", httpx.get(bucket, params={"uploads": ""}).text)


@pytest.mark.parametrize("size", [4, 12 * MIB])
def test_a_document_is_stored_in_the_bucket(portal: str, bucket: str, tmp_path: Path, size: int) -> None:
    sent = noise(size)
    answer = upload(portal, file(sent, "Vertrag für X.pdf"))
    assert answer.status == 200
    key = f"portal/contracts/{answer.body['contract']['id']}/Vertrag%20f%C3%BCr%20X.pdf"
    assert keys(bucket) == [key]
    assert httpx.get(f"{bucket}/{key.replace('%', '%25')}").content == sent
    assert answer.body["contract"]["storageUrl"] == key.removeprefix("portal/")
    assert not (tmp_path / "contracts").exists()


def test_a_document_that_cannot_be_recorded_is_deleted_again(portal: str, bucket: str, database: str) -> None:
    assert upload(portal, file(b"text"), field("voucherId", "unknown")).status == 404
    assert keys(bucket) == []
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.contracts") == 0


def test_a_document_that_is_too_large_leaves_nothing_in_the_bucket(portal: str, bucket: str, database: str) -> None:
    assert upload(portal, file(noise(MAX + 1))).status == 413
    assert keys(bucket) == []
    wait_until(lambda: unfinished(bucket) == [])
    assert contracts_in(database) == 0


def test_a_client_that_disconnects_leaves_nothing_in_the_bucket(portal: str, bucket: str, database: str) -> None:
    form = file(noise(15 * MIB)) + END
    with begun(portal, form[: 12 * MIB], len(form)):
        wait_until(lambda: unfinished(bucket) != [])
    wait_until(lambda: unfinished(bucket) == [])
    assert keys(bucket) == []
    assert contracts_in(database) == 0


def test_a_missing_bucket_is_an_unavailable_store(
    portal: str, bucket: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    httpx.delete(bucket).raise_for_status()
    answer = upload(portal, file(b"text"))
    assert (answer.status, answer.body) == (503, {"ok": False, "error": "document store not available"})
    assert contracts_in(database) == 0
    assert "STORAGE_URL" in caplog.text


def test_supabase_storage_takes_every_name(
    s3: str, bucket: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(database, monkeypatch, storage="s3://documents", endpoint=f"{s3}/storage/v1/s3") as portal:
        answer = upload(portal, file(b"text", "Vertrag ~1=2 für X.pdf"))
        assert answer.status == 200
        contract = answer.body["contract"]
        assert contract["storageUrl"] == f"contracts/{contract['id']}/Vertrag%20~1%3D2%20f%C3%BCr%20X.pdf"
        [key] = keys(bucket)
        assert key == f"contracts/{contract['id']}/Vertrag=2520=7E1=253D2=2520f=25C3=25BCr=2520X.pdf"
        assert httpx.get(f"{portal}/api/contracts/{contract['id']}/document").content == b"text"
        assert upload(portal, file(b"text", "a b.pdf"), field("voucherId", "unknown")).status == 404
        assert keys(bucket) == [key]
    # and the policies of its bucket know its key
    with psycopg.connect(database) as connection:
        claims = json.dumps(Actor("authenticated", "ada", {"role": "admin"}).claims())
        connection.execute(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)", (claims,)
        )
        assert one(connection, "select private.my_document_keys()") == key
