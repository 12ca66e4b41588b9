"""The metrics for Prometheus, /metrics, for trusted requests and admins (docs/monitoring.md, "Metrics")."""

import asyncio

from litestar import Response, get
from litestar.datastructures import State

from api.http.body import PortalRequest
from api.http.callers import TrustedCaller
from api.metrics import Figures, Metrics, figures_text
from api.settings import Settings


@get("/metrics", include_in_schema=False, opt={"language": "en", "admin": True})
async def read_metrics(request: PortalRequest, state: State) -> Response[bytes]:
    """The metrics of all server processes, and figures of the database, some seconds old."""
    settings: Settings = state.settings
    figures: Figures = state.figures
    metrics: Metrics = state.metrics
    if isinstance(request.user, TrustedCaller):
        found = await figures.read()
    else:
        # SQL decides who is an admin
        found = await request.calls.call("system_metrics", request.user.as_caller())
    # reading the files of all processes takes some milliseconds
    of_server = await asyncio.to_thread(metrics.text)
    return Response(
        of_server + figures_text(found, settings.data_dir),
        media_type="text/plain; version=0.0.4",  # Litestar adds the encoding
        headers={"Cache-Control": "no-store"},
    )
