"""Contracts, /api/contracts: the documents of the legal hub (docs/compatibility.md, "Documents")."""

import re
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.openapi import ResponseSpec

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Row
from api.http.body import PortalRequest
from api.http.callers import limited_client
from api.http.dependencies import IdempotencyKey, InjectedStorage, InjectedUploads
from api.http.idempotency import REPLAYED
from api.http.openapi import ANY_KEY, error_responses
from api.http.pages import PAGE_HEADERS, InjectedPage
from api.http.parameters import TextPath, text_query
from api.http.ranges import answer_file
from api.http.rate_limit import at_most
from api.http.upload import MAX_FORM_BYTES, Upload, UploadOperation
from api.legacy.ids import legacy_id, uuid_of
from api.models.base import ApiModel
from api.models.times import Millis

_BYTES = {
    status: ResponseSpec(bytes, media_type="application/octet-stream", description=text, generate_examples=False)
    for status, text in {200: "The document", 206: "A range of its bytes"}.items()
}

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


class Contract(ApiModel):
    """A document; `byteSize` is null for an empty one."""

    id: str
    name: str
    mime_type: str | None
    byte_size: int | None
    storage_url: str
    hash_sha256: str
    created_by: str | None
    created_at: Millis

    @classmethod
    def values(cls, row: Row) -> Row:
        """The contract, with its creator's uid and its id in the legacy form."""
        return super().values(
            row
            | {
                "id": legacy_id("ct", row["id"]),
                "byte_size": row["byte_size"] or None,
                "created_by": row["created_by_uid"],
            }
        )


class Uploaded(ApiModel):
    """The document, and its link to a voucher or room, if any."""

    ok: bool = True
    contract: Contract
    link_id: str | None


class Contracts(ApiModel):
    """Documents, newest first."""

    ok: bool = True
    items: list[Contract]


@post(
    "/upload",
    status_code=200,
    response_headers=[REPLAYED],
    request_max_body_size=MAX_FORM_BYTES,
    middleware=[at_most(30, "contracts/upload")],
    operation_class=UploadOperation,
    responses=error_responses(
        "multipart_expected",
        "file_required",
        "value_invalid",
        "uid_invalid",
        "voucher_not_found",
        "not_a_server",
        "not_your_room",
        "too_large",
        "body_timeout",
        "rate_limited",
        "uploads_busy",
        "your_documents_full",
        "storage_full",
        "storage_away",
        *ANY_KEY,
        language="en",
    ),
)
async def upload(
    request: PortalRequest,
    idempotency_key: IdempotencyKey,
    storage: InjectedStorage,
    uploads: InjectedUploads,
) -> Uploaded:
    """Stores a document of up to 25 MiB, linked to `voucherId`, `roomId` (created if it does not exist) or both."""
    form = Upload()
    try:
        async with uploads.place(request):
            await form.read(request, storage)
        if form.stored is None:
            raise ApiError("file_required")
        actor = request.user.as_caller(form.fields.get("actorId") or None)
        links = {"voucher_id": form.fields.get("voucherId") or None, "room_id": form.fields.get("roomId") or None}
        await request.calls.call("check_contract_link", actor, **links)
        row = await request.calls.call(
            "record_contract",
            # a thinker cannot record a document: only this server knows what it stored
            Actor("service_role", actor.uid, session_id=actor.session_id),
            contract_id=form.id,
            name=form.fields.get("name") or form.file_name,
            mime_type=form.mime_type,
            byte_size=form.stored.byte_size,
            storage_url=form.path,
            hash_sha256=form.stored.sha256,
            **links,
            # the right may have been lost since the check, while the document was stored
            as_thinker=actor.role != "service_role",
            client=limited_client(request),
            idempotency_key=idempotency_key,
        )
    except BaseException as error:
        # after outcome_unknown the document may be recorded: keep it, as a record without a document is worse
        if form.stored is not None and not (isinstance(error, ApiError) and error.code == "outcome_unknown"):
            await storage.delete(form.path)
        raise
    if UUID(row["contract"]["id"]) != form.id:
        # this is a repeated request with the same key, whose document is stored already
        await storage.delete(form.path)
    link_id = legacy_id("cl", row["link_id"]) if row["link_id"] else None
    return Uploaded(contract=Contract.from_row(row["contract"]), link_id=link_id)


@get(
    "/list",
    middleware=[at_most(300, "contracts/list")],
    responses=error_responses("limit_invalid", "value_invalid", "rate_limited", language="en"),
    response_headers=PAGE_HEADERS,
)
async def list_contracts(
    request: PortalRequest,
    page: InjectedPage,
    voucher_id: Annotated[str | None, text_query("voucherId")] = None,
    room_id: Annotated[str | None, text_query("roomId")] = None,
) -> Response[Contracts]:
    """The documents of a voucher, of a room, or with one link to both."""
    rows = await request.calls.call(
        "list_contracts",
        request.user.as_caller(),
        voucher_id=voucher_id or None,
        room_id=room_id or None,
        **page.parameters(),
    )
    return page.answer(Contracts, rows, items=[Contract.json_of(row) for row in rows])


@get(
    "/{contract_id:str}/document",
    middleware=[at_most(300, "contracts/document")],
    responses=_BYTES | error_responses("contract_not_found", "storage_away", "rate_limited", language="en"),
)
async def document(contract_id: TextPath, request: PortalRequest, storage: InjectedStorage) -> Response[Any]:
    """The bytes of a document that the caller may see, or a range of them, to be saved and not shown."""
    uuid = uuid_of("ct", contract_id)
    if uuid is None:
        raise ApiError("contract_not_found")
    row = await request.calls.call("get_contract", request.user.as_caller(), contract_id=str(uuid))
    return await answer_file(
        request,
        size=row["byte_size"],
        tag=f'"{row["hash_sha256"]}"',
        media_type=row["mime_type"] if _MEDIA_TYPE.fullmatch(row["mime_type"] or "") else "application/octet-stream",
        headers={"content-disposition": _attachment(row["name"]), "content-security-policy": "sandbox"},
        read=lambda part: storage.read_part(row["storage_url"], row["byte_size"], part),
    )


def _attachment(name: str) -> str:
    """The header Content-Disposition for a file with this name; of a long one its end, for a header must be short."""
    name = name[-150:]
    plain = re.sub(r'[^ -~]|["%\\]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


router = Router(
    "/api/contracts", route_handlers=[upload, list_contracts, document], opt={"language": "en"}, tags=["contracts"]
)
