"""Uploaded documents are stored while they arrive, completely or not at all."""

import hashlib
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from tests.support.acting import call, one, thinker
from tests.support.databases import Server, empty
from tests.support.forms import CONTENT_TYPE, END, PATH, answer_on, begun, field, file, part, upload
from tests.support.serving import Answer, Connection
from tests.support.waiting import wait_until

MIB = 1024 * 1024
MAX = 25 * MIB
EXPECTED_FORM = {"ok": False, "error": "expected multipart/form-data"}
FILE_REQUIRED = {"ok": False, "error": "file field is required"}


@pytest.fixture
def folder(shared_folder: Path) -> Path:
    """The data folder of the app, without documents."""
    shutil.rmtree(shared_folder / "contracts", ignore_errors=True)
    (shared_folder / "contracts").mkdir()
    return shared_folder


@pytest.fixture
def database(shared_database: str, folder: Path) -> str:
    """The URL of the app's database, without rows."""
    empty(shared_database)
    return shared_database


@pytest.fixture
def portal(shared_portal: str, database: str) -> str:
    """The URL of the app; the tests of this module share it."""
    return shared_portal


def files_in(folder: Path) -> dict[str, bytes]:
    """Returns every file of the store, complete or not."""
    files = {}
    for path in (folder / "contracts").rglob("*"):
        # an incomplete file may have been deleted meanwhile
        with suppress(FileNotFoundError, IsADirectoryError):
            files[str(path.relative_to(folder))] = path.read_bytes()
    return files


def contracts_in(database: str) -> int:
    with psycopg.connect(database) as connection:
        count: int = one(connection, "select count(*) from public.contracts")
        return count


def nothing_is_left(folder: Path, database: str) -> bool:
    return list((folder / "contracts").iterdir()) == [] and contracts_in(database) == 0


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [1, 64 * 1024, 5 * MIB + 1, MAX])
def test_a_document_is_stored_byte_by_byte(portal: str, database: str, folder: Path, size: int) -> None:
    sent = noise(size)

    answer = upload(portal, file(sent))

    assert answer.status == 200
    contract = answer.body["contract"]
    assert contract["byteSize"] == size
    assert contract["hashSha256"] == hashlib.sha256(sent).hexdigest()
    assert contract["mimeType"] == "application/pdf"
    assert contract["name"] == "contract.pdf"
    assert contract["storageUrl"] == f"contracts/{contract['id']}/contract.pdf"
    assert files_in(folder) == {contract["storageUrl"]: sent}
    with psycopg.connect(database) as connection:
        row = connection.execute("select storage_url, byte_size, hash_sha256 from public.contracts").fetchall()
    assert row == [(contract["storageUrl"], size, contract["hashSha256"])]


def test_a_document_one_byte_over_the_limit_is_refused(portal: str, database: str, folder: Path) -> None:
    answer = upload(portal, file(noise(MAX + 1)))
    assert (answer.status, answer.body) == (413, {"ok": False, "error": "request body too large"})
    assert nothing_is_left(folder, database)


def test_a_document_of_unknown_length_is_measured_while_it_arrives(portal: str, database: str, folder: Path) -> None:
    def chunked(size: int) -> Answer:
        body = file(noise(size)) + END
        chunks = [body[at : at + MIB] for at in range(0, len(body), MIB)]
        raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        with Connection(portal) as connection:
            headers = {"Content-Type": CONTENT_TYPE, "Transfer-Encoding": "chunked"}
            return connection.ask("POST", PATH, raw=raw, headers=headers)

    assert chunked(MAX + 1).status == 413
    assert nothing_is_left(folder, database)
    assert chunked(MIB).status == 200
    assert contracts_in(database) == 1


def test_a_form_with_too_large_a_content_length_is_refused_before_the_body(
    portal: str, database: str, folder: Path
) -> None:
    with begun(portal, b"", 1000 * MIB) as client:
        assert answer_on(client).status == 413
    assert nothing_is_left(folder, database)


def test_a_document_is_written_while_it_arrives(portal: str, database: str, folder: Path) -> None:
    form = file(noise(20 * MIB)) + END
    with begun(portal, form[: 15 * MIB], len(form)) as client:
        # wait here until most of the document is stored, while a quarter is not sent yet
        wait_until(lambda: sum(map(len, files_in(folder).values())) >= 5 * MIB)
        client.sendall(form[15 * MIB :])
        assert answer_on(client).status == 200


@pytest.mark.parametrize("parts", [(0, 1, 2), (1, 0, 2), (1, 2, 0)], ids=["file first", "between", "file last"])
def test_fields_count_before_and_after_the_file(portal: str, database: str, parts: tuple[int, ...]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, thinker("issuer"), "issue_voucher", voucher_id="v")
    form = [file(b"text"), field("voucherId", "v"), field("actorId", "me") + field("name", "A name")]

    answer = upload(portal, *(form[i] for i in parts))

    assert answer.status == 200
    assert answer.body["linkId"].startswith("cl-")
    assert answer.body["contract"]["createdBy"] == "me"
    assert answer.body["contract"]["name"] == "A name"
    with Connection(portal) as listing:
        listed = listing.get("/api/contracts/list?voucherId=v").body["items"]
    assert [contract["id"] for contract in listed] == [answer.body["contract"]["id"]]


def test_an_unknown_room_is_created_for_the_actor(portal: str, database: str) -> None:
    answer = upload(portal, file(b"text"), field("roomId", "room-new"), field("actorId", "me"))
    assert answer.status == 200
    with psycopg.connect(database) as connection:
        rooms = connection.execute("select id, type, private.uid_of(owner_id) from public.rooms").fetchall()
    assert rooms == [("room-new", "contract", "me")]


def test_a_known_room_does_not_change(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("insert into public.rooms (id, type) values ('room', 'video')")
        assert upload(portal, file(b"text"), field("roomId", "room"), field("actorId", "me")).status == 200
        assert connection.execute("select type, owner_id from public.rooms").fetchall() == [("video", None)]


def test_the_first_of_several_files_is_stored(portal: str, database: str, folder: Path) -> None:
    answer = upload(portal, file(b"first", "a"), file(b"second", "b"), part('name="other"; filename="c"', b"third"))
    assert answer.status == 200
    assert files_in(folder) == {answer.body["contract"]["storageUrl"]: b"first"}


def test_an_empty_document_has_no_size(portal: str, database: str, folder: Path) -> None:
    answer = upload(portal, file(b"", content_type=None))
    assert answer.status == 200
    assert answer.body["contract"]["byteSize"] is None
    assert answer.body["contract"]["mimeType"] is None
    assert answer.body["contract"]["hashSha256"] == hashlib.sha256(b"").hexdigest()
    assert list(files_in(folder).values()) == [b""]


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("contract.pdf", "contract.pdf"),
        ("Vertrag für Jürgen.pdf", "Vertrag%20f%C3%BCr%20J%C3%BCrgen.pdf"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("...", "%2E%2E%2E"),
        ("a%2e%2e%2fb", "a%252e%252e%252fb"),
        ("a#1?b&c=d+e;f", "a%231%3Fb%26c%3Dd%2Be%3Bf"),
        ("-rf", "-rf"),
        ("con", "con"),
        ("x" * 240, "x" * 240),
    ],
)
def test_a_file_name_stays_within_the_folder_of_its_document(
    portal: str, database: str, folder: Path, name: str, encoded: str
) -> None:
    answer = upload(portal, file(b"text", name))

    assert answer.status == 200
    contract = answer.body["contract"]
    assert contract["name"] == name
    assert contract["storageUrl"] == f"contracts/{contract['id']}/{encoded}"
    assert unquote(encoded) == name
    assert files_in(folder) == {contract["storageUrl"]: b"text"}


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("x" * 300, "x" * 240),
        ("y" * 300 + ".pdf", "y" * 236 + ".pdf"),
        ("ü" * 100 + ".pdf", "%C3%BC" * 39 + ".pdf"),
        ("😀" * 60, "%F0%9F%98%80" * 20),
        ("." * 300, "%2E" * 80),
    ],
    ids=["x", "y.pdf", "ü.pdf", "😀", "dots"],
)
def test_a_long_name_is_kept_and_its_file_name_is_cut(portal: str, folder: Path, name: str, encoded: str) -> None:
    answer = upload(portal, file(b"text", name))
    assert answer.status == 200
    contract = answer.body["contract"]
    assert contract["name"] == name
    assert files_in(folder) == {f"contracts/{contract['id']}/{encoded}": b"text"}
    assert contract["storageUrl"] == f"contracts/{contract['id']}/{encoded}"


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([file(b"text", "a\0b")], 400, id="NUL in the file name"),
        pytest.param([file(b"text"), field("voucherId", "a\0b")], 400, id="NUL in voucherId"),
        pytest.param([file(b"text"), field("roomId", "a\0b")], 400, id="NUL in roomId"),
        pytest.param([file(b"text"), field("actorId", "a\0b")], 400, id="NUL in actorId"),
        pytest.param([file(b"text"), field("name", "a\0b")], 400, id="NUL in name"),
        pytest.param([file(b"text", content_type="a\0b")], 400, id="NUL in the type"),
        pytest.param([file(b"text"), field("actorId", "x" * 256)], 400, id="actorId too long"),
        pytest.param([file(b"text"), field("roomId", "x" * 10_000)], 400, id="roomId too long"),
        pytest.param([file(b"text"), field("voucherId", "unknown")], 404, id="unknown voucher"),
        pytest.param([file(b"text"), field("voucherId", "x" * 10_000)], 404, id="unknown voucher with a long id"),
        pytest.param([file(b"text"), field("name", "x" * 100_000)], 413, id="field too long"),
        pytest.param([field("name", "x" * 100_000), file(b"text")], 413, id="field before the file too long"),
        pytest.param([file(b"text"), *[field("a", "b")] * 200], 400, id="too many parts"),
    ],
)
def test_a_refused_upload_leaves_neither_file_nor_row(
    portal: str, database: str, folder: Path, parts: list[bytes], status: int
) -> None:
    answer = upload(portal, *parts)
    assert answer.status == status
    assert answer.body["ok"] is False
    assert answer.body["error"]
    assert nothing_is_left(folder, database)
    with psycopg.connect(database) as connection:
        assert one(connection, "select count(*) from public.thinkers where public_id <> 'togethersystems'") == 0
        assert one(connection, "select count(*) from public.rooms") == 0


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(file(b"text"), CONTENT_TYPE, id="no end"),
        pytest.param(file(b"text") + b"--frontier", CONTENT_TYPE, id="half an end"),
        pytest.param(file(b"text")[:-40], CONTENT_TYPE, id="end within the header"),
        pytest.param(b"no form at all", CONTENT_TYPE, id="no parts"),
        pytest.param(b"", CONTENT_TYPE, id="empty"),
        pytest.param(b"--frontier\r\nno header\r\n\r\ntext\r\n" + END, CONTENT_TYPE, id="broken header"),
        pytest.param(b"--frontier\r\n\r\ntext\r\n" + END, CONTENT_TYPE, id="no disposition"),
        pytest.param(file(b"text") + END, "multipart/form-data", id="no boundary"),
        pytest.param(file(b"text") + END, "multipart/form-data; boundary=", id="empty boundary"),
        pytest.param(file(b"text") + END, "multipart/form-data; boundary=other", id="another boundary"),
        pytest.param(file(b"text") + END, "multipart/form-data; boundary=" + "x" * 10_000, id="long boundary"),
        pytest.param(file(b"text") + END, "multipart/form-data; charset=nonsense", id="nonsense charset"),
        pytest.param(file(b"text") + END, "multipart/mixed; boundary=frontier", id="multipart, but no form"),
        pytest.param(b'{"file": "text"}', "application/json", id="JSON"),
        pytest.param(b"file=text", "application/x-www-form-urlencoded", id="another form"),
    ],
)
def test_an_invalid_form_is_refused(portal: str, database: str, folder: Path, body: bytes, content_type: str) -> None:
    answer = upload(portal, body, content_type=content_type, end=b"")
    assert (answer.status, answer.body) == (400, EXPECTED_FORM)
    assert nothing_is_left(folder, database)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([field("voucherId", "v")], id="no file"),
        pytest.param([], id="no parts"),
        pytest.param([field("file", "text")], id="text named file"),
        pytest.param([file(b"", "")], id="no file chosen"),
        pytest.param([file(b"text", "")], id="file without a name"),
        pytest.param([part('filename="a"', b"text")], id="no field's name"),
        pytest.param([part('name="File"; filename="a"', b"text")], id="File"),
    ],
)
def test_a_form_without_a_file_is_refused(portal: str, database: str, folder: Path, parts: list[bytes]) -> None:
    answer = upload(portal, *parts)
    assert (answer.status, answer.body) == (400, FILE_REQUIRED)
    assert nothing_is_left(folder, database)


@pytest.mark.parametrize("size", [MIB // 2, 12 * MIB])
def test_a_client_that_disconnects_leaves_nothing(portal: str, database: str, folder: Path, size: int) -> None:
    form = file(noise(2 * size)) + END
    with begun(portal, form[:size], len(form)):
        wait_until(lambda: files_in(folder) != {} or size < 5 * MIB)
    with Connection(portal) as connection:
        assert connection.get("/api/contracts/list").body["items"] == []
    wait_until(lambda: nothing_is_left(folder, database))


@pytest.mark.slow
def test_a_database_that_stops_during_an_upload_leaves_nothing(
    portal: str, database: str, folder: Path, server: Server
) -> None:
    form = file(noise(12 * MIB)) + END
    with begun(portal, form[: 10 * MIB], len(form)) as client:
        wait_until(lambda: files_in(folder) != {})
        server.stop()
        try:
            client.sendall(form[10 * MIB :])
            answer = answer_on(client)
        finally:
            server.start()
    english = "database not available, please try again shortly"
    assert (answer.status, answer.body) == (503, {"ok": False, "error": english})
    assert nothing_is_left(folder, database)


def test_a_document_is_kept_when_it_is_unknown_whether_it_was_recorded(
    portal: str, database: str, folder: Path, server: Server
) -> None:
    with ExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(1))
        watching = stack.enter_context(psycopg.connect(database, autocommit=True))
        holding = psycopg.connect(database)
        stack.callback(holding.close)
        call(watching, thinker("issuer"), "issue_voucher", voucher_id="v")
        holding.execute("select from public.vouchers for update")
        answer = thread.submit(upload, portal, file(b"text"), field("voucherId", "v"))
        waiting = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')"
        wait_until(lambda: one(watching, waiting) is True)
        server.stop()
        try:
            refused = answer.result()
        finally:
            server.start()
    assert refused.status == 503
    assert contracts_in(database) == 0
    # PostgreSQL's last message may get lost: a document without a row is better than a row without a document
    is_unknown = refused.body["error"].startswith("connection to the database lost: the request may or may not")
    assert len(files_in(folder)) == (1 if is_unknown else 0)


def test_the_event_of_an_upload_names_its_links(portal: str, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, thinker("issuer"), "issue_voucher", voucher_id="v")
    answer = upload(portal, file(b"text"), field("voucherId", "v"), field("roomId", "r"), field("actorId", "anna"))
    with Connection(portal) as connection_to_portal:
        [event] = connection_to_portal.get("/api/admin/events?limit=1").body["items"]
    contract = answer.body["contract"]
    assert (event["type"], event["actorId"], event["subjectId"]) == ("contract.upload", "anna", contract["id"])
    assert event["meta"] == {"voucherId": "v", "roomId": "r", "storageUrl": contract["storageUrl"]}


def test_a_failing_trigger_leaves_neither_file_nor_row(portal: str, database: str, folder: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("alter table public.events add constraint no_uploads check (type <> 'contract.upload')")
        try:
            answer = upload(portal, file(b"text"))
        finally:
            connection.execute("alter table public.events drop constraint no_uploads")
    assert (answer.status, answer.body) == (400, {"ok": False, "error": "invalid value: no uploads"})
    assert nothing_is_left(folder, database)
