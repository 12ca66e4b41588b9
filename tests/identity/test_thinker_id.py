"""SQL and Python compute the same ids."""

import re
import time
from collections.abc import Iterator
from uuid import RFC_4122, UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.actor import thinker_id
from api.legacy.ids import legacy_id, new_uuid
from tests.support.acting import one
from tests.support.stress import sized

IDS = sized(usual=10_000, full=100_000)

A_UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"  # of version 4, as Supabase Auth generates them
ODD = [
    "",
    " ",
    "\t\n",
    "0",
    "null",
    "thinker-303ddf77069b",
    "O'Brien",
    '"; drop table thinkers; --',
    "\\",
    "%s",
    "jürgen",
    "ju\u0308rgen",
    "ſ",
    "思想家",
    "🤔👩‍👩‍👧",
    "\u200b",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "x" * 255,
    "ß" * 10_000,
    A_UUID,
    A_UUID.upper(),
    A_UUID.replace("b", "B", 1),
    f"{{{A_UUID}}}",
    f" {A_UUID}",
    f"{A_UUID} ",
    f"{A_UUID}\n",
    f"\n{A_UUID}",
    f"{A_UUID}\n{A_UUID}",
    A_UUID.replace("-", ""),
    f"urn:uuid:{A_UUID}",
    A_UUID[:-1],
    A_UUID + "0",
    A_UUID.replace("6", "g"),
    A_UUID.replace("6", "٦"),
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "6ba7b810-9dad-81d1-80b4-00c04fd430c8",
    "6ba7b810-9dad-41d1-70b4-00c04fd430c8",
    "6ba7b810-9dad-41d1-c0b4-00c04fd430c8",
    "6ba7b810-9dad-41d1-b0b4-00c04fd430c8",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
]
# all text that PostgreSQL can store: no NUL, no half of a surrogate pair
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)
UUIDS = (st.uuids() | st.uuids(version=4)).map(str)


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """A connection that the tests of this module share; they write nothing."""
    with psycopg.connect(shared_database, autocommit=True) as opened:
        yield opened


def ids_by_sql(connection: psycopg.Connection, texts: list[str]) -> list[UUID]:
    query = "select private.thinker_id(t) from unnest(%s::text[]) with ordinality as u (t, n) order by n"
    return [row[0] for row in connection.execute(query, (texts,)).fetchall()]


def test_sql_and_python_agree_on_odd_texts(connection: psycopg.Connection) -> None:
    by_sql = dict(zip(ODD, ids_by_sql(connection, ODD), strict=True))
    assert by_sql == {text: thinker_id(text) for text in ODD}


@settings(max_examples=50, derandomize=True, database=None, deadline=None)
@given(texts=st.lists(TEXTS | UUIDS | UUIDS.map(str.upper) | st.sampled_from(ODD), min_size=10, max_size=50))
def test_sql_and_python_agree_on_any_text(connection: psycopg.Connection, texts: list[str]) -> None:
    assert ids_by_sql(connection, texts) == [thinker_id(text) for text in texts]


def test_a_uuid_of_supabase_auth_is_its_own_id() -> None:
    assert str(thinker_id(A_UUID)) == A_UUID


VERSION_4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize("text", [text for text in ODD if not VERSION_4.fullmatch(text)])
def test_any_other_text_has_an_id_of_version_8(text: str) -> None:
    made = thinker_id(text)
    assert made.version == 8
    assert str(made) != text


def test_different_texts_have_different_ids() -> None:
    assert len({thinker_id(text) for text in ODD}) == len(ODD)


def test_a_uid_cannot_take_the_id_of_another_thinker() -> None:
    for text in ODD:
        if not VERSION_4.fullmatch(text):
            assert thinker_id(str(thinker_id(text))) != thinker_id(text)


def test_the_rule_stays_the_same() -> None:
    # stored ids were computed with it
    assert thinker_id("thinker-303ddf77069b") == UUID("36bde3fb-9c94-8c65-8772-c45932d8edc1")


def test_new_ids_have_the_legacy_form_and_differ(connection: psycopg.Connection) -> None:
    before = time.time_ns() // 1_000_000
    ids = [row[0] for row in connection.execute("select private.new_id('v') from generate_series(1, %s)", (IDS,))]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == IDS
    form = re.compile(r"v-([0-9a-z]{8})-([0-9a-f]{20})")
    parts = [match.groups() for match in map(form.fullmatch, ids) if match]
    assert len(parts) == IDS
    assert all(before - 1 <= int(moment, 36) <= after + 1 for moment, _ in parts)
    assert len({suffix for _, suffix in parts}) == IDS
    # every digit of the random part is random
    assert all(len({suffix[at] for _, suffix in parts}) == 16 for at in range(20))


def test_a_new_id_begins_with_its_prefix(connection: psycopg.Connection) -> None:
    assert re.fullmatch(r"mort-offer-[0-9a-z]{8}-[0-9a-f]{20}", one(connection, "select private.new_id('mort-offer')"))


def is_version_7(uuid: UUID, before: int, after: int) -> bool:
    return uuid.version == 7 and uuid.variant == RFC_4122 and before - 1 <= uuid.int >> 80 <= after + 1


def test_new_uuids_of_sql_and_python_have_version_7_and_begin_with_the_time(connection: psycopg.Connection) -> None:
    before = time.time_ns() // 1_000_000
    by_sql = [row[0] for row in connection.execute("select private.new_uuid() from generate_series(1, %s)", (IDS,))]
    by_python = [new_uuid() for _ in range(IDS)]
    after = time.time_ns() // 1_000_000
    assert len({*by_sql, *by_python}) == 2 * IDS
    assert all(is_version_7(uuid, before, after) for uuid in [*by_sql, *by_python])


def test_later_uuids_of_sql_sort_later(connection: psycopg.Connection) -> None:
    made = "select private.new_uuid() as first, pg_sleep(0.00001), private.new_uuid() as second"
    assert one(connection, f"select bool_and(first < second) from ({made} from generate_series(1, 20)) made") is True


def test_the_legacy_form_of_a_uuid_contains_all_of_it(connection: psycopg.Connection) -> None:
    for uuid in [new_uuid(), one(connection, "select private.new_uuid()")]:
        match = re.fullmatch(r"ct-([0-9a-z]{8})-([0-9a-f]{20})", legacy_id("ct", uuid))
        assert match
        assert UUID(int=(int(match[1], 36) << 80) | int(match[2], 16)) == uuid
