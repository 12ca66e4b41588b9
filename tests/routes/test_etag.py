"""JSON answers have ETags like those of generation 1 (docs/compatibility.md, "Routing")."""

from collections.abc import AsyncGenerator

from litestar import Litestar, get
from litestar.response import Stream
from litestar.testing import TestClient

from api.legacy.routing import LegacyRouting
from tests.support.serving import Connection


def test_an_unchanged_answer_is_not_sent_again(client: Connection) -> None:
    first = client.get("/api/presence/catalog/apis")
    again = client.ask("GET", "/api/presence/catalog/apis", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status, again.status, again.body) == (200, 304, None)
    assert first.headers["etag"].startswith('W/"')
    assert again.headers["etag"] == first.headers["etag"]


def test_a_changed_answer_is_sent(client: Connection) -> None:
    before = client.get("/api/voucher/list?issuerUid=etag")
    assert client.post("/api/voucher/issue", {"issuerUid": "etag"}).status == 200
    after = client.ask("GET", "/api/voucher/list?issuerUid=etag", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status, len(after.body["items"])) == (200, 1)


def test_a_post_is_always_answered(client: Connection) -> None:
    # with a key the second answer is the first one
    issue, key = {"issuerUid": "etag-post"}, {"Idempotency-Key": "etag"}
    first = client.ask("POST", "/api/voucher/issue", issue, headers=key)
    again = client.ask("POST", "/api/voucher/issue", issue, headers=key | {"If-None-Match": first.headers["etag"]})
    assert (first.status, again.status, again.body) == (200, 200, first.body)


def test_a_list_of_tags_and_a_star_are_accepted(client: Connection) -> None:
    tag = client.get("/api/presence/catalog/apis").headers["etag"]
    for known in (f'"other", {tag}', tag.removeprefix("W/"), "*"):
        assert client.ask("GET", "/api/presence/catalog/apis", headers={"If-None-Match": known}).status == 304


def test_a_streamed_answer_is_passed_on_without_a_tag() -> None:
    @get("/")
    async def pieces() -> Stream:
        async def parts() -> AsyncGenerator[bytes, None]:
            yield b"[1,"
            yield b"2]"

        return Stream(parts(), media_type="application/json")

    with TestClient(LegacyRouting(Litestar([pieces]))) as client:
        answer = client.get("/", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.json(), "etag" in answer.headers) == (200, [1, 2], False)
