"""The error codes that functions can raise: of SQL by function bodies in the catalog, of Python by references."""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from inspect import getclosurevars, isclass, isfunction
from types import CodeType
from typing import Any, get_args

import psycopg
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel

from api.errors import ERRORS
from api.gateway.session_calls import SessionCalls
from api.http.body import PortalRequest
from api.http.callers import SessionCaller

Codes = Mapping[str, str]
"""Error codes, and the HTTP status of each."""

_RAISE = re.compile(r"raise\s+sqlstate\s+'PT(\d{3})'\s+using\s+message\s*=\s*'(\w+)'")
_CALL = re.compile(r"\b(?:private|public)\.(\w+)\s*\(")
_PROMISE = re.compile(r"Raises: ((?:\w+(?:, \w+)* \(\d{3}\)(?:; )?)+)\.$")
_PROMISED = re.compile(r"(\w+(?:, \w+)*) \((\d{3})\)")


@dataclass
class SqlFunctions:
    """The functions of the schemas public and private: their bodies and comments."""

    bodies: Mapping[str, str]
    comments: Mapping[str, str]

    @classmethod
    def of(cls, database: str) -> "SqlFunctions":
        """Returns the functions of a database. Overloads of a name count as one function."""
        bodies: dict[str, str] = {}
        comments: dict[str, str] = {}
        with psycopg.connect(database) as connection:
            for name, body, comment in connection.execute(
                "select proname, prosrc, coalesce(obj_description(oid, 'pg_proc'), '') from pg_proc"
                " where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
                " and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')"
            ):
                bodies[name] = bodies.get(name, "") + body
                comments[name] = comments.get(name, "") + comment
        return cls(bodies, comments)

    def raised(self, name: str) -> Codes:
        """Returns the codes that a function raises, itself or in a function that it calls."""
        codes: dict[str, str] = {}
        seen, left = set[str](), [name]
        while left:
            called = left.pop()
            if called not in seen and called in self.bodies:
                seen.add(called)
                codes |= {code: status for status, code in _RAISE.findall(self.bodies[called])}
                left += _CALL.findall(self.bodies[called])
        return codes

    def promised(self, name: str) -> Codes:
        """Returns the codes that a function's comment names in its last sentence."""
        promise = _PROMISE.search(self.comments[name])
        groups = _PROMISED.findall(promise[1]) if promise else []
        return {code: status for codes, status in groups for code in codes.split(", ")}

    @cached_property
    def all_raised(self) -> Set[str]:
        """Returns the codes that any function raises."""
        return {code for body in self.bodies.values() for _, code in _RAISE.findall(body)}


def raised_by(handler: HTTPRouteHandler, sql: SqlFunctions) -> set[str]:
    """Returns the codes that a route can raise: those in its code, and those of the SQL functions that it calls."""
    signature = handler.parsed_fn_signature.parameters
    things = [
        handler.fn,
        *(provide.dependency for name, provide in handler.resolve_dependencies().items() if name in signature),
        *(parameter.annotation for parameter in signature.values()),
        *handler.opt.values(),
    ]
    # what every caller can be answered is declared for every route
    seen = {id(PortalRequest), id(SessionCaller), id(SessionCalls)}
    texts = {text for thing in things for text in _texts(thing, seen)}
    if handler.middleware:
        texts.add("rate_limited")
    return texts & ERRORS.keys() | {code for name in texts & sql.bodies.keys() for code in sql.raised(name)}


def _texts(thing: Any, seen: set[int]) -> Iterator[str]:
    """Returns the strings in a function or class of api/, and in the functions and classes that it refers to."""
    if isinstance(thing, str):
        yield thing
    if isinstance(thing, str) or id(thing) in seen:
        return
    seen.add(id(thing))
    parts: Iterable[Any] = ()
    if isinstance(thing, CodeType):
        parts = thing.co_consts
    elif isinstance(thing, (classmethod, staticmethod)):
        parts = [thing.__func__]
    elif isfunction(thing) and thing.__module__.startswith("api."):
        references = getclosurevars(thing)
        parts = [thing.__code__, *references.nonlocals.values(), *references.globals.values()]
    elif isclass(thing) and thing.__module__.startswith("api."):
        parts = [member for base in thing.__mro__ for member in vars(base).values()]
        if issubclass(thing, BaseModel):
            fields = thing.model_fields.values()
            parts += [part for field in fields for part in (field.annotation, *field.metadata)]
    else:
        # annotations count, with their arguments: Required(code), BeforeValidator(func)
        parts = [*get_args(thing), getattr(thing, "code", None), getattr(thing, "func", None)]
    for part in parts:
        yield from _texts(part, seen)
