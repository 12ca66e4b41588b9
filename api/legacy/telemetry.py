"""Telemetry: what the portal's pages report (contract, section 7)."""

from dataclasses import dataclass

from litestar import post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody
from pydantic import RootModel, model_validator

from api.body import PortalRequest
from api.gateway import Gateway, Json
from api.legacy.rate_limit import at_most
from api.legacy.shapes import RequestShape, Shape, Text
from api.refusals import Refused, refusals

MAX_EVENTS = 1000


class TelemetryEvent(RequestShape):
    """One report. Without a type it is skipped."""

    type: Text | None = None
    path: Text | None = None
    actor_uid: Text | None = None
    meta: object = None


class Received(Shape):
    """It was stored."""

    ok: bool = True


class TelemetryReport(RootModel[list[TelemetryEvent]]):
    """One event or an array of them; entries that are no event, or have no type, are skipped."""

    @model_validator(mode="before")
    @classmethod
    def _keep_events(cls, body: object) -> list[object]:
        sent = [body] if isinstance(body, dict) else body
        if not isinstance(sent, list):
            raise Refused("invalid_json")
        if len(sent) > MAX_EVENTS:
            raise Refused("too_many_events")
        return [event for event in sent if isinstance(event, dict)]


@dataclass
class ReportOperation(Operation):
    """The body, for OpenAPI, which would show the array only."""

    def __post_init__(self) -> None:
        text = Schema(one_of=[Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.NULL)])
        event = Schema(
            type=OpenAPIType.OBJECT, properties={"type": text, "path": text, "actorUid": text, "meta": Schema()}
        )
        events = Schema(type=OpenAPIType.ARRAY, items=Schema(), max_items=MAX_EVENTS)
        self.request_body = RequestBody(
            content={"application/json": OpenAPIMediaType(schema=Schema(one_of=[event, events]))}
        )


@post(
    "/api/telemetry",
    status_code=200,
    operation_class=ReportOperation,
    middleware=[at_most(300, "telemetry")],
    responses=refusals("too_many_events", "uid_invalid", "rate_limited", language="en", body=True),
    opt={"language": "en"},
    tags=["telemetry"],
)
async def report(
    data: JSONBody[TelemetryReport], request: PortalRequest, gateway: NamedDependency[Gateway]
) -> Received:
    """Stores one event or an array of them, all or none."""
    rows = [event.model_dump(by_alias=False) for event in data.root if event.type]
    for row in rows:
        request.user.as_caller(row["actor_uid"])
    await gateway.call("record_telemetry", request.user.as_caller(), events=Json(rows))
    return Received()
