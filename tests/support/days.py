"""Days and months in the portal's time zone (private.settings), independent of the session's time zone."""

from datetime import date

import psycopg

from tests.support.acting import one


def portal_today(connection: psycopg.Connection) -> date:
    """Returns today in the portal's time zone."""
    today: date = one(connection, "select (now() at time zone time_zone)::date from private.settings")
    return today


def use_portal_zone(connection: psycopg.Connection) -> None:
    """Sets the session's time zone to the portal's, so that `current_date` and `now() - '5 days'` are of its days."""
    connection.execute("select set_config('timezone', time_zone, false) from private.settings")
