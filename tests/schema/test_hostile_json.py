"""A small JSON must not become gigabytes: `1e-16383` has eight characters and is printed with 16,385."""

import psycopg
import pytest

from tests.support.acting import call, call_or_reason, connections, one, thinker

# what the functions with JSON parameters require besides
REQUIRED: dict[str, dict[str, object]] = {
    "offer_mortgage": {"application_id": "a"},
    "log_transfer": {
        "direction": "in", "crypto_amount": 1, "crypto_symbol": "ETH", "fiat_major": 1, "fiat_currency": "EUR",
    },
}  # fmt: skip

JSON_PARAMETERS = """
    select p.proname, p.proargnames[n]
    from pg_proc p cross join unnest(p.proargtypes) with ordinality as argument (type, n)
    where p.pronamespace = 'public'::regnamespace and argument.type = 'jsonb'::regtype
    order by 1, 2
"""


def test_no_parameter_takes_much_memory_before_it_is_refused(shared_database: str) -> None:
    with psycopg.connect(shared_database) as connection:
        parameters = connection.execute(JSON_PARAMETERS).fetchall()
    assert len(parameters) == 12
    for function, parameter in parameters:
        assert peak_megabytes(shared_database, function, parameter, "1e-16383", 12_000) < 100, (function, parameter)


@pytest.mark.parametrize(
    ("number", "times"), [("1e308", 100_000), ("5e-324", 100_000), ("0e-16383", 100_000), ("0e-16383", 12_000)]
)
def test_no_number_takes_much_memory_before_it_is_refused(shared_database: str, number: str, times: int) -> None:
    assert peak_megabytes(shared_database, "issue_voucher", "terms", number, times) < 100


@pytest.mark.parametrize(("uid", "terms", "most"), [("anna", [[]] * 990, 13), ("ben", [1] * 4_000, 23)])
def test_a_page_has_only_so_many_values(shared_database: str, uid: str, terms: list[object], most: int) -> None:
    with connections(shared_database, 1) as [connection]:
        call(connection, thinker(uid), "issue_voucher", terms=terms)
        connection.execute(
            "insert into public.vouchers (issuer_id, valid_from, valid_until, terms)"
            " select issuer_id, now(), now(), terms from public.vouchers, generate_series(1, 99)"
            " where issuer_id = private.thinker_id(%s)",
            (uid,),
        )
        page = call(connection, thinker(uid), "list_vouchers", issuer_uid=uid)
    # a MiB, in which an array counts as 64 bytes more than it has, and any other value as 8
    assert len(page) == most
    assert "next" in page[-1]


def peak_megabytes(database: str, function: str, parameter: str, number: str, times: int) -> int:
    """The most memory that a backend has had after it refused this number so many times; an idle one has about 30."""
    # an event of telemetry, and JSON as good as any other
    value = f'[{{"type": "seen", "meta": [{",".join([number] * times)}]}}]'
    with connections(database, 1) as [connection]:
        params = REQUIRED.get(function, {}) | {parameter: value, "idempotency_key": "k"}
        assert call_or_reason(connection, thinker("t"), function, **params) == "json_unreasonable"
        status: str = one(connection, "select pg_read_file('/proc/self/status')")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024
