"""The application: its routes, and what every request passes through."""

from typing import TYPE_CHECKING

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins.pydantic import PydanticPlugin
from litestar.types import ASGIApp, ControllerRouterHandler

from api.errors import PortalError
from api.gateway import REPLAYED_HEADER, Gateway
from api.gateway.direct import DirectGateway
from api.gateway.replica import ReplicatedGateway
from api.gateway.shares import Shares
from api.http.admin_sessions import AdminSessions
from api.http.body import MAX_BODY_BYTES, PortalRequest, Turns
from api.http.callers import CallerMiddleware
from api.http.errors import EXCEPTION_HANDLERS
from api.http.idempotency import mark_replayed, read_key
from api.http.incoming import Incoming, Places
from api.http.observation import Observer
from api.http.openapi import RequestSchemas, openapi_config
from api.http.pages import EXPOSED, read_page
from api.http.rate_limit import Bytes, Counts
from api.http.sessions import Sessions
from api.http.upload import Uploads
from api.http.wire import Wire
from api.legacy.routing import LegacyRouting
from api.metrics import Figures, Metrics
from api.page import admin_pages
from api.rooms import Rooms
from api.routes import contracts, health, jwks, presence, room_chat, telbank, telemetry, voucher
from api.routes.admin import figures, monitoring, session, settlements
from api.routes.admin.monitoring import ErrorCount
from api.routes.health import Readiness
from api.routes.metrics import read_metrics
from api.routes.mortgages import hypotheken, mortgage
from api.routes.portal_pages import portal_pages
from api.settings import Settings
from api.storage import Storage
from api.tokens import Tokens

if TYPE_CHECKING:
    from api.tracing import Tracing

API: list[ControllerRouterHandler] = [
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
    session.router,
]
"""The routes under /api, whose requests are authenticated."""


def create_app(settings: Settings, database_url: str | None) -> ASGIApp:
    """The application for these settings: on the project at SUPABASE_URL, or else the database at a libpq URL."""
    storage, uploads, tokens = Storage(settings), Uploads(), Tokens(settings)
    gateway, rooms, tracing = _gateway(settings, tokens, database_url), Rooms(tokens, database_url), _tracing(settings)
    if tracing is not None:
        gateway = tracing.of_calls(gateway)
    key, shares = settings.ts_api_key, Shares(gateway)
    metrics = Metrics(shares.usage)
    app = LegacyRouting(
        Litestar(
            _routes(settings),
            lifespan=[
                *([] if tracing is None else [lambda _: tracing.exporting()]),
                lambda _: gateway.open(),
                lambda _: rooms.open(),
            ],
            state=State(
                {
                    "settings": settings,
                    "shares": shares,
                    "readiness": Readiness(shares),
                    "counts": Counts(),
                    "bytes": Bytes(),
                    "metrics": metrics,
                    "figures": Figures(shares),
                    "tokens": tokens,
                    "sessions": Sessions(settings, tokens) if settings.has_sessions else None,
                    "admin_sessions": AdminSessions(key.get_secret_value(), tokens) if key else None,
                    "errors": ErrorCount(),
                    "incoming": Incoming(),
                    "turns": Turns(),
                    "places": Places(),
                    "rooms": rooms,
                }
            ),
            dependencies={
                "idempotency_key": Provide(read_key, sync_to_thread=False),
                "page": Provide(read_page, sync_to_thread=False),
                "storage": Provide(lambda: storage, sync_to_thread=False),
                "uploads": Provide(lambda: uploads, sync_to_thread=False),
            },
            request_class=PortalRequest,
            request_max_body_size=MAX_BODY_BYTES,
            exception_handlers=EXCEPTION_HANDLERS,
            logging_config=None,  # api/logs.py decides
            cors_config=_cors_config(settings),
            plugins=[RequestSchemas(), PydanticPlugin(prefer_alias=True)],
            openapi_config=openapi_config(settings),
        )
    )
    return Wire(app, Observer(settings, metrics, tracing))


def _gateway(settings: Settings, tokens: Tokens, database_url: str | None) -> Gateway:
    if settings.supabase_url is not None:
        # Supabase's client takes half a second to import
        from api.gateway.data_api import DataApiGateway

        return DataApiGateway(settings, tokens)
    assert database_url is not None
    if settings.database_read_url is not None:
        return ReplicatedGateway(database_url, settings.database_read_url)
    return DirectGateway(database_url)


def _tracing(settings: Settings) -> "Tracing | None":
    """Raises PortalError where spans are wanted and the packages are missing."""
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        # takes a third of a second, and its packages are extra
        from api.tracing import Tracing
    except ImportError as error:
        raise PortalError(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs the packages of the extra `otel`: pip install "
            "'togethersystems-backend[otel]', or in a checkout "
            "uv sync --frozen --inexact --no-dev --extra otel (.uv/bin/uv, where make fetched it)."
        ) from error
    return Tracing()


def _routes(settings: Settings) -> list[ControllerRouterHandler]:
    routes: list[ControllerRouterHandler] = [
        health.router,
        jwks.jwks,
        Router("/", route_handlers=[*API, read_metrics], middleware=[CallerMiddleware], after_request=mark_replayed),
        room_chat.router,
        room_chat.no_upgrade,
        admin_pages,
    ]
    if settings.portal_dir is not None:
        routes.append(portal_pages(settings.portal_dir))
    return routes


def _cors_config(settings: Settings) -> CORSConfig | None:
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-MOT-User", "X-TS-APIKEY"],
        expose_headers=[*EXPOSED, REPLAYED_HEADER],
        allow_credentials=True,
    )
