"""Contracts: the documents of the legal hub (contract, section 7)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Self
from urllib.parse import quote
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.actor import Actor
from api.errors import ApiError
from api.gateway import Gateway, Row
from api.http.body import PortalRequest
from api.http.openapi import ANY_KEY, error_responses
from api.http.parameters import text_query
from api.legacy.ids import legacy_id, new_uuid
from api.models.base import ApiModel
from api.models.fields import NO_NUL
from api.models.times import Millis
from api.storage import Storage, Stored

MAX_FILE_BYTES = 25 * 1024 * 1024
MAX_FORM_BYTES = MAX_FILE_BYTES + 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_ENCODED_NAME = 240


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
    def from_row(cls, row: Row) -> Self:
        """The contract, with its creator's uid and its id in the legacy form."""
        return super().from_row(
            row
            | {
                "id": legacy_id("ct", UUID(row["id"])),
                "byte_size": row["byte_size"] or None,
                "created_by": row["created_by_uid"],
            }
        )


class Uploaded(ApiModel):
    """The document, and its link to a voucher or room if there is one."""

    ok: bool = True
    contract: Contract
    link_id: str | None


class Contracts(ApiModel):
    """Documents, newest first."""

    ok: bool = True
    items: list[Contract]


@dataclass
class Upload:
    """What a form brought: its fields, and where its file was stored."""

    id: UUID = field(default_factory=new_uuid)
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""
    mime_type: str | None = None
    path: str = ""
    stored: Stored | None = None

    async def read(self, request: PortalRequest, storage: Storage) -> None:
        """Read the form as it comes in, the first file straight into the store.

        Refuses: multipart_expected, too_large, storage_away.
        """
        events = _events(request)
        async for event in events:
            if not isinstance(event, MultipartSegment):
                continue
            chunks = _until_end_of_segment(events)
            if event.name == "file" and event.filename and self.stored is None:
                self.file_name, self.mime_type = event.filename, event.header("Content-Type") or None
                self.path = f"contracts/{legacy_id('ct', self.id)}/{_encoded(event.filename)}"
                self.stored = await storage.put(self.path, chunks, max_bytes=MAX_FILE_BYTES)
            elif event.filename is None:
                self.fields.setdefault(event.name, await _text(chunks))


@dataclass
class UploadOperation(Operation):
    """The form, for OpenAPI: the route reads it itself."""

    def __post_init__(self) -> None:
        def text(max_length: int) -> Schema:
            return Schema(type=OpenAPIType.STRING, pattern=NO_NUL, max_length=max_length)

        self.request_body = RequestBody(
            required=True,
            content={
                "multipart/form-data": OpenAPIMediaType(
                    schema=Schema(
                        type=OpenAPIType.OBJECT,
                        required=["file"],
                        properties={
                            "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY),
                            "voucherId": text(255),
                            "roomId": text(600),
                            "actorId": text(255),
                            "name": text(1000),
                        },
                    )
                )
            },
        )


@post(
    "/upload",
    status_code=200,
    request_max_body_size=MAX_FORM_BYTES,
    operation_class=UploadOperation,
    responses=error_responses(
        "multipart_expected",
        "file_required",
        "value_invalid",
        "uid_invalid",
        "voucher_not_found",
        "not_your_room",
        "too_large",
        "storage_away",
        *ANY_KEY,
        language="en",
    ),
)
async def upload(
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    idempotency_key: NamedDependency[str | None],
    storage: NamedDependency[Storage],
) -> Uploaded:
    """Stores a document of up to 25 MiB, and links it to `voucherId`, `roomId` (made if it does not exist) or both."""
    form = Upload()
    try:
        await form.read(request, storage)
        if form.stored is None:
            raise ApiError("file_required")
        actor = request.user.as_caller(form.fields.get("actorId") or None)
        links = {"voucher_id": form.fields.get("voucherId") or None, "room_id": form.fields.get("roomId") or None}
        await gateway.call("check_contract_link", actor, **links)
        row = await gateway.call(
            "record_contract",
            # only this server knows what it stored
            Actor("service_role", actor.uid),
            contract_id=form.id,
            name=form.fields.get("name") or form.file_name,
            mime_type=form.mime_type,
            byte_size=form.stored.byte_size,
            storage_url=form.path,
            hash_sha256=form.stored.sha256,
            **links,
            idempotency_key=idempotency_key,
        )
    except BaseException as error:
        # a document that may have been recorded stays: a record without its document would be worse than the reverse
        if form.stored is not None and not (isinstance(error, ApiError) and error.code == "outcome_unknown"):
            await storage.delete(form.path)
        raise
    if UUID(row["contract"]["id"]) != form.id:
        # the same document was recorded before, with this key: once is enough
        await storage.delete(form.path)
    link_id = legacy_id("cl", UUID(row["link_id"])) if row["link_id"] else None
    return Uploaded(contract=Contract.from_row(row["contract"]), link_id=link_id)


@get("/list", responses=error_responses("value_invalid", language="en"))
async def list_contracts(
    request: PortalRequest,
    gateway: NamedDependency[Gateway],
    voucher_id: Annotated[str | None, text_query("voucherId")] = None,
    room_id: Annotated[str | None, text_query("roomId")] = None,
) -> Contracts:
    """The documents of a voucher, of a room, or with one link to both."""
    rows = await gateway.call(
        "list_contracts", request.user.as_caller(), voucher_id=voucher_id or None, room_id=room_id or None
    )
    return Contracts(items=[Contract.from_row(row) for row in rows])


async def _events(request: PortalRequest) -> AsyncIterator[MultipartSegment | bytes | None]:
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data":
        raise ApiError("multipart_expected")
    try:
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=100) as parser:
            async for chunk in request.stream():
                if chunk and not parser.closed:
                    for event in parser.parse(chunk):
                        yield event
    except (MultipartError, UnicodeError, LookupError, InternalServerException) as error:
        # InternalServerException: the client has hung up, and will not read this
        raise ApiError("multipart_expected") from error


async def _until_end_of_segment(
    events: AsyncIterator[MultipartSegment | bytes | None],
) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, (bytes, bytearray)):
            return
        yield bytes(event)


async def _text(chunks: AsyncIterator[bytes]) -> str:
    text = b""
    async for chunk in chunks:
        text += chunk
        if len(text) > MAX_FIELD_BYTES:
            raise ApiError("too_large")
    return text.decode(errors="replace")


def _encoded(file_name: str) -> str:
    """A file name as JavaScript's encodeURIComponent writes it, without the beginning of one too long for a folder.

    A name of dots only would be a step in the path.
    """
    while len(encoded := quote(file_name, safe="!'()*", errors="replace")) > MAX_ENCODED_NAME:
        file_name = file_name[1:]
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


router = Router("/api/contracts", route_handlers=[upload, list_contracts], opt={"language": "en"}, tags=["contracts"])
