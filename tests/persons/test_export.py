"""`portal export thinker`: everything that is stored about a person, and nothing of others."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from api.errors import PortalError
from tests.cli.running import portal, run
from tests.support.acting import unchecked
from tests.support.usage import tables

REFERENCES = """
select c.conrelid::regclass::text, r.relname, a.attname
from pg_constraint c
join pg_class r on r.oid = c.conrelid
join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'f' and c.confrelid = 'public.thinkers'::regclass and c.conparentid = 0
order by 1, 3
"""
"""Every foreign key to thinkers: table, its name without schema, column."""

NAMED = {
    "thinkers.public_id": "the thinker itself",
    "thinkers.id": "the thinker itself",
    "private.idempotency_keys.actor": "a section",
    "private.idempotency_keys.response": "answers to the thinker; those to others are theirs",
    "private.import_rejects.content": "a section",
    "events.meta": "the section has what the thinker did; what others did is theirs",
    "events.subject_id": "the section has what was changed of the thinker",
    "fee_events.operator": "an operator's correction is in the section events, by its actor",
    "settlement_payments.recorded_by": "an operator's step is in the section events, by its actor",
    "settlements.created_by": "the same",
    "settlements.invoiced_by": "the same",
    "settlements.paid_by": "the same",
    "fee_versions.changed_by": "the same",
    "fees.id": "a name that the tests chose",
    "fee_events.fee_id": "the same",
    "fee_versions.fee_id": "the same",
}
"""The columns without a foreign key that hold a uid or an id of a thinker, and how the export has them."""


def data(connection: psycopg.Connection, uid: str) -> dict[str, list[dict[str, Any]]]:
    """The rows about a thinker, by section."""
    found: dict[str, list[dict[str, Any]]] = {}
    for section, item in connection.execute("select * from private.thinker_data(%s)", (uid,)):
        found.setdefault(section, []).append(item)
    return found


def test_every_reference_to_a_thinker_is_in_a_section(world: psycopg.Connection) -> None:
    world.execute("insert into public.thinkers (id, public_id) values (private.thinker_id('mia'), 'mia')")
    missing = []
    references = world.execute(REFERENCES).fetchall()
    for table, name, column in references:
        with world.transaction(force_rollback=True), unchecked(world):
            changed = world.execute(
                sql.SQL(
                    "update {0} t set {1} = private.thinker_id('mia')"
                    " where to_jsonb(t) = (select to_jsonb(o) from {0} o limit 1)"
                ).format(sql.Identifier(*table.split(".")), sql.Identifier(column))
            )
            assert changed.rowcount > 0, f"the world has no row of {table}"
            if name not in data(world, "mia"):
                missing.append((table, column))
    assert missing == []
    assert len(references) > 20


def test_every_column_that_names_a_thinker_is_known(world: psycopg.Connection) -> None:
    names = [name for row in world.execute("select public_id, id::text from public.thinkers") for name in row]
    references = {(table, column) for table, _, column in world.execute(REFERENCES)}
    found = set()
    for table in tables(world):
        for [column] in world.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped",
            (table,),
        ).fetchall():
            if (table, column) not in references and world.execute(
                sql.SQL(
                    "select from {} where {}::text = any (%(names)s)"
                    " or exists (select from unnest(%(names)s) n where position(to_json(n)::text in {}::text) > 0)"
                    " limit 1"
                ).format(sql.Identifier(*table.split(".")), sql.Identifier(column), sql.Identifier(column)),
                {"names": names},
            ).rowcount:
                found.add(f"{table}.{column}")
    assert found - set(NAMED) == set()


def test_others_appear_as_the_portal_shows_them(world: psycopg.Connection) -> None:
    world.execute("update public.vouchers set holder_id = private.thinker_id('zoe') where id = 'given'")
    world.execute("update public.thinkers set roles = '{lender}' where public_id = 'ben'")
    found = data(world, "ben")
    assert {"anna", "ben"} <= {uid for uid in ("anna", "ben", "sam", "zoe") if f'"{uid}"' in json.dumps(found)}
    assert '"zoe"' not in json.dumps(found)
    assert '"sam"' not in json.dumps(found)
    [changed] = [event for event in found["events"] if event["type"] == "thinker.changed"]
    assert changed["meta"] == {"before": {"roles": []}, "after": {"roles": ["lender"]}}
    assert "actor_id" not in changed


def test_the_texts_of_vouchers_that_nobody_booked_are_the_issuers(world: psycopg.Connection) -> None:
    texts = {"description", "terms", "allowed_slots"}
    world.execute(
        "insert into public.vouchers (id, issuer_id, issued_to, valid_from, valid_until)"
        " select 'reserved', private.thinker_id('anna'), private.thinker_id('ben'), now(), now()"
    )
    vouchers = {uid: {row["id"]: row.keys() & texts for row in data(world, uid)["vouchers"]} for uid in ("anna", "ben")}
    assert vouchers["anna"]["reserved"] == texts
    assert vouchers["ben"]["reserved"] == set()
    assert texts in vouchers["ben"].values()


def test_a_payer_gets_the_own_part_of_a_settlement(world: psycopg.Connection) -> None:
    found = data(world, "ben")
    [settlement] = found["settlements"]
    assert (settlement["total_cents"], settlement["paid_cents"]) == (2, 1)
    assert [payer["payer_uid"] for payer in settlement["payers"]] == ["ben"]
    assert [line["settlement_id"] for line in found["settlement_lines"]] == [settlement["id"]]


def test_the_command_writes_rows_and_documents(world_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", world_url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    for name in ("deed", "terms", "plan"):
        (tmp_path / "data" / "contracts" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "contracts" / "a" / name).write_text(name)
    output, documents = tmp_path / "anna.json", tmp_path / "documents"

    portal("export", "thinker", "anna", "--output", str(output), "--documents", str(documents))
    assert output.stat().st_mode & 0o777 == 0o600
    assert r"\u202eevil\u009b31m\u2028" in output.read_text()
    assert output.read_text().replace("\n", "").isprintable()
    written = json.loads(output.read_text())
    assert written["uid"] == "anna"
    with psycopg.connect(world_url) as connection:
        connection.execute("set timezone = 'UTC'")
        assert written["data"] == data(connection, "anna")
    assert json.loads(portal("export", "thinker", "anna"))["data"] == written["data"]
    assert (documents / "contracts" / "a" / "plan").read_text() == "plan"

    (tmp_path / "data" / "contracts" / "a" / "deed").unlink()
    with pytest.raises(PortalError, match="Not in the store of documents: contracts/a/deed"):
        run("export", "thinker", "anna", "--documents", str(documents))
    with pytest.raises(PortalError, match="Nothing is stored about nobody"):
        run("export", "thinker", "nobody", "--output", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
