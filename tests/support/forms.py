"""Multipart forms, byte by byte."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx

from tests.support.serving import Answer, Connection

PATH = "/api/contracts/upload"
CONTENT_TYPE = "multipart/form-data; boundary=frontier"
END = b"--frontier--\r\n"


def part(disposition: str, value: bytes, content_type: str | None = None) -> bytes:
    """Returns a part with this Content-Disposition."""
    header = f"Content-Disposition: form-data; {disposition}\r\n"
    if content_type:
        header += f"Content-Type: {content_type}\r\n"
    return b"--frontier\r\n" + header.encode() + b"\r\n" + value + b"\r\n"


def file(value: bytes, name: str = "contract.pdf", content_type: str | None = "application/pdf") -> bytes:
    """Returns the part with the file."""
    return part(f'name="file"; filename="{name}"', value, content_type)


def field(name: str, value: str) -> bytes:
    """Returns a part with a text."""
    return part(f'name="{name}"', value.encode())


def upload(portal: str, *parts: bytes, content_type: str = CONTENT_TYPE, end: bytes = END) -> Answer:
    """Uploads a form of these parts."""
    with Connection(portal) as connection:
        return connection.ask("POST", PATH, raw=b"".join(parts) + end, headers={"Content-Type": content_type})


@contextmanager
def begun(portal: str, body: bytes, length: int) -> Iterator[socket.socket]:
    """Begins an upload with this content length; yields the socket for the rest of the body."""
    address = urlsplit(portal)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {CONTENT_TYPE}\r\n"
    head += f"Content-Length: {length}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=30) as client:
        client.sendall(head.encode() + body)
        yield client


def answer_on(client: socket.socket) -> Answer:
    """Reads an answer from a socket."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = httpx.Headers([(name, value.strip()) for name, value in (line.split(":", 1) for line in lines[1:])])
    while len(body) < int(headers["content-length"]):
        body += client.recv(65536)
    return Answer(int(lines[0].split()[1]), httpx.Response(200, content=body).json(), headers)
