"""`portal thinkers`: who the browser sessions act as, and how an operator ends them."""

import getpass
from uuid import uuid4

import psycopg
import pytest

from api.actor import SERVER
from api.errors import PortalError
from tests.cli.running import portal, rows, run
from tests.support.acting import call, one, thinker

HOSTILE = "mia\x1b[31m"


def test_claims_are_listed_and_released(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    session, other, token = uuid4(), uuid4(), "thinker-0123456789ab"
    with psycopg.connect(database, autocommit=True) as connection:
        call(connection, thinker("anna"), "issue_voucher", holder_uid="named")
        # as one of before could be
        connection.execute(
            "insert into public.thinkers (id, public_id) values (private.thinker_id(%s), %s)", [HOSTILE, HOSTILE]
        )
        connection.execute(
            "insert into private.claims (thinker_id, session_id) values (private.thinker_id(%s), %s)",
            [HOSTILE, session],
        )
        for proving in (session, other):
            call(connection, SERVER, "prove_thinker", session_id=proving, uid=token)
        listed = [(uid, by, sessions) for uid, _, by, sessions in rows(portal("thinkers"))]
        assert listed == [
            (token, "token", "2"),
            ("mia\\x1b[31m", "first use", "1"),
            ("named", "first use", "0"),
        ]
        assert portal("thinkers", "release", HOSTILE) == f"Free again: mia\\x1b[31m, {token}.\n"
        assert [row[0] for row in rows(portal("thinkers"))] == [token, "mia\\x1b[31m", "named"]
        by = one(connection, "select distinct meta ->> 'by' from public.events where type = 'thinker.released'")
        assert by == getpass.getuser()
    for uid in ("named", "nobody"):
        with pytest.raises(PortalError, match="no session has this uid"):
            run("thinkers", "release", uid)
