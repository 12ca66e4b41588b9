"""Login tokens are never stored with what pages report: private.without_tokens, and the table that uses it."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.support.acting import call, call_or_reason, one, thinker

HIDDEN = {
    "/manifest-portal.html#mot=abc.DEF-1&ts=17&sig=0f": "/manifest-portal.html#mot=***&ts=17&sig=***",
    "/?mot=abc": "/?mot=***",
    "?a=1&MOT=abc#x": "?a=1&MOT=***#x",
    "https://p/#/start;thinker_token=abc;b=1": "https://p/#/start;thinker_token=***;b=1",
    "/back?to=%2Fp.html%23mot%3Dabc%26ts%3D1&x=1": "/back?to=%2Fp.html%23mot%3D***&x=1",
    "/back?to=%252523mot%25253Dabc": "/back?to=%252523mot%25253D***",
    "mot=abc": "mot=***",
    "went to #access_token=abc and on": "went to #access_token=*** and on",
    'sent {"mot": "abc", "ts": 1}': 'sent {"mot": "***", "ts": 1}',
    'sent {\\"Token\\":\\"abc\\"}': 'sent {\\"Token\\":\\"***\\"}',
}
HIDDEN_IN_JSON: list[tuple[object, object]] = [
    ({"mot": "abc", "ts": 1, "a": None}, {"mot": "***", "ts": 1, "a": None}),
    ({"Token": 'a"b'}, {"Token": "***"}),
    ([{"href": "https://p/#mot=abc"}, "mot=abc", True], [{"href": "https://p/#mot=***"}, "mot=***", True]),
    ({"body": '{"thinker_token": "abc"}'}, {"body": '{"thinker_token": "***"}'}),
    ({"#mot=abc": {"deep": [["?sig=abc"]]}}, {"#mot=***": {"deep": [["?sig=***"]]}}),
    # as JSON prints them, these characters are letters after a backslash
    ({"a": "\nmot=a\x01b\bc\td", "sig": "\n\\"}, {"a": "\nmot=***\td", "sig": "***"}),
    ({"a": '{"mot": "a\nb\\"}'}, {"a": '{"mot": "***\\"}'}),
]
KEPT = ["/motto.html", "/p?motor=v8", "/signal?sigma=1", "the token is gone", "/x?mot=&a=1", ""]
KEPT_IN_JSON: list[object] = [
    {"token": 17, "mot": None},
    {"motto": "x"},
    [],
    {},
    {"token": {}},
    "token",
    1.5,
    {'mot":': ""},
    {'"mot': "abc"},
    ['"mot":\\', 1],
]


@pytest.fixture(scope="module")
def session(shared_database: str) -> Iterator[psycopg.Connection]:
    """A session of the operator."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


def hide(session: psycopg.Connection, value: object) -> object:
    if isinstance(value, str):
        return one(session, "select private.without_tokens(%s)", value)
    return one(session, "select private.json_without_tokens(%s)", Jsonb(value))


def test_tokens_are_hidden_in_every_spelling(session: psycopg.Connection) -> None:
    assert {text: hide(session, text) for text in HIDDEN} == HIDDEN
    assert {text: hide(session, text) for text in KEPT} == {text: text for text in KEPT}


def test_tokens_are_hidden_in_json(session: psycopg.Connection) -> None:
    assert [(value, hide(session, value)) for value, _ in HIDDEN_IN_JSON] == HIDDEN_IN_JSON
    assert [hide(session, value) for value in KEPT_IN_JSON] == KEPT_IN_JSON


PARTS = st.sampled_from(["mot", "token", '"', "\\", ":", "=", " ", "#", "&", "a", "é", "\n", "*"])


@settings(max_examples=50, derandomize=True, database=None, deadline=None)
@given(st.lists(PARTS).map("".join))
def test_what_is_hidden_stays_as_it_is(session: psycopg.Connection, text: str) -> None:
    # an import compares what it has mapped with what is stored
    hidden = hide(session, text)
    assert hide(session, hidden) == hidden


def test_no_field_of_an_event_keeps_a_token(session: psycopg.Connection) -> None:
    link = "/manifest-portal.html#mot=secret&ts=1&sig=secret"
    event = {"type": link, "path": link, "meta": {"url": link, "form": {"mot": "secret"}, "tried": [link]}}
    call(session, thinker("ann"), "record_telemetry", events=[event])
    session.execute(
        "update public.telemetry_events set path = '/?mot=secret' where actor_id = private.thinker_id('ann')"
    )
    stored = one(
        session,
        "select jsonb_agg(to_jsonb(t))::text || (select jsonb_agg(e) from public.events e)::text"
        " from public.telemetry_events t",
    )
    assert "secret" not in stored
    assert "/?mot=***" in stored


def test_large_json_is_refused_before_tokens_are_sought_in_it(session: psycopg.Connection) -> None:
    event = {"type": "view", "meta": {"mot": "x" * 70_000}}
    assert call_or_reason(session, thinker("ann"), "record_telemetry", events=[event]) == "json_unreasonable"
