"""Everybody who may ask, and how PostgREST would let them in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from api.identity import Actor, Role


@dataclass(frozen=True)
class Caller:
    """A database role with the claims of a JWT; `column` is where the expectations speak of it."""

    column: str
    role: Role
    claims: str


def _signed_in(column: str, uid: str, app_metadata: object = None) -> Caller:
    claims = json.loads(Actor("authenticated", uid).claims())
    return Caller(column, "authenticated", json.dumps(claims | {"app_metadata": app_metadata}))


CALLERS = {
    "anon": Caller("anon", "anon", Actor("anon").claims()),
    "anon without claims": Caller("anon", "anon", ""),
    "owner": _signed_in("owner", "anna"),
    "party": _signed_in("party", "ben"),
    "stranger": _signed_in("stranger", "sam"),
    "lender": _signed_in("lender", "lena"),
    "notary": _signed_in("notary", "nora"),
    "admin": _signed_in("admin", "ada"),
    "admin by claim": _signed_in("admin", "olga", {"role": "admin"}),
    "admin by claims": _signed_in("admin", "olga", {"roles": ["notary", "admin"]}),
    "service_role": Caller("service_role", "service_role", Actor("service_role").claims()),
}


@contextmanager
def acting(connection: psycopg.Connection, caller: Caller) -> Iterator[None]:
    """Everything inside is done as the caller, and taken back."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            (caller.role, caller.claims),
        )
        yield
