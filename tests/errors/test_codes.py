"""Every error code is in ERRORS, is raised somewhere, and is named by the comments and routes that can raise it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from api.app import create_app
from api.errors import ERRORS, ApiError
from api.http.openapi import ANY_KEY, error_responses
from api.http.wire import Wire
from api.legacy.routing import LegacyRouting
from api.settings import ROOT
from tests.errors.raised import SqlFunctions, raised_by
from tests.support.serving import settings_in

DOCUMENT = "GET /api/contracts/{contract_id:str}/document"
TELEMETRY = "POST /api/telemetry"
BOOK = "POST /api/voucher/book"


@pytest.fixture(scope="module")
def sql(shared_database: str) -> SqlFunctions:
    return SqlFunctions.of(shared_database)


@pytest.fixture
def app(tmp_path: Path) -> Litestar:
    """The application, without a database."""
    app = create_app(settings_in(tmp_path), "postgresql:///unused")
    assert isinstance(app, Wire)
    assert isinstance(app.app, LegacyRouting)
    return app.app.app


def test_comments_of_sql_functions_name_the_codes_that_they_raise(sql: SqlFunctions) -> None:
    raised = {name: sql.raised(name) for name in sql.bodies}
    assert {name: sql.promised(name) for name in sql.bodies} == raised


def test_every_raised_code_is_in_the_table(sql: SqlFunctions) -> None:
    assert len(sql.all_raised) > 20
    assert (sql.all_raised | _raised_in_python()) - ERRORS.keys() == set()


def test_every_code_of_the_table_is_used(sql: SqlFunctions) -> None:
    assert ERRORS.keys() - sql.all_raised - _used_in_python() == set()


def test_routes_declare_the_errors_that_they_can_raise(app: Litestar, sql: SqlFunctions) -> None:
    handlers = {name: handler for name, handler in _handlers(app) if handler.responses}
    assert len(handlers) > 30
    declared = {name: _declared(handler) for name, handler in handlers.items()}
    # the statements of this server are small
    codes = {name: raised_by(handler, sql) - {"query_too_large"} for name, handler in handlers.items()}
    raised = {name: _messages(handler, codes[name]) for name, handler in handlers.items()}
    # all methods of a dependency count, and this route only reads documents
    raised[DOCUMENT] -= _messages(handlers[DOCUMENT], {"too_large", "storage_full"})
    # count as the server
    for name in (TELEMETRY, BOOK):
        raised[name] -= _messages(handlers[name], {"not_a_server"})
    assert {name: raised[name] - declared[name] for name in handlers if not raised[name] <= declared[name]} == {}

    # errors that every route can raise need not occur in its own code, nor those of the triggers of a table
    triggers = {code for name in sql.bodies if name.startswith("tg_") for code in sql.raised(name)}
    for name, handler in handlers.items():
        general = _declared_by(error_responses(*ANY_KEY, body=True, language=handler.opt.get("language", "de")))
        assert (name, declared[name] - raised[name] - general - _messages(handler, triggers)) == (name, set())


def _handlers(app: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Returns the routes by method and path."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            yield f"{' '.join(sorted(handler.http_methods))} {route.path}", handler


def _messages(handler: HTTPRouteHandler, codes: set[str]) -> set[str]:
    return {ApiError(code, "…").message(handler.opt.get("language", "de")) for code in codes}


def _declared(handler: HTTPRouteHandler) -> set[str]:
    return _declared_by(handler.responses or {})


def _declared_by(responses: object) -> set[str]:
    assert isinstance(responses, dict)
    errors = [response.description for status, response in responses.items() if status >= 400]
    return {message for description in errors for message in description.split("; ")}


def _trees() -> Iterator[ast.AST]:
    """Returns the syntax trees of api/, without the module of the table."""
    for path in (ROOT / "api").rglob("*.py"):
        if path != ROOT / "api" / "errors.py":
            yield ast.parse(path.read_text())


def _raised_in_python() -> set[str]:
    """Returns the codes that Python raises: the first argument of ApiError and Required."""
    calls = (part for tree in _trees() for part in ast.walk(tree) if isinstance(part, ast.Call))
    return {
        code
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in ("ApiError", "Required")
        for code in _codes(call.args[0])
    }


def _codes(argument: ast.expr) -> Iterator[str]:
    """Returns the codes that an argument can be, as far as they are literals."""
    if isinstance(argument, ast.IfExp):
        yield from (*_codes(argument.body), *_codes(argument.orelse))
    elif isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value


def _used_in_python() -> set[str]:
    """Returns the strings in Python that are not only declared in `error_responses(...)` or a tuple of codes."""
    texts: set[str] = set()
    for tree in _trees():
        declarations = [
            part
            for part in ast.walk(tree)
            if (isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "error_responses")
            or (isinstance(part, ast.Assign) and isinstance(part.value, ast.Tuple))
        ]
        declared = {id(part) for declaration in declarations for part in ast.walk(declaration)}
        texts |= {
            part.value
            for part in ast.walk(tree)
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in declared
        }
    return texts
