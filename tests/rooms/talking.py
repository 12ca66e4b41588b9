"""Thinkers who were matched, and talk over real WebSockets."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.acting import call, thinker


def match(database: str, *uids: str, code: str = "familie") -> str:
    """Brings the thinkers online with a pair code; returns their room."""
    with psycopg.connect(database, autocommit=True) as connection:
        for uid in uids:
            call(connection, thinker(uid), "send_heartbeat", pair_code=code, status="online")
        room: str = call(connection, thinker(uids[0]), "match_presence", pair_code=code)["room_id"]
    return room


@contextmanager
def talking(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> Iterator[ClientConnection]:
    """Yields a WebSocket to the chat of the server at this URL."""
    address = f"{url.replace('http', 'ws', 1)}/ws"
    # with a bounded queue a client that does not read sees the end of the connection late
    options = {"compression": None, "proxy": None, "max_queue": None} | options
    socket = connect(address, additional_headers=headers, **options)
    with socket:
        yield socket


@contextmanager
def joined(url: str, room: str, uid: str, headers: Mapping[str, str] | None = None) -> Iterator[ClientConnection]:
    """Yields a WebSocket that has joined the room."""
    with talking(url, headers) as socket:
        join(socket, room, uid)
        assert heard(socket) == {"type": "system", "room_id": room, "event": "join"}
        yield socket


def join(socket: ClientConnection, room: str, uid: str) -> None:
    """Sends what the portal's page sends after a match."""
    send(socket, {"type": "join", "room_id": room, "thinker_id": uid})


def say(socket: ClientConnection, text: str, uid: str = "ignored") -> None:
    """Sends a text as the portal's page does."""
    send(socket, {"type": "message", "thinker_id": uid, "payload": {"text": text}})


def send(socket: ClientConnection, message: object) -> None:
    """Sends JSON."""
    socket.send(json.dumps(message))


def heard(socket: ClientConnection) -> Any:
    """Returns the next message."""
    return json.loads(socket.recv(timeout=30))


def text_heard(socket: ClientConnection) -> Any:
    """Returns the text of the next message that somebody said, and who said it; others joined meanwhile."""
    while (message := heard(socket))["type"] == "system":
        pass
    return message["from"], message["payload"]["text"]


def refusal(socket: ClientConnection) -> tuple[str, int]:
    """Returns the last error, and the code with which the server closes the connection after it."""
    messages = [json.loads(message).get("error") for message in rest(socket)]
    return next((error for error in reversed(messages) if error), ""), socket.close_code or 0


def rest(socket: ClientConnection) -> list[str | bytes]:
    """Returns the messages that come until the server closes the connection."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(socket.recv(timeout=30))
    return messages


def handshake_refusal(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> tuple[int, str]:
    """Returns the status and the error with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused, talking(url, headers, **options):
        pass
    response = refused.value.response
    assert response.body is not None
    return response.status_code, json.loads(response.body)["error"]
