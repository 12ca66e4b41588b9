"""The application: its routes, what every request passes through, and how errors are answered."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins.pydantic import PydanticPlugin
from litestar.types import ASGIApp, ControllerRouterHandler
from pydantic import BaseModel

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Gateway
from api.gateway.direct import DirectGateway
from api.gateway.postgrest import PostgrestGateway
from api.http.body import MAX_BODY_BYTES, PortalRequest
from api.http.callers import TOKEN_COOKIE, CallerMiddleware
from api.http.idempotency import read_key
from api.http.openapi import ErrorBody, RequestSchemas, error_responses
from api.legacy.routing import LegacyRouting
from api.page import admin_pages
from api.routes import contracts, hypotheken, mortgage, presence, telbank, telemetry, voucher
from api.routes.admin import figures, monitoring, settlements
from api.routes.portal_pages import portal_pages
from api.settings import Settings
from api.storage import Storage
from api.tokens import Tokens

PROOFS: list[dict[str, list[str]]] = [{"apiKey": []}, {"token": []}, {"cookie": []}]
"""Any of these tells who asks."""

_log = logging.getLogger(__name__)


class Health(BaseModel):
    """The server and its database answer."""

    ok: bool = True


@get(
    "/health",
    security=[{}],
    opt={"language": "en"},
    responses=error_responses(language="en", is_open=True),
    tags=["health"],
)
async def health(gateway: NamedDependency[Gateway]) -> Health:
    """200 only when the database answers."""
    await gateway.call("ping", Actor("anon"))
    return Health()


def create_app(settings: Settings, database_url: str | None) -> ASGIApp:
    """The application for these settings: on the project at SUPABASE_URL, or else the database at a libpq URL."""
    storage, tokens = Storage(settings), Tokens(settings)
    gateway: Gateway
    if settings.supabase_url is not None:
        gateway = PostgrestGateway(settings, tokens)
    else:
        assert database_url is not None
        gateway = DirectGateway(database_url)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with gateway.open():
            yield

    legacy = Router(
        "/",
        route_handlers=[
            presence.router,
            voucher.router,
            voucher.available_slots,
            telbank.router,
            hypotheken.router,
            mortgage.router,
            contracts.router,
            telemetry.report,
            monitoring.router,
            settlements.router,
            figures.router,
        ],
        middleware=[CallerMiddleware],
    )
    routes: list[ControllerRouterHandler] = [health, legacy, admin_pages]
    if settings.portal_dir is not None:
        routes.append(portal_pages(settings.portal_dir))

    return LegacyRouting(
        Litestar(
            routes,
            lifespan=[lifespan],
            state=State({"settings": settings, "gateway": gateway, "tokens": tokens}),
            dependencies={
                "gateway": Provide(lambda: gateway, sync_to_thread=False),
                "idempotency_key": Provide(read_key, sync_to_thread=False),
                "storage": Provide(lambda: storage, sync_to_thread=False),
            },
            request_class=PortalRequest,
            request_max_body_size=MAX_BODY_BYTES,
            exception_handlers={
                ApiError: answer_api_error,
                HTTPException: answer_http_error,
                Exception: answer_fault,
            },
            cors_config=CORSConfig(
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-MOT-User", "X-TS-APIKEY"],
                allow_credentials=True,
            )
            if settings.cors_origins
            else None,
            plugins=[RequestSchemas(), PydanticPlugin(prefer_alias=True)],
            openapi_config=OpenAPIConfig(
                title="TogetherSystems portal",
                version="1",
                description=(
                    "The legacy /api of the portal, answered from Postgres. As in JavaScript, an empty text, 0, false "
                    "and null count as missing. No text, wherever it stands, may hold a NUL (U+0000)."
                ),
                use_handler_docstrings=True,
                # the document itself needs no network; the page for reading it fetches its script
                render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), SwaggerRenderPlugin(path="/swagger")],
                components=Components(
                    security_schemes={
                        "apiKey": SecurityScheme(type="apiKey", name="X-TS-APIKEY", security_scheme_in="header"),
                        "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                        "cookie": SecurityScheme(type="apiKey", name=TOKEN_COOKIE, security_scheme_in="cookie"),
                    }
                ),
                # without a key the server is this machine's only, and asks nobody
                security=PROOFS if settings.ts_api_key else [*PROOFS, {}],
                openapi_router=Router(
                    "/schema", route_handlers=[], include_in_schema=False, after_request=answer_unknown_page
                ),
            ),
        )
    )


def answer_api_error(request: Request[Any, Any, Any], error: ApiError) -> Response[ErrorBody]:
    """Answer with the status and message of the code, in the language of the route."""
    opt = request.route_handler.opt
    if error.code in opt:
        error = ApiError(opt[error.code], error.detail)
    return Response(ErrorBody(error=error.message(opt.get("language", "de"))), status_code=error.status)


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """An error that Litestar found: its own sentence where that says something, else the status's name."""
    if error.status_code >= 500:
        return answer_fault(request, error)
    match error.status_code:
        case 401:
            sentence = error.detail
        case 413:
            sentence = ApiError("too_large").message("en")
        case 429:
            sentence = ApiError("rate_limited").message("en")
        case status:
            sentence = HTTPStatus(status).phrase.lower()
    headers = error.headers or {}
    if "GET" in headers.get("allow", ""):
        headers = headers | {"allow": f"{headers['allow']}, HEAD"}
    return Response(ErrorBody(error=sentence), status_code=error.status_code, headers=headers)


def answer_unknown_page(response: Response[Any]) -> Response[Any]:
    """What Litestar would answer as a page of HTML."""
    if response.status_code != 404:
        return response
    return Response(ErrorBody(error="not found").model_dump(), status_code=404, media_type=MediaType.JSON)


def answer_fault(_: Request[Any, Any, Any], error: Exception) -> Response[ErrorBody]:
    """A fault of ours: logged in full, told in short."""
    _log.error("a request failed", exc_info=error)
    return Response(ErrorBody(error="internal server error"), status_code=500)
