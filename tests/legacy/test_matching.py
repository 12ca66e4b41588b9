"""The comparison finds every kind of difference, and no others."""

import copy
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.legacy.matching import Matcher, now_ms, render, type_differences
from tests.legacy.replay import Answer, Deviation, Observed, Runner, Scenario, Step

RECORDED = {
    "ok": True,
    "voucher": {
        "voucherId": "{{id:v}}",
        "issuerUid": "u-{{run}}",
        "durationMinutes": 60,
        "price": None,
        "createdAt": "{{now}}",
        "roomRefs": {"contractRoomId": "mortgage:contract:{{id:mort-contract}}"},
    },
    "voucherId": "{{id:v}}",
    "other": "{{id:v:other}}",
    "thinker_id": "{{thinker}}",
    "room_id": "room-{{run}}-{{random}}",
    "last_seen": "{{now_ms}}",
    "items": [{"n": 1}, {"n": 2}],
    "whatever": "{{any}}",
    "token": "{{absent}}",
}


def answer() -> dict[str, Any]:
    return {
        "ok": True,
        "voucher": {
            "voucherId": "v-mws0ylx7-0123456789ab",
            "issuerUid": "u-r1",
            "durationMinutes": 60.0,
            "price": None,
            "createdAt": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "roomRefs": {"contractRoomId": "mortgage:contract:mort-contract-mws0ylx7-0123456789ab"},
            "extra": "fields may be added",
        },
        "voucherId": "v-mws0ylx7-0123456789ab",
        "other": "v-mws0ylx7-zzzzzzzzzzzz",
        "thinker_id": "thinker-0123456789ab",
        "room_id": "room-r1-0123456789abcdef",
        "last_seen": now_ms(),
        "items": [{"n": 1}, {"n": 2}],
        "whatever": [1, 2],
    }


def differences(actual: Any, recorded: Any = RECORDED, unordered: tuple[str, ...] = ()) -> list[str]:
    return Matcher({"run": "r1"}).differences(recorded, actual, unordered)


def changed(path: str, value: Any) -> Any:
    actual = copy.deepcopy(answer())
    target: Any = actual
    *parents, key = path.split(".")
    for parent in parents:
        target = target[int(parent) if isinstance(target, list) else parent]
    if value is ...:
        del target[key]
    else:
        target[int(key) if isinstance(target, list) else key] = value
    return actual


def test_equal_answers_have_no_differences() -> None:
    assert differences(answer()) == []


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        pytest.param("voucher.price", ..., "voucher.price is missing", id="missing field"),
        pytest.param("voucher.durationMinutes", "60", 'voucher.durationMinutes is "60"', id="type"),
        pytest.param("ok", 1, "ok is 1", id="boolean is no number"),
        pytest.param("voucher.durationMinutes", 61, "voucher.durationMinutes is 61", id="value"),
        pytest.param("voucher.price", 0, "voucher.price is 0", id="null"),
        pytest.param("voucher.issuerUid", "u-r2", "voucher.issuerUid is", id="variable"),
        pytest.param("voucher", [], "voucher is []", id="object"),
        pytest.param("voucherId", "x-mws0ylx7-0123456789ab", "voucherId is", id="id prefix"),
        pytest.param("other", "v-mws0ylx7-0123", "other is", id="id too short"),
        pytest.param("other", "V-MWS0YLX7-0123456789AB", "other is", id="id form"),
        pytest.param("voucherId", "v-mws0ylx7-aaaaaaaaaaaa", "id:v was v-mws0ylx7-0123456789ab before", id="other id"),
        pytest.param("other", "v-mws0ylx7-0123456789ab", "which is id:v and not id:v:other", id="id reused"),
        pytest.param("voucher.roomRefs.contractRoomId", "mortgage:contract:x", "contractRoomId is", id="embedded id"),
        pytest.param("thinker_id", "thinker-0123456789AB", "thinker_id is", id="thinker form"),
        pytest.param("room_id", "room-r2-0123456789abcdef", "room_id is", id="room of another code"),
        pytest.param("voucher.createdAt", "2030-01-01T00:00:00.000Z", "which is not now", id="time not now"),
        pytest.param("voucher.createdAt", datetime.now(UTC).isoformat(), "voucher.createdAt is", id="time form"),
        pytest.param("last_seen", time.time(), "last_seen is", id="seconds"),
        pytest.param("last_seen", str(now_ms()), "last_seen is", id="milliseconds as text"),
        pytest.param("items", [{"n": 2}, {"n": 1}], "items.0.n is 2", id="order"),
        pytest.param("items", [{"n": 1}], "items has 1 entries", id="too short"),
        pytest.param("items", [{"n": 1}, {"n": 2}, {"n": 3}], "items has 3 entries", id="too long"),
        pytest.param("token", "secret", "token must be absent", id="absent field"),
    ],
)
def test_difference_is_found(path: str, value: Any, found: str) -> None:
    lines = differences(changed(path, value))
    assert lines
    assert found in lines[0]


def test_unordered_lists_match_in_any_order_but_entry_by_entry() -> None:
    recorded = {"items": [{"id": "{{id:ev:1}}", "n": 1}, {"id": "{{id:ev:2}}", "n": 2}]}
    one, two = ({"id": f"ev-mws0ylx7-{n}{n}{n}{n}{n}{n}{n}{n}{n}{n}", "n": n} for n in (1, 2))
    assert differences({"items": [two, one]}, recorded, ("items",)) == []
    assert differences({"items": [two, one]}, recorded)
    assert differences({"items": [one, one]}, recorded, ("items",))


def test_placeholders_keep_their_value_across_answers() -> None:
    matcher = Matcher({})
    assert matcher.differences({"id": "{{id:b}}"}, {"id": "b-mws0ylx7-0123456789"}) == []
    assert matcher.differences({"id": "{{id:b}}"}, {"id": "b-mws0ylx7-0123456789"}) == []
    assert matcher.differences({"id": "{{id:b}}"}, {"id": "b-mws0ylx7-9876543210"})


def test_only_types_are_compared() -> None:
    assert type_differences({"n": 1, "items": [{"a": ""}]}, {"n": 2.5, "items": [{"a": "x"}, {"a": "y"}]}) == []
    assert type_differences({"n": 1}, {"n": "1"})
    assert type_differences({"n": 1}, {})
    assert type_differences({"items": [{"a": ""}]}, {"items": [{"b": ""}]})


def test_requests_are_filled_with_variables() -> None:
    assert render({"a": "{{n}}", "b": ["x-{{n}}", "{{n+2}}"]}, {"n": 5}) == {"a": 5, "b": ["x-5", 7]}
    assert abs(render("{{now_ms-1000}}", {}) - now_ms() + 1000) < 1000
    with pytest.raises(KeyError, match="nobody"):
        render("{{nobody}}", {})


def judged(recorded: Any, observed: Observed, deviation: Deviation | None = None) -> list[str]:
    step = Step.read({"step": "one", "get": "/", "gen1": recorded})
    scenario = Scenario("s", "all", [step])
    deviations = {(1, "s", "one"): deviation} if deviation else {}
    return Runner(httpx.AsyncClient(), {}, 1, scenario, deviations).judge(step, observed)


def seen(status: int, body: Any, *before: int) -> Observed:
    return Observed(status, body, "", [*before, status])


def test_status_is_compared() -> None:
    assert judged({400: {"error": "no"}}, seen(400, {"error": "no", "ok": False})) == []
    assert judged({400: {"error": "no"}}, seen(404, {"error": "no"}))
    assert judged(400, seen(400, {"error": "the body of a page is not compared"})) == []
    assert judged(400, seen(404, {}))


def test_where_the_legacy_server_crashed_any_answer_but_a_crash_is_accepted() -> None:
    assert judged("crashed", seen(400, {})) == []
    assert judged("crashed", seen(500, {}))


def test_statuses_of_many_requests_are_counted() -> None:
    assert judged({"statuses": {200: 1, 400: 2}}, seen(400, {}, 400, 200)) == []
    assert judged({"statuses": {200: 1, 400: 2}}, seen(400, {}, 200, 200))
    assert (
        judged({"runs": [[200, 2], [429, 1]], "last": {429: {"ok": False}}}, seen(429, {"ok": False}, 200, 200)) == []
    )
    assert judged({"runs": [[200, 2], [429, 1]], "last": 429}, seen(429, {"ok": False}, 200, 429))


def test_a_deviation_must_be_answered_exactly() -> None:
    deviation = Deviation("because", Answer.read({409: {"error": "exists"}}))
    assert judged({200: {"ok": True}}, seen(409, {"error": "exists"}), deviation) == []
    assert judged({200: {"ok": True}}, seen(409, {"error": "other"}), deviation)


def test_a_deviation_may_change_some_fields_only() -> None:
    deviation = Deviation("because", but={"a.b": 2, "items.0.token": "{{absent}}"})
    recorded = {200: {"a": {"b": 1, "c": 1}, "items": [{"token": "t"}]}}
    assert judged(recorded, seen(200, {"a": {"b": 2, "c": 1}, "items": [{}]}), deviation) == []
    assert judged(recorded, seen(200, {"a": {"b": 2, "c": 2}, "items": [{}]}), deviation)


def test_a_deviation_that_equals_the_record_is_reported() -> None:
    deviation = Deviation("because", Answer.read({200: {"ok": True}}))
    [line] = judged({200: {"ok": True}}, seen(200, {"ok": True}), deviation)
    assert "remove the entry" in line
