"""The callers that the expectations name, and how PostgREST would identify them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg

from api.actor import Actor, Role


@dataclass(frozen=True)
class Caller:
    """A database role with the claims of a JWT; `column` is its column in the expectations."""

    column: str
    role: Role | Literal["stats_reader"]
    claims: str


def _caller(column: str, actor: Actor) -> Caller:
    return Caller(column, actor.role, json.dumps(actor.claims()))


CALLERS = {
    "anon": _caller("anon", Actor("anon")),
    "anon without claims": Caller("anon", "anon", ""),
    "owner": _caller("owner", Actor("authenticated", "anna")),
    "party": _caller("party", Actor("authenticated", "ben")),
    "stranger": _caller("stranger", Actor("authenticated", "sam")),
    "lender": _caller("lender", Actor("authenticated", "lena")),
    "notary": _caller("notary", Actor("authenticated", "nora")),
    "admin": _caller("admin", Actor("authenticated", "ada")),
    "admin by claim": _caller("admin", Actor("authenticated", "olga", {"role": "admin"})),
    "admin by claims": _caller("admin", Actor("authenticated", "olga", {"roles": ["notary", "admin"]})),
    "service_role": _caller("service_role", Actor("service_role")),
    "stats_reader": Caller("stats_reader", "stats_reader", ""),
}


@contextmanager
def acting(connection: psycopg.Connection, caller: Caller) -> Iterator[None]:
    """Run the block as the caller, and roll it back."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (caller.role, caller.claims),
        )
        yield
