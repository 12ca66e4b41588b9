"""How errors are answered: `{"ok": false, "error": message}` with the status of the error."""

import logging
from http import HTTPStatus
from typing import Any, Literal

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from pydantic import BaseModel

from api.errors import ApiError
from api.http.callers import ProvenCaller
from api.http.origins import is_from_own_page
from api.http.sessions import sessions_of

_log = logging.getLogger(__name__)


class ErrorBody(BaseModel):
    """The body of every error."""

    ok: Literal[False] = False
    error: str


def _handle_api_error(request: Request[Any, Any, Any], error: ApiError) -> Response[ErrorBody]:
    """Answer with the status and message of the code, in the language of the route.

    An opt of the route that is named like the code replaces it by another code.
    """
    opt = request.route_handler.opt
    headers = {"Retry-After": error.retry_after} if error.retry_after else {}
    if error.code == "body_timeout":
        headers["Connection"] = "close"  # the rest of the body is not waited for
    sessions = sessions_of(request.app.state)
    # a token may have ended with another session than that of the browser
    is_of_browser = not isinstance(request.scope.get("user"), ProvenCaller)
    if error.code in ("session_required", "session_ended") and is_of_browser and sessions and is_from_own_page(request):
        headers["Set-Cookie"] = sessions.cookie(request)
    error = ApiError(opt.get(error.code, error.code), error.detail)
    message = error.message(opt.get("language", "de"))
    return Response(ErrorBody(error=message), status_code=error.status, headers=headers)


def _handle_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """Answer an exception that Litestar raised: with our own message, or the phrase of its status."""
    if error.status_code >= 500:
        return _handle_bug(request, error)
    match error.status_code:
        case 401:
            message = error.detail
        case 413:
            message = ApiError("too_large").message("en")
        case 429:
            message = ApiError("rate_limited").message("en")
        case status:
            message = HTTPStatus(status).phrase.lower()
    headers = error.headers or {}
    if "GET" in headers.get("allow", ""):
        headers = headers | {"allow": f"{headers['allow']}, HEAD"}
    return Response(ErrorBody(error=message), status_code=error.status_code, headers=headers)


def _handle_bug(_: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    """Log the traceback; answer a generic 500."""
    _log.error("a request failed", exc_info=error)
    return Response(ErrorBody(error="internal server error"), status_code=500)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ApiError: _handle_api_error,
    HTTPException: _handle_http_exception,
    Exception: _handle_bug,
}
