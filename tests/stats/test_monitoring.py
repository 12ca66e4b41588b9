"""The legacy dashboard counts the events of thirty days as a reckoning in Python does."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.actor import SERVER
from tests.support.acting import call, unchecked

pytestmark = pytest.mark.clock

KINDS: list[tuple[str, str | None, dict[str, object]]] = [
    ("js.error", None, {}),
    ("voucher.cancel", "voucher", {"reason": "an ERROR"}),
    ("voucher.cancel", "voucher", {"reason": "krank"}),
    ("voucher.cancel", "voucher", {}),
    ("autofix", "room", {"reason": "error"}),
    ("page.crash", None, {}),
    ("resolve.fail", "room", {}),
    ("telemetry.event", "telemetry", {}),
]


def test_the_dashboard_counts_what_a_second_reckoning_counts(connection: psycopg.Connection) -> None:
    now = datetime.now(UTC)
    events = [
        (*KINDS[n * n % len(KINDS) if n % 3 else n % len(KINDS)], now - timedelta(hours=5 * n + 1)) for n in range(160)
    ]
    with unchecked(connection):
        for kind, subject, meta, at in events:
            connection.execute(
                "insert into public.events (type, subject_type, subject_id, meta, created_at)"
                " values (%s, %s, %s, %s, %s)",
                (kind, subject, subject, Jsonb(meta), at),
            )
    shown = call(connection, SERVER, "dashboard")

    recent = [event for event in events if event[3] > now - timedelta(days=30)]
    assert len(recent) < len(events)
    errors = [event for event in recent if is_error(*event[:3])]
    fixes = [event for event in recent if re.search("fix|resolve", event[0], re.IGNORECASE)]
    assert (shown["event_count"], shown["error_count"]) == (len(recent), len(errors))
    assert shown["open_errors"] == max(0, len(errors) - len(fixes))
    assert shown["fixes_per_week"] == sum(at > now - timedelta(days=7) for *_, at in fixes)
    assert shown["activity_count"] == sum(at > now - timedelta(days=1) for *_, at in recent)
    assert float(shown["error_rate"]) == pytest.approx(100 * len(errors) / len(recent), abs=0.005)
    crashes = sum("crash" in kind for kind, *_ in recent)
    assert float(shown["system_stability"]) == pytest.approx(100 - 100 * crashes / len(recent), abs=0.05)
    assert {t["type"]: t["count"] for t in shown["top_errors"]} == {
        kind: sum(event[0] == kind for event in errors) for kind, *_ in errors
    }
    for feature in shown["features"]:
        of_feature = [event for event in recent if (event[1] or "unknown") == feature["name"]]
        wrong = sum(event in errors for event in of_feature)
        assert feature["events"] == len(of_feature)
        assert float(feature["error_rate"]) == pytest.approx(100 * wrong / len(of_feature), abs=0.005)
    assert {f["name"] for f in shown["features"]} == {event[1] or "unknown" for event in recent}
    days = {day["date"]: day["count"] for day in shown["production_timeline"]}
    assert len(days) == 7
    assert days == {day: sum(f"{at:%Y-%m-%d}" == day for *_, at in recent) for day in days}


def test_the_dashboard_names_a_hundred_features(connection: psycopg.Connection) -> None:
    with unchecked(connection):
        connection.execute(
            "insert into public.events (type, subject_type, subject_id)"
            " select 'x', 'kind ' || n, 'a' from generate_series(1, 150) as n, generate_series(1, n)"
        )
    features = call(connection, SERVER, "dashboard")["features"]
    assert [feature["name"] for feature in features] == [f"kind {n}" for n in range(150, 50, -1)]


def is_error(kind: str, _: str | None, meta: dict[str, object]) -> bool:
    """Whether the dashboard counts an event as an error."""
    return bool(
        re.search("error|fail", kind, re.IGNORECASE)
        or (kind == "voucher.cancel" and re.search("error", str(meta.get("reason", "")), re.IGNORECASE))
    )
