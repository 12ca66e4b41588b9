"""The commands `portal export`: take data out."""

import typer

from api.cli import persons

app = typer.Typer(no_args_is_help=True, help="Take data out.")
app.command("thinker")(persons.export_thinker)
