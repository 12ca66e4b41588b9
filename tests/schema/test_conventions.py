"""Conventions for every object of the schema, checked in the catalog: they apply to new objects at once."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.schema.specification import NEVER_ROUNDED, TABLES

OURS = "('public', 'private', 'stats')"


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection]:
    """As superuser, on a migrated database; nothing is written."""
    with psycopg.connect(shared_database) as connection:
        yield connection


def names(connection: psycopg.Connection, query: str) -> list[str]:
    """Returns the first column of a query; queries here find violations, so [] is correct."""
    return [row[0] for row in connection.execute(query.encode())]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_the_specification_has_its_columns(connection: psycopg.Connection, table: str) -> None:
    found = connection.execute(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        (f"public.{table}",),
    ).fetchall()
    expected = {column: NEVER_ROUNDED.get(type_, type_) for column, type_ in TABLES[table].items()}
    assert expected.items() <= dict(found).items()


def test_no_column_rounds_or_cuts_what_is_written(connection: psycopg.Connection) -> None:
    # the digits of a numeric, the precision of a time, the length of a text
    assert not names(
        connection,
        f"select attrelid::regclass || '.' || attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        f"where relnamespace::regnamespace::text in {OURS} and relkind in ('r', 'p') and attnum > 0 "
        f"and (atttypmod <> -1 or atttypid in ('real'::regtype, 'float8'::regtype, 'money'::regtype))",
    )


def test_every_table_has_row_level_security(connection: psycopg.Connection) -> None:
    assert not names(
        connection,
        f"select oid::regclass::text from pg_class "
        f"where relnamespace::regnamespace::text in {OURS} and relkind in ('r', 'p') and not relrowsecurity",
    )


def test_every_table_and_function_has_a_comment(connection: psycopg.Connection) -> None:
    assert not names(
        connection,
        f"select oid::regclass::text from pg_class "
        f"where relnamespace::regnamespace::text in {OURS} and relkind in ('r', 'p', 'v') "
        f"and obj_description(oid, 'pg_class') is null "
        f"union all "
        f"select oid::regprocedure::text from pg_proc "
        f"where pronamespace::regnamespace::text in {OURS} and obj_description(oid, 'pg_proc') is null",
    )


def test_every_view_is_a_security_invoker(connection: psycopg.Connection) -> None:
    # except the facts, on which the views in stats are built: no reader of figures can name them
    assert not names(
        connection,
        f"select oid::regclass::text from pg_class where relnamespace::regnamespace::text in {OURS} and relkind = 'v' "
        f"and not coalesce('security_invoker=true' = any (reloptions), false) "
        f"and oid::regclass::text !~ '^private[.][a-z_]+_facts$'",
    )


def test_a_figure_reads_facts_only(connection: psycopg.Connection) -> None:
    behind = names(
        connection,
        "select distinct d.refobjid::regclass::text from pg_depend d join pg_rewrite r on r.oid = d.objid "
        "join pg_class v on v.oid = r.ev_class where d.classid = 'pg_rewrite'::regclass "
        "and d.refclassid = 'pg_class'::regclass and v.relnamespace = 'stats'::regnamespace",
    )
    assert "private.event_facts" in behind
    assert [name for name in behind if not re.match(r"stats[.]|private[.][a-z_]+_facts$", name)] == []


def test_a_figure_reads_no_json(connection: psycopg.Connection) -> None:
    """A voucher's terms may have 64 KiB, and a figure by day would read them for each day."""
    assert not names(
        connection,
        "select u.view_name || '.' || u.column_name from information_schema.view_column_usage u "
        "join information_schema.columns c using (table_schema, table_name, column_name) "
        "where u.view_schema = 'private' and u.view_name like '%\\_facts' and c.data_type in ('json', 'jsonb')",
    )


def test_every_function_fixes_its_search_path(connection: psycopg.Connection) -> None:
    # the names in a body of SQL that is no text (return ...) were looked up when the function was made
    assert not names(
        connection,
        f"select oid::regprocedure::text from pg_proc where pronamespace::regnamespace::text in {OURS} "
        f"""and prosqlbody is null and not coalesce('search_path=""' = any (proconfig), false)""",
    )


def test_every_answer_has_its_times_in_utc(connection: psycopg.Connection) -> None:
    """In a zone east of it the last hours of the year 9999 are in the year 10000, which clients cannot read.

    A statement has times of the server only; the command line prints it in the portal's zone.
    """
    others = names(
        connection,
        "select proname from pg_proc where pronamespace = 'public'::regnamespace "
        "and prorettype in ('jsonb'::regtype, 'jsonb[]'::regtype) "
        "and not coalesce('TimeZone=UTC' = any (proconfig), false)",
    )
    assert sorted(others) == ["get_settlement", "get_statement"]


def test_no_function_ends_in_an_error_that_postgrest_repeats(connection: psycopg.Connection) -> None:
    """A serialization failure or a deadlock, which PostgREST (up to 14) repeats without end."""
    assert not names(
        connection,
        f"select oid::regprocedure::text from pg_proc where pronamespace::regnamespace::text in {OURS} "
        "and concat(prosrc, proconfig) ~* '40001|40P01|serialization_failure|deadlock_detected|isolation'",
    )


def test_figures_are_not_compiled(connection: psycopg.Connection) -> None:
    """On Supabase, PostgreSQL 15 and 17 would spend seconds on compiling what runs for milliseconds."""
    reads_figures = (
        "select oid::regprocedure::text from pg_proc where pronamespace = 'public'::regnamespace"
        " and (proname ~ '_stats$' or prosrc ~ '\\mstats\\.' or proname in ('dashboard', 'error_summary'))"
    )
    assert len(names(connection, reads_figures)) == 9
    assert not names(connection, f"{reads_figures} and not 'jit=off' = any (proconfig)")


def test_every_foreign_key_has_an_index_and_an_action_on_delete(connection: psycopg.Connection) -> None:
    assert not names(
        connection,
        f"select conname from pg_constraint c "
        f"where contype = 'f' and connamespace::regnamespace::text in {OURS} and (confdeltype = 'a' or not exists ("
        f"  select from pg_index i where i.indrelid = c.conrelid and i.indkey[0] = c.conkey[1]"
        "    and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', ("
        "      select attname from pg_attribute where attrelid = c.conrelid and attnum = c.conkey[1])))))",
    )


def test_every_check_is_named_after_its_rule(connection: psycopg.Connection) -> None:
    assert not names(
        connection,
        f"select conname from pg_constraint "
        f"where contype = 'c' and connamespace::regnamespace::text in {OURS} and conname ~ '_check[0-9]*$'",
    )


# written by triggers: ids, known words, and names of operators, which have caps where they come from
NO_CLIENT_WRITES = {
    "fee_events.operator", "fee_events.subject_id",
    "fee_versions.changed_by", "fee_versions.currency", "fee_versions.payer", "fee_versions.scope",
    "mortgage_offers.loan_currency", "settlement_payments.recorded_by", "settlements.created_by",
    "settlements.invoiced_by", "settlements.number", "settlements.paid_by", "settlements.voided_by",
    "settlements.written_off_by", "voucher_bookings.price_currency",
}  # fmt: skip

# the legacy servers took so much
LONG = {"vouchers.description": 128 * 1024, "transfers.label": 128 * 1024}


def test_a_row_is_small(connection: psycopg.Connection) -> None:
    """A filter (LIKE, @>) on one row cannot be interrupted, and one request may select a column 1,600 times."""
    columns = connection.execute(
        """
        select c.relname || '.' || a.attname, a.attname, coalesce(string_agg(rule, '; '), '')
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join lateral (
          select pg_get_constraintdef(oid) from pg_constraint
          where conrelid = c.oid and a.attnum = any (conkey) and (contype = 'c' or cardinality(confkey) = 1)
          union all
          select pg_get_triggerdef(oid) from pg_trigger where tgrelid = c.oid and a.attnum = any (tgattr)
        ) as rules (rule) on true
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and a.atttypid in ('text'::regtype, 'text[]'::regtype, 'json'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
        group by c.relname, a.attname
        """
    ).fetchall()
    assert len(columns) > 80
    large = set()
    for name, column, rules in columns:
        caps = [
            int(cap)
            for cap in re.findall(rf"(?:octet|char)_length\((?:\(to_json\()?{column}(?:\)\)::text)?\) <= (\d+)", rules)
        ]
        is_listed = re.search(
            rf"\({column} (?:= ANY|<@) \(?ARRAY|\({column} ~ '\^\S+\{{[\d,]+\}}\$'|FOREIGN KEY|check_json\(.*{column}",
            rules,
        )
        if not is_listed and min(caps, default=10**9) > LONG.get(name, 4096):
            large.add(name)
    assert large == NO_CLIENT_WRITES


def test_no_role_of_the_api_may_write_a_table(connection: psycopg.Connection) -> None:
    granted = connection.execute(
        "select distinct privilege from pg_class, "
        "unnest(array['anon', 'authenticated', 'service_role', 'stats_reader']) as role, "
        "unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege "
        f"where relnamespace::regnamespace::text in {OURS} and relkind in ('r', 'p', 'v') "
        "and has_table_privilege(role, oid, privilege)"
    ).fetchall()
    assert granted == [("select",)]


def test_every_policy_names_its_roles_and_wraps_auth_uid(connection: psycopg.Connection) -> None:
    policies = connection.execute("select policyname, roles::text, cmd, qual from pg_policies").fetchall()
    assert len(policies) == 43
    for name, roles, command, condition in policies:
        assert "public" not in roles, name
        assert command == "SELECT", name
        # PostgreSQL cuts longer names
        assert len(name.encode()) < 63, name
        # called for every row unless it is wrapped in a subquery
        calls = re.sub(r"SELECT (auth\.uid\(\)|private\.\w+\([^()]*\))", "", condition)
        assert not re.search(r"(auth|private)\.\w+\(", calls), (name, condition)


def test_a_policy_finds_the_rows_of_its_reader_by_a_function(connection: psycopg.Connection) -> None:
    # where the planner expects more rows than a hash holds, it runs a subquery for every row; of a function it expects
    # 1,000 rows
    conditions = connection.execute("select tablename, qual from pg_policies").fetchall()
    asked = {
        (table, source)
        for table, condition in conditions
        for source in re.findall(r"IN \( SELECT [^()]*?FROM (?:public\.)?(\w+)", condition)
    }
    assert asked == {
        ("settlement_lines", "settlements"),
        ("settlement_payments", "settlements"),
        # those of the offers that a function finds
        ("fee_events", "mortgage_contracts"),
    }


# columns of a few well-known words
WORDS = (
    "('status', 'type', 'direction', 'rate_type', 'role', 'currency', 'subject_type', 'fee_id', 'price_currency', "
    "'fiat_currency')"
)


def test_statistics_reveal_no_hidden_texts(connection: psycopg.Connection) -> None:
    assert not names(
        connection,
        f"select a.attrelid::regclass || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        f"where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.atttypid = 'text'::regtype "
        f"and c.relname not in ('voucher_templates', 'fees', 'fee_versions') and coalesce(a.attstattarget, -1) <> 0 "
        f"and not (a.attname in {WORDS} and a.attrelid <> 'public.telemetry_events'::regclass)",
    )


def test_outsiders_may_call_only_functions_without_secrets(connection: psycopg.Connection) -> None:
    assert names(
        connection,
        f"select proname from pg_proc where pronamespace::regnamespace::text in {OURS} "
        f"and has_schema_privilege('anon', pronamespace, 'usage') and has_function_privilege('anon', oid, 'execute') "
        f"order by 1",
    ) == ["available_slots", "check_request", "ping"]


def test_the_five_templates_of_the_portal_exist(connection: psycopg.Connection) -> None:
    templates = names(connection, "select id from public.voucher_templates order by id")
    assert templates == ["consulting", "machine", "membership", "therapy", "viewing"]


# a call with the database's collation, in pg_constraint.conbin
IN_THE_DATABASE_COLLATION = re.compile(r":(?:op)?funcid (\d+)[^{}]* :inputcollid 100 ")


def test_an_id_is_in_one_index_that_clients_make_postgresql_plan_with(connection: psycopg.Connection) -> None:
    # with each more, filters of many "or" take twice the memory; a page is sorted by id within equal times. Of events
    # the ids are long, and so few
    assert (
        names(
            connection,
            "select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid "
            "where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not i.indisprimary and exists "
            "(select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' "
            " and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])) and c.relname <> 'settlements'",
        )
        == []
    )


def test_no_index_depends_on_the_locale(connection: psycopg.Connection) -> None:
    # after a restore into another locale, or an upgrade of the system's library, it would be in another order
    assert not names(
        connection,
        f"select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid "
        f"where c.relnamespace::regnamespace::text in {OURS} "
        f"and exists (select from unnest(i.indcollation::oid[]) as used where used not in (0, '\"C\"'::regcollation))",
    )


def test_no_constraint_depends_on_the_locale(connection: psycopg.Connection) -> None:
    used = {
        (name, int(function))
        for name, expression in connection.execute(
            f"select conname, conbin::text from pg_constraint "
            f"where contype = 'c' and connamespace::regnamespace::text in {OURS}".encode()
        )
        for function in IN_THE_DATABASE_COLLATION.findall(expression)
    }
    # equality, lengths and JSON are the same in every collation, and the names of time zones are ASCII
    harmless = connection.execute(
        "select oid::int from pg_proc where proname in "
        "('texteq', 'textne', 'textcat', 'char_length', 'octet_length', 'to_json', 'arraycontained', 'is_time_zone')"
    ).fetchall()
    assert "voucher_status_is_valid" in {name for name, _ in used}
    assert [name for name, function in used if (function,) not in harmless] == []
