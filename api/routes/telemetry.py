"""Telemetry, /api/telemetry: events that the portal's pages report."""

from litestar import post
from litestar.params import JSONBody
from pydantic import GetJsonSchemaHandler, RootModel, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from api.errors import ApiError
from api.gateway import Json
from api.http.body import MAX_BODY_BYTES, MayBeEmpty, PortalRequest
from api.http.callers import limited_client
from api.http.dependencies import IdempotencyKey
from api.http.idempotency import REPLAYED
from api.http.openapi import error_responses
from api.http.rate_limit import at_most, count_of_day
from api.models.base import FALSY, TRUTHY, ApiModel, RequestModel
from api.models.fields import Text, text_schema

MAX_EVENTS = 1000

MAX_EVENTS_A_DAY = 500_000
"""Events that an address sends in arrays within 24 hours: thinkers have a limit of their own, but are free."""


class TelemetryEvent(RequestModel):
    """One event. Without a type it is skipped."""

    type: Text | None = None
    path: Text | None = None
    actor_uid: Text | None = None
    meta: object = None


class Received(ApiModel):
    """The events are stored."""

    ok: bool = True


class TelemetryReport(RootModel[list[TelemetryEvent]]):
    """One event or an array of them; entries that are no event, or have no type, are skipped."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        def event(about: JsonSchemaValue, **max_length: int) -> JsonSchemaValue:
            texts = {name: {"anyOf": [text_schema(most), {"type": "null"}]} for name, most in max_length.items()}
            return {"type": "object", "properties": texts | {"type": about}}

        stored = event(text_schema(255) | TRUTHY, path=4096, actorUid=255) | {"required": ["type"]}
        skipped = event(FALSY, path=MAX_BODY_BYTES, actorUid=MAX_BODY_BYTES)
        other = {"type": ["string", "number", "boolean", "null", "array"]}
        several = {"type": "array", "maxItems": MAX_EVENTS, "items": {"anyOf": [stored, skipped, other]}}
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": [stored, skipped, several]}

    @model_validator(mode="before")
    @classmethod
    def _keep_events(cls, body: object) -> list[object]:
        sent = [body] if isinstance(body, dict) else body
        if not isinstance(sent, list):
            raise ApiError("invalid_json")
        if len(sent) > MAX_EVENTS:
            raise ApiError("too_many_events")
        return [event for event in sent if isinstance(event, dict)]


@post(
    "/api/telemetry",
    status_code=200,
    response_headers=[REPLAYED],
    operation_class=MayBeEmpty,
    middleware=[at_most(300, "telemetry")],
    responses=error_responses(
        "events_required", "too_many_events", "uid_invalid", "rate_limited", language="en", body=True
    ),
    opt={"language": "en"},
    tags=["telemetry"],
)
async def report(data: JSONBody[TelemetryReport], request: PortalRequest, idempotency_key: IdempotencyKey) -> Received:
    """Stores one event or an array of them, all or none."""
    rows = [event.model_dump(by_alias=False) for event in data.root if event.type]
    actor = request.user.as_reporter({row["actor_uid"] for row in rows if row["actor_uid"] is not None})
    client = limited_client(request)
    # of single events the limit of the route allows no more in a day
    if client is not None and len(rows) > 1:
        await count_of_day(request.calls, f"telemetry events|{client}", len(rows), MAX_EVENTS_A_DAY)
    await request.calls.call("record_telemetry", actor, events=Json(rows), idempotency_key=idempotency_key)
    return Received()
