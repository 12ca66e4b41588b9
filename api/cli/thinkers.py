"""The thinkers of browser sessions: `portal thinkers` and `portal thinkers release`."""

from typing import Annotated

import typer

from api.cli.owner import console, operator_transaction, owner_connection
from api.cli.tables import Row, Table
from api.cli.texts import visible

app = typer.Typer()

Uid = Annotated[str, typer.Argument(metavar="UID")]

_CLAIMED = """
    select
      t.public_id, coalesce(to_char(max(c.claimed_at), 'YYYY-MM-DD HH24:MI TZ'), ''), bool_or(c.is_proven),
      count(c.session_id)
    from private.claims c
    join public.thinkers t on t.id = c.thinker_id
    group by t.public_id
    order by max(c.claimed_at) desc nulls last, t.public_id
"""


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List the thinkers of browser sessions, or release one.

    Without a command: those claimed last come first. A uid that a page made up belongs to the session that used it
    first, the thinker of a token to each session that proved it. One without a session was only named by another
    thinker, and waits for its first session.

    \b
    $ portal thinkers
    $ portal thinkers release mUVyZq81Tn0aPd7hK2cR4x
    """
    if context.invoked_subcommand is not None:
        return
    with owner_connection() as connection, connection.transaction(), connection.cursor("claims") as cursor:
        table = Table(console, "uid", "since", "by", "sessions", numbers={"sessions"})
        cursor.execute(_CLAIMED)
        while rows := cursor.fetchmany(500):
            table.print(
                Row((uid, since, "token" if is_proven else "first use", str(sessions)))
                for uid, since, is_proven, sessions in rows
            )


@app.command()
def release(uid: Uid) -> None:
    """End the browser session that used a uid first, at once.

    All of its uids are free for the next session that uses them, or proves their token. For a user who has lost the
    browser, or whose cookie was copied. The thinker of a token is taken from all sessions that proved it; they go on
    without it, and may prove it again. The log names the operator.

    \b
    $ portal thinkers release mUVyZq81Tn0aPd7hK2cR4x
    """
    with owner_connection() as connection, operator_transaction(connection):
        [released] = connection.execute("select private.release_thinker(%s)", (uid,)).fetchone() or [[]]
    console.print(f"Free again: {', '.join(map(visible, released))}.")
