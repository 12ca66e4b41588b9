"""Uploads: a multipart form whose file goes straight into the store, for it may be larger than memory should hold."""

from asyncio import Semaphore, timeout
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import UUID
from weakref import WeakValueDictionary

from litestar.exceptions import InternalServerException
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.errors import ApiError
from api.http.body import PortalRequest
from api.http.proxies import client_address
from api.legacy.ids import legacy_id, new_uuid
from api.models.fields import NO_NUL
from api.settings import Settings
from api.storage import Storage, Stored

MAX_FILE_BYTES = 25 * 1024 * 1024
MAX_FORM_BYTES = MAX_FILE_BYTES + 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_ENCODED_NAME = 240
MAX_UPLOADS = 8
MAX_UPLOADS_OF_ADDRESS = 2
SECONDS_TO_WAIT = 10

_FIELDS = ("voucherId", "roomId", "actorId", "name")


class Uploads:
    """The uploads that this server reads at the same time: a number that leaves memory and time for other requests."""

    def __init__(self) -> None:
        """Begin with none."""
        self._all = Semaphore(MAX_UPLOADS)
        self._of_addresses: WeakValueDictionary[str, Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, request: PortalRequest) -> AsyncIterator[None]:
        """Wait for a place, and hold it. Raises ApiError: uploads_busy."""
        settings: Settings = request.app.state.settings
        of_address = self._of_addresses.setdefault(client_address(request), Semaphore(MAX_UPLOADS_OF_ADDRESS))
        async with AsyncExitStack() as stack:
            try:
                async with timeout(SECONDS_TO_WAIT):
                    if settings.is_rate_limited:
                        await stack.enter_async_context(of_address)
                    await stack.enter_async_context(self._all)
            except TimeoutError as error:
                raise ApiError("uploads_busy", retry_after=str(SECONDS_TO_WAIT)) from error
            yield


@dataclass
class Upload:
    """The fields of a form, and where its file was stored."""

    id: UUID = field(default_factory=new_uuid)
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""
    mime_type: str | None = None
    path: str = ""
    stored: Stored | None = None

    async def read(self, request: PortalRequest, storage: Storage) -> None:
        """Read the form as it arrives, its first file into the store.

        Raises ApiError: multipart_expected, too_large, storage_full, storage_away.
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
                text = await _text(chunks)
                if event.name in _FIELDS:
                    self.fields.setdefault(event.name, text)


@dataclass
class UploadOperation(Operation):
    """Describes the form in OpenAPI, as the route reads it itself."""

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


async def _events(request: PortalRequest) -> AsyncIterator[MultipartSegment | bytes | None]:
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data":
        raise ApiError("multipart_expected")
    try:
        # a header may have hundreds of options, each of which costs time
        with PushMultipartParser(options.get("boundary", ""), max_segment_count=20, max_header_count=4) as parser:
            async for chunk in request.stream():
                if chunk and not parser.closed:
                    for event in parser.parse(chunk):
                        yield event
    except (MultipartError, UnicodeError, LookupError, InternalServerException) as error:
        # InternalServerException: the client has disconnected, and will not read this
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
    """The file name as JavaScript's encodeURIComponent writes it; the beginning is cut off where it is too long.

    Dots are encoded in a name of nothing else, which would mean a folder.
    """
    file_name = file_name[-MAX_ENCODED_NAME:]
    while len(encoded := quote(file_name, safe="!'()*", errors="replace")) > MAX_ENCODED_NAME:
        file_name = file_name[1:]
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")[:MAX_ENCODED_NAME]
