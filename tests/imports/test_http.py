"""The lists of running servers: those of both generations, of one like this, and of hostile ones."""

import gzip
import json
import sqlite3
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from email.message import Message
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from api.errors import PortalError
from api.imports import http, lists
from api.imports.lists import FIGURES, LISTS, OFFERS, items_of, read_row
from api.imports.source import stage
from api.settings import ROOT
from tests.cli.running import portal, run
from tests.imports.conftest import Take
from tests.imports.legacy import ROWS, write
from tests.imports.servers import Query, Reply, Route, items, site, with_key
from tests.support.acting import call, one, thinker
from tests.support.charging import violations
from tests.support.serving import serve, settings_in
from tests.support.stress import sized
from tests.support.yaml_file import read_yaml

VOUCHER: dict[str, object] = {
    "voucherId": "v-1", "issuerUid": "anna", "holderUid": "ben", "serviceType": "consulting.session",
    "title": "Beratung", "description": "", "durationMinutes": 60, "validFrom": "2026-03-02T09:00:00.000Z",
    "validUntil": "2026-03-02T12:00:00.000Z", "allowedSlots": ["x"], "price": {"amount": 12000, "currency": "eur"},
    "terms": {"template": "consulting", "n": 1.50}, "transferable": True, "status": "booked",
    "createdAt": "2026-03-01T10:00:00.000Z",
}  # fmt: skip
APPLICATION: dict[str, object] = {
    "applicationId": "app-1", "borrowerUid": "clara", "propertyId": "house-1",
    "desiredLoan": {"amount": 36000000, "currency": "EUR"}, "desiredDurationYears": 20, "desiredRateType": "fixed",
    "maxInterestRate": 0.04, "submissionTs": "2026-03-03T10:00:00.000Z", "status": "open", "visibility": "public",
    "meta": {"netIncomeMonthly": 380000},
}  # fmt: skip
OFFER: dict[str, object] = {
    "voucherId": "mort-offer-1", "type": "mortgage-offer", "applicationId": "app-1", "issuerId": "lena",
    "holderUid": "clara", "status": "offered", "loan": {"amount": 30000000}, "interest": {"rate": 0.031},
    "repayment": {"monthly": 210000}, "fees": None, "validity": {"validUntil": None}, "termsRef": "t-1",
    "roomRefs": {"negotiationRoomId": "mortgage:offer:mort-offer-1", "contractRoomId": None},
    "createdAt": "2026-03-04T10:00:00.000Z",
}  # fmt: skip
TRANSFER: dict[str, object] = {
    "id": "in-1", "direction": "in", "label": "Fiat→Crypto inflow", "walletAddress": "0xabc", "network": "Polygon",
    "cryptoAmount": 0.1, "cryptoSymbol": "ETH", "fiatAmount": 250.5, "fiatCurrency": "eur", "externalAccount": None,
    "meta": {"source": "tpga-telbank-console"}, "status": "logged", "createdAt": "2026-03-01T10:00:00.123Z",
    "updatedAt": "2026-03-01T10:00:00.123Z",
}  # fmt: skip
BOOKING: dict[str, object] = {
    "bookingId": "b-1", "voucherId": "v-1", "issuerUid": "anna", "holderUid": "ben",
    "slotId": "slot-2026-03-02T09:00:00.000Z", "slotStart": "2026-03-02T09:00:00.000Z",
    "slotEnd": "2026-03-02T10:00:00.000Z", "status": "booked", "cancelReason": None,
    "createdAt": "2026-03-01T11:00:00.000Z", "cancelledAt": None,
}  # fmt: skip
CONTRACT = {
    "id": "ct-1", "name": "Vertrag.pdf", "mimeType": "application/pdf", "byteSize": 3,
    "storageUrl": "contracts/ct-1/Vertrag.pdf", "hashSha256": ROWS["contracts"]["hash_sha256"], "createdBy": "anna",
    "createdAt": "2026-03-05T10:00:00.000Z",
}  # fmt: skip
EVENT = {
    "id": "ev-1", "type": "voucher.book", "actorId": "ben", "subjectType": "voucher_booking", "subjectId": "b-1",
    "meta": {"voucherId": "v-1", "slotStart": "2026-03-02T09:00:00.000Z"}, "createdAt": "2026-03-01T11:00:00.000Z",
}  # fmt: skip


def generation_1(*vouchers: Mapping[str, object]) -> list[Mapping[str, Route]]:
    """The programs of generation 1 that keep something, each with a server of its own."""

    def applications(query: Query, headers: Message) -> Reply:
        assert headers["X-MOT-User"]
        return Reply({"applications": [APPLICATION] if query["role"] == "lender" else []})

    def offers(query: Query, _: Message) -> Reply:
        # program B
        if not query.get("applicationId"):
            return Reply({"error": "applicationId ist erforderlich"}, 400)
        return Reply({"offers": [OFFER] if query["applicationId"] == "app-1" else []})

    return [
        {"/api/voucher/list": lambda _, __: Reply({"items": [VOUCHER, *vouchers]})},
        {"/api/hypotheken/anfrage/list": applications, "/api/hypotheken/angebot/list": offers},
        {"/api/telbank/transfers": items(TRANSFER)},
    ]


def generation_2() -> dict[str, Route]:
    """A server of generation 2 with an API key."""
    routes = {
        "/api/voucher/bookings": items(BOOKING),
        "/api/telbank/transfers": items(TRANSFER),
        "/api/contracts/list": items(CONTRACT),
        "/api/admin/events": items(EVENT),
    }
    return {path: with_key("key", route) for path, route in routes.items()}


def take_from(*urls: str, **settings: str) -> Any:
    """Imports from servers; the exit code must say whether rows were rejected."""
    result = run("import", "http", *urls, "--json", **settings)
    reports = json.loads(result.stdout)
    told = reports if isinstance(reports, list) else [reports]
    rejected = sum(part["rejected"] + part["missing"] for report in told for part in report["tables"].values())
    assert result.exit_code == (3 if rejected else 0)
    return reports


def rejects(connection: psycopg.Connection) -> list[tuple[str, str | None, str]]:
    """What waits, and why."""
    return connection.execute(
        "select legacy_table, row_id, reason from private.import_rejects where resolved_at is null order by 1, 2, 3"
    ).fetchall()


def test_the_programs_of_generation_1_are_one_import(connection: psycopg.Connection) -> None:
    bad: list[Mapping[str, object]] = [
        {"voucherId": "v-1", "title": "Zweite"},
        {"voucherId": "bad-1", "price": 5},
        {"voucherId": "bad-2", "issuerUid": {"a": 1}},
        {"voucherId": "bad-3", "title": "half \ud800"},
        {"voucherId": "bad-4", "price": {"amount": 99.5}},
    ]
    issued = {"status": "issued", "holderUid": None}
    good: list[Mapping[str, object]] = [
        {"voucherId": 7, "issuerUid": 12345, "validFrom": 1772442000000, "price": {"amount": 1, "vat": 19}} | issued,
        {"voucherId": "v-3", "price": None} | issued,
    ]
    with ExitStack() as running:
        sites = [running.enter_context(site(r)) for r in generation_1(*({**VOUCHER, **row} for row in [*bad, *good]))]
        urls = [sites[0].url, f"{sites[1].url}/api/", f"{sites[2].url}/"]
        first = take_from(*urls)
        again = take_from(*urls)
        sites[0].routes["/api/voucher/list"] = items(VOUCHER | {"title": "Neu"})
        newer = take_from(sites[0].url)

    assert [report["source"] for report in first] == [running.url for running in sites]
    assert first[0]["tables"]["vouchers"]["written"] == 3
    assert rejects(connection) == [
        ("vouchers", "bad-1", "value_invalid"),
        ("vouchers", "bad-2", "text_unreadable"),
        ("vouchers", "bad-3", "text_unreadable"),
        ("vouchers", "bad-4", "amount_out_of_range"),
        ("vouchers", "v-1", "id_twice"),
    ]
    assert first[0]["notes"] == [
        f"Not shown by lists of {sites[0].url}: transfers, voucher_bookings, properties, mortgage_applications,"
        " mortgage_offers, contracts, contract_links, events, telemetry_events.",
        "6 vouchers are booked, but no list shows when: their slots are free here.",
        "The field price.vat of vouchers is not imported (1 rows).",
    ]
    assert [sum(part["written"] for part in report["tables"].values()) for report in again] == [0, 0, 0]
    assert (newer["tables"]["vouchers"]["updated"], newer["tables"]["vouchers"]["rejected"]) == (1, 0)
    vouchers = connection.execute(
        "select id, private.uid_of(issuer_id), title, valid_from::text, price_amount, allowed_slots, terms::text"
        " from public.vouchers order by id"
    ).fetchall()
    terms = '{"n": 1.5, "template": "consulting"}'
    assert vouchers == [
        ("7", "12345", "Beratung", "2026-03-02 09:00:00+00", 1, ["x"], terms),
        ("v-1", "anna", "Neu", "2026-03-02 09:00:00+00", 12000, ["x"], terms),
        ("v-3", "anna", "Beratung", "2026-03-02 09:00:00+00", None, ["x"], terms),
    ]
    offer = "interest_rate::text, monthly_payment, loan_amount, interest, fees, terms_ref, status, room_refs"
    assert connection.execute(f"select {offer} from public.mortgage_offers".encode()).fetchone() == (
        "0.031", 210000, 30000000, {"rate": 0.031}, None, "t-1", "open", OFFER["roomRefs"],
    )  # fmt: skip
    assert one(connection, "select visibility from public.mortgage_applications") == "public"
    assert one(connection, "select fiat_amount from public.transfers") == 25050
    assert violations(connection) == {}


def test_a_server_of_generation_2_shows_the_rows_of_its_d1(
    connection: psycopg.Connection, take: Take, tmp_path: Path
) -> None:
    take(write(tmp_path / "d1.sqlite"))
    rows = "select legacy_table, id, source, hash from private.import_rows order by 1, 2"
    before = connection.execute(rows).fetchall()
    with site(generation_2()) as running:
        report = take_from(running.url, IMPORT_API_KEY="key")
        for table in ("voucher_bookings", "transfers", "contracts", "events"):
            part = report["tables"][table]
            assert (part["read"], part["unchanged"], part["rows"]) == (1, 1, 0), table
        assert connection.execute(rows).fetchall() == before

        # other content, which becomes the same here; and what the other source does not know
        running.routes["/api/admin/events"] = items(EVENT | {"meta": dict(reversed(EVENT["meta"].items()))})  # type: ignore[attr-defined]
        cancelled = BOOKING | {"status": "cancelled", "cancelledAt": "2026-03-01T12:00:00.000Z"}
        running.routes["/api/voucher/bookings"] = items(cancelled)
        report = take_from(running.url, IMPORT_API_KEY="key")
    assert report["tables"]["events"]["unchanged"] == 1
    assert rejects(connection) == [("voucher_bookings", "b-1", "voucher_missing")]

    # an operator decides that it is the newer state
    listed = tmp_path / "rejects.json"
    portal("import", "rejects", "--format", "json", "--output", str(listed))
    listed.write_text(json.dumps(json.loads(listed.read_text()) | {"source": "d1"}))
    portal("import", "rejects", "--retry", str(listed))
    assert one(connection, "select status from public.voucher_bookings") == "cancelled"
    assert rejects(connection) == []
    assert violations(connection) == {}


@pytest.mark.slow
def test_a_server_like_this_one_shows_its_rows(
    connection: psycopg.Connection, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.pages.MAX_ROWS", 2)
    with psycopg.connect(database, autocommit=True) as other:
        day = {"valid_from": "2090-01-01T09:00:00Z", "valid_until": "2090-01-01T18:00:00Z"}
        for n in range(3):
            call(other, thinker("anna"), "issue_voucher", voucher_id=f"v-{n}", price_amount=100, **day)
            call(other, thinker("ben"), "book_voucher", voucher_id=f"v-{n}", slot_start="2090-01-01T10:00:00Z")
        call(other, thinker("ben"), "cancel_booking", voucher_id="v-1", reason="krank")
        call(other, thinker("clara"), "apply_for_mortgage", application_id="app-1", desired_loan=500, currency="EUR")
        call(other, thinker("dora"), "apply_for_mortgage", application_id="app-2")
        lender = thinker("lena", "lender")
        call(other, lender, "offer_mortgage", application_id="app-1", interest_rate="0.031", monthly_payment=9)
        call(other, lender, "offer_mortgage", application_id="app-2", interest_rate="0.02", interest={"rate": 0.02})
        transfer = {"crypto_amount": "0.1", "crypto_symbol": "ETH", "fiat_major": "2.5", "fiat_currency": "EUR"}
        call(other, thinker("ben"), "log_transfer", direction="in", **transfer)
        with serve(settings_in(tmp_path, ts_api_key=SecretStr("key"), rate_limit="off"), database) as url:
            report = take_from(url, IMPORT_API_KEY="key")
            again = take_from(url, IMPORT_API_KEY="key")

        for table in ("vouchers", "voucher_bookings", "mortgage_applications", "mortgage_offers", "transfers"):
            assert rows(connection, table) == rows(other, table), table
        assert one(connection, "select count(*) from public.events") == one(other, "select count(*) from public.events")
    assert {part["unchanged"] - part["read"] for part in again["tables"].values()} == {0}
    assert report["notes"] == [
        f"Not shown by lists of {url}: properties, contract_links, telemetry_events.",
        "Applications that are not open, and their offers, may be left out.",
    ]
    assert violations(connection) == {}


def test_the_rows_of_all_pages_are_imported_oldest_first(connection: psycopg.Connection) -> None:
    def applications(query: Query, _: Message) -> Reply:
        found = [APPLICATION | {"applicationId": f"app-{n}", "borrowerUid": f"borrower-{n}"} for n in range(4)]
        # the newest are on the first page
        shown = found[:2] if "after" in query else found[2:]
        return Reply({"applications": shown}, headers={} if "after" in query else {"List-Next": "x"})

    with site({"/api/hypotheken/anfrage/list": applications}) as running:
        take_from(running.url)
    # who named it first
    assert one(connection, "select private.uid_of(created_by) from public.properties") == "borrower-0"


def rows(connection: psycopg.Connection, table: str) -> list[tuple[Any, ...]]:
    """The rows of a table, times in milliseconds, as lists show them; without the thinker of a transfer."""
    columns = connection.execute(
        "select case atttypid when 'timestamptz'::regtype then format('date_trunc(''ms'', %%I)', attname)"
        " else quote_ident(attname) end from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and attname <> 'thinker_id'",
        (f"public.{table}",),
    ).fetchall()
    query = f"select {', '.join(column for (column,) in columns)} from public.{table} order by id"
    return connection.execute(query.encode()).fetchall()


def page(*rows: object, after: str) -> Route:
    """A page of a list that goes on."""
    return lambda _, __: Reply({"items": rows}, headers={"List-Next": after})


def ends(query: Query, _: Message) -> Reply:
    """A list whose second page is missing."""
    return Reply({}, 404) if "after" in query else Reply({"items": []}, headers={"List-Next": "x"})


def new_page(query: Query, _: Message) -> Reply:
    """An empty page, the first of fifty."""
    after = query.get("after", "") + "x"
    return Reply({"items": []}, headers={"List-Next": after} if len(after) < 50 else {})


HOSTILE: dict[str, tuple[Route, str]] = {
    "key": (with_key("other", items()), "answers 401: set IMPORT_API_KEY"),
    "page": (lambda _, __: Reply(b"<html>"), "is no server of the portal"),
    "away": (lambda _, __: Reply({}, 500), "answers 500"),
    "text": (lambda _, __: Reply(b"{", headers={"Content-Type": "application/json"}), "it is no JSON"),
    "no array": (lambda _, __: Reply({"rows": []}), "has no array items"),
    "depth": (
        lambda _, __: Reply(b'{"items":' + b"[" * 1400, headers={"Content-Type": "application/json"}),
        "it is no JSON",
    ),
    "large": (items("x" * 4000), "answers more than a list can have"),
    "many": (items(*[1] * 600), "more than a million rows"),
    # a list that would be read if it was decoded
    "encoded": (
        lambda _, __: Reply(
            gzip.compress(b'{"items":[]}'), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
        ),
        "answers in the encoding gzip",
    ),
    "short": (lambda _, __: Reply({}, headers={"Content-Length": "9"}), "Cannot read"),
    "endless": (page(VOUCHER, after="x"), "begins again and again"),
    "ended": (ends, "ended in the middle"),
    "new pages": (new_page, "has more pages than a list can have"),
    "long page": (page(VOUCHER, after="x" * 70_000), "more than a URL can have"),
    "limit": (lambda _, __: Reply({}, 429, {"Retry-After": "0"}), "answers 429 again and again"),
}


@pytest.mark.slow
def test_a_server_that_cannot_be_read_is_named_before_anything_is_written(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_MAX_ANSWER", 3000)
    monkeypatch.setattr(lists, "MOST", 500)
    monkeypatch.setattr(http, "_MAX_REQUESTS", 20)
    monkeypatch.setenv("IMPORT_API_KEY", "key")
    with site(generation_1()[0]) as good, site({}) as elsewhere, site({}) as running:
        redirect: Route = lambda _, __: Reply({}, 302, {"Location": f"{elsewhere.url}/api/voucher/list"})  # noqa: E731
        wrong = []
        for name, (route, message) in (HOSTILE | {"redirect": (redirect, "redirects to")}).items():
            running.routes["/api/voucher/list"] = route
            try:
                run("import", "http", good.url, running.url)
            except PortalError as error:
                if message not in str(error) or running.url not in str(error):
                    wrong.append(f"{name}: {error}")
            else:
                wrong.append(f"{name} is taken")
        assert wrong == []
        assert elsewhere.requests == []
        for url, message in {
            "portal.example.org": "no address",
            f"{running.url}?key=x": "no address",
            "http://user:secret@127.0.0.1": "user and password",
            "http://127.0.0.1:1": "Cannot read",
        }.items():
            with pytest.raises(PortalError, match=message) as refusal:
                run("import", "http", url)
            assert "secret" not in str(refusal.value)
    assert one(connection, "select count(*) from private.import_runs") == 0


def test_rows_that_nobody_can_read_are_rejected_alone(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MOST", 100)

    def voucher(name: str, **sent: str) -> str:
        fields = {field: json.dumps(value) for field, value in (VOUCHER | {"voucherId": name}).items()} | sent
        return f"{{{','.join(f'{json.dumps(field)}: {value}' for field, value in fields.items())}}}"

    deep = "[" * 30_000 + "]" * 30_000
    rows = [
        voucher("v-1"),
        voucher("deep", terms=deep),
        voucher("deep half", terms=deep, title='"\\ud800"'),
        voucher("deep price", price=f'{{"amount": 1, "currency": {deep}}}'),
        voucher("digits", terms="9" * 5000, title='"\\ud800"'),
        voucher("many", allowedSlots=json.dumps([0] * 200)),
        "5",
        voucher("v-2", **{"\ud800": deep}),
    ]
    answer = f'{{"ok": true, "items": [{",".join(rows)}]}}'.encode()
    with site(
        {"/api/voucher/list": lambda _, __: Reply(answer, headers={"Content-Type": "application/json"})}
    ) as running:
        take_from(running.url)
    assert connection.execute("select id from public.vouchers order by 1").fetchall() == [("v-1",), ("v-2",)]
    assert rejects(connection) == [
        ("vouchers", "deep", "json_unreasonable"),
        ("vouchers", "deep half", "text_unreadable"),
        ("vouchers", "deep price", "value_invalid"),
        ("vouchers", "digits", "text_unreadable"),
        ("vouchers", None, "text_unreadable"),
        ("vouchers", None, "text_unreadable"),
    ]
    contents = connection.execute(
        "select content -> 'id' ->> 'base64' from private.import_rejects where row_id is null"
    )
    assert b"5" in [b64decode(content) for (content,) in contents]


@pytest.mark.usefixtures("connection")
def test_only_some_of_many_unknown_fields_are_named() -> None:
    rows = [VOUCHER | {f"{n}-{m}": 1 for m in range(90)} for n in range(2)]
    with site({"/api/voucher/list": items(*rows, VOUCHER | {"0-0": 1, "y" * 300: 1})}) as running:
        notes = take_from(running.url)["notes"]
    names = [note for note in notes if note.startswith("The field ")]
    assert len(names) == 100
    assert names[0] == "The field 0-0 of vouchers is not imported (2 rows)."

    with site({"/api/voucher/list": items(VOUCHER | {"y" * 300: 1})}) as running:
        assert f"The field {'y' * 100} is not imported (1 rows)." in take_from(running.url)["notes"]


def test_ids_that_no_server_can_be_asked_for_are_rejected_alone(connection: psycopg.Connection) -> None:
    programs = generation_1()
    odd = [APPLICATION | {"applicationId": id_} for id_ in ("", " ", "x" * 70_000, "a\0" + "x" * 70_000)]
    odd.append(APPLICATION | {"applicationId": "app-long", "borrowerUid": "x" * 70_000})
    asked = programs[1]["/api/hypotheken/angebot/list"]

    def offers(query: Query, headers: Message) -> Reply:
        assert len(str(headers)) + len(str(query)) < 2000
        return asked(query, headers)

    lists = {
        "/api/hypotheken/anfrage/list": lambda _, __: Reply({"applications": [APPLICATION, *odd]}),
        "/api/hypotheken/angebot/list": offers,
    }
    with site(lists) as running:
        tables = take_from(running.url)["tables"]
    applications = tables["mortgage_applications"]
    assert (applications["written"], applications["rejected"], tables["mortgage_offers"]["written"]) == (2, 4, 1)


def test_a_rate_limit_is_waited_for(connection: psycopg.Connection) -> None:
    refusals = [Reply({}, 429, {"Retry-After": "0"})] * 3
    with site(
        {"/api/voucher/list": lambda _, __: refusals.pop() if refusals else Reply({"items": [VOUCHER]})}
    ) as running:
        assert take_from(running.url)["tables"]["vouchers"]["written"] == 1
    assert one(connection, "select count(*) from public.vouchers") == 1


def test_two_servers_with_the_same_id_keep_the_first_row(connection: psycopg.Connection) -> None:
    with site({"/api/voucher/list": items(VOUCHER)}) as one_site, site({}) as other:
        other.routes["/api/voucher/list"] = items(VOUCHER | {"title": "Andere"})
        tables = [line.split() for line in portal("import", "http", one_site.url, "--dry-run").splitlines()]
        assert next(line[1:7] for line in tables if line[:1] == ["vouchers"]) == ["1", "1", "0", "0", "0", "0"]
        assert not any(line[:1] == ["transfers"] for line in tables)
        assert one(connection, "select count(*) from public.vouchers") == 0
        take_from(one_site.url, other.url)
        # not even as a newer state of it
        other.routes["/api/voucher/list"] = items(VOUCHER | {"title": "Noch eine"})
        take_from(one_site.url, other.url)
    assert one(connection, "select title from public.vouchers") == "Beratung"
    assert rejects(connection) == [("vouchers", "v-1", "id_twice")] * 2


def test_every_field_that_was_recorded_is_known() -> None:
    unknown = set()
    for file in sorted((ROOT / "tests" / "legacy" / "scenarios").glob("*.yaml")):
        for scenario in read_yaml(file)["scenarios"]:
            for step in scenario["steps"]:
                for part in [*LISTS, OFFERS, FIGURES]:
                    if str(step.get("get", "")).partition("?")[0] == f"/api/{part.path.partition('?')[0]}":
                        unknown |= {(part.path, field) for field in listed(step, part.items)} - {
                            (part.path, field)
                            for field in [*part.fields.values(), *part.unused, *(part.money or ())[:1]]
                        }
    assert unknown == set()


def listed(step: Mapping[str, Any], name: str) -> set[str]:
    """The fields of the rows that a recorded answer lists."""
    answers = [step.get(key) for key in ("answer", "gen1", "gen2")]
    bodies = [answer.get(200) for answer in answers if isinstance(answer, dict)]
    rows = [row for body in bodies if isinstance(body, dict) for row in body.get(name) or () if isinstance(row, dict)]
    return {field for row in rows for field in row}


json_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=9)
    | st.sampled_from([10**400, 1e308, 2**63, -(2**63), 8640000000000001, "\0", "\udc80", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["amount", "currency", "x"]), inner),
    max_leaves=5,
)


@pytest.mark.slow
@settings(max_examples=sized(60, 20_000), derandomize=True, database=None, deadline=None)
@given(st.data())
def test_any_row_of_json_can_be_staged_whole(data: st.DataObject) -> None:
    part = data.draw(st.sampled_from([*LISTS, OFFERS, FIGURES]))
    fields = [*part.fields.values(), *(part.money or ())[:1]]
    row = data.draw(st.dictionaries(st.sampled_from(fields), json_values))
    sent = json.dumps({"ok": True, part.items: [row]}, ensure_ascii=data.draw(st.booleans())).encode(
        errors="surrogatepass"
    )
    try:
        [item] = items_of(sent, part.items)
    except ValueError:
        # bytes that are no UTF-8 are no answer
        assert (
            any(c in json.dumps(row, ensure_ascii=False) for c in map(chr, range(0xD800, 0xE000)))
            or b"Infinity" in sent
        )
        return
    columns = part.row(read_row(item), Counter())
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"create table t ({', '.join(f'{name} {kind}' for name, kind in part.columns.items())})")
        values = [columns.get(name) for name in part.columns]
        database.execute(f"insert into t values ({', '.join('?' * len(values))})", values)
        [stored] = database.execute("select * from t").fetchall()
    staged = stage(dict(zip(part.columns, stored, strict=True)))
    assert set(json.loads(staged.content)) == set(part.columns)
