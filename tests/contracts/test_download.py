"""GET /api/contracts/{id}/document: who may see a document gets its bytes, whole or in part, as a file to save."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from api.actor import thinker_id
from api.storage import Storage
from tests.support.forms import CONTENT_TYPE, END, PATH, field, file
from tests.support.serving import serve, settings_in
from tests.support.signing import KEY, SECRET, signed

SENT = random.Random(1).randbytes(1000)
NOT_FOUND = (404, {"ok": False, "error": "contract not found"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the app."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def portal(shared_database: str, folder: Path) -> Iterator[str]:
    """The URL of the app with a key."""
    with serve(settings_in(folder, ts_api_key=KEY, jwt_secret=SECRET), shared_database) as url:
        yield url


@pytest.fixture(scope="module")
def trusted(portal: str) -> Iterator[httpx.Client]:
    """A trusted server, which asks the app."""
    with httpx.Client(base_url=portal, headers={"X-TS-APIKEY": KEY}) as client:
        yield client


def store(trusted: httpx.Client, *parts: bytes) -> dict[str, str]:
    answer = trusted.post(PATH, content=b"".join(parts) + END, headers={"Content-Type": CONTENT_TYPE})
    assert answer.status_code == 200
    contract: dict[str, str] = answer.json()["contract"]
    return contract


def path_of(contract: dict[str, str]) -> str:
    return f"/api/contracts/{contract['id']}/document"


@pytest.fixture(scope="module")
def path(trusted: httpx.Client) -> str:
    """The path of a document of anna's."""
    return path_of(store(trusted, file(SENT), field("actorId", "anna")))


def test_a_document_comes_back_as_it_was_sent(trusted: httpx.Client, path: str) -> None:
    answer = trusted.get(path)

    assert (answer.status_code, answer.content) == (200, SENT)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == "1000"
    assert answer.headers["content-disposition"].startswith('attachment; filename="contract.pdf"; ')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private"
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_part_of_a_document(trusted: httpx.Client, path: str) -> None:
    tag = trusted.get(path).headers["etag"]
    part = trusted.get(path, headers={"Range": "bytes=100-199", "If-Range": tag})
    assert (part.status_code, part.content) == (206, SENT[100:200])
    assert part.headers["content-range"] == "bytes 100-199/1000"
    assert part.headers["content-length"] == "100"
    # another version
    assert trusted.get(path, headers={"Range": "bytes=100-199", "If-Range": '"other"'}).content == SENT
    assert trusted.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_only_who_sees_the_row_gets_the_document(trusted: httpx.Client, portal: str, path: str) -> None:
    listed, answers = {}, {}
    for uid in ("anna", "bert"):
        token = signed(sub=str(thinker_id(uid)), public_id=uid)
        with httpx.Client(base_url=portal, headers={"Authorization": f"Bearer {token}"}) as caller:
            listed[uid] = [path_of(contract) for contract in caller.get("/api/contracts/list").json()["items"]]
            answers[uid] = caller.get(path)
    assert (path in listed["anna"], answers["anna"].status_code) == (True, 200)
    assert (listed["bert"], answers["bert"].status_code, answers["bert"].json()) == ([], *NOT_FOUND)
    assert httpx.get(f"{portal}{path}").status_code == 401


@pytest.mark.parametrize("text", ["x", "ct-1-2", "ct-zzzzzzzzzz-00000000000000000000", "ev-mb2k1y9a-" + "0" * 20])
def test_an_unknown_document_is_not_found(trusted: httpx.Client, text: str) -> None:
    answer = trusted.get(f"/api/contracts/{text}/document")
    assert (answer.status_code, answer.json()) == NOT_FOUND


def test_no_name_or_type_of_a_client_breaks_the_headers(trusted: httpx.Client) -> None:
    for name, kind, expected in [
        ("ü.html", "text/html", "attachment; filename=\"_.html\"; filename*=UTF-8''%C3%BC.html"),
        ("x" * 900 + ".pdf", "no type at all", f"{'x' * 146}.pdf"),
        ("a%22;b.txt", "text/plain", "attachment; filename=\"a_;b.txt\"; filename*=UTF-8''a%22%3Bb.txt"),
    ]:
        contract = store(trusted, file(b"<script>", name, kind))
        answer = trusted.get(path_of(contract))
        assert answer.content == b"<script>"
        assert expected in answer.headers["content-disposition"]
        assert answer.headers["content-security-policy"] == "sandbox"
        assert answer.headers["content-type"].partition(";")[0] == (kind if "/" in kind else "application/octet-stream")


def test_a_document_that_the_store_lost_or_changed_is_not_sent(trusted: httpx.Client, folder: Path) -> None:
    contract = store(trusted, file(SENT))
    stored = folder / contract["storageUrl"]
    stored.write_bytes(SENT + b"more")
    assert trusted.get(path_of(contract)).status_code == 503
    stored.unlink()
    assert trusted.get(path_of(contract)).status_code == 503


def test_a_bucket_takes_keys_of_a_kilobyte_with_their_prefix(tmp_path: Path) -> None:
    storage = Storage(settings_in(tmp_path, storage_url="s3://bucket/portal/"))
    assert storage.takes(f"contracts/a/{'x' * 1005}")
    assert not storage.takes(f"contracts/a/{'x' * 1006}")


def test_a_document_is_sent_in_small_pieces(tmp_path: Path) -> None:
    # what a client does not read stays in memory, a piece of it
    async def sizes() -> list[int]:
        storage = Storage(settings_in(tmp_path, min_free_mib=0))
        await storage.put("contracts/a/b", _chunks(SENT * 1000), max_bytes=10**6)
        return [len(piece) async for piece in await storage.read_part("contracts/a/b", 10**6, range(10**6))]

    pieces = asyncio.run(sizes())
    assert sum(pieces) == 10**6
    assert max(pieces) < 2**19


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def test_an_empty_document(trusted: httpx.Client) -> None:
    contract = store(trusted, file(b""))
    answer = trusted.get(path_of(contract))
    assert (answer.status_code, answer.content) == (200, b"")
    assert trusted.get(path_of(contract), headers={"Range": "bytes=0-"}).status_code == 416
