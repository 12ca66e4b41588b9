"""Many things at the same moment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Barrier
from typing import TypeVar

from tests.support.serving import Answer, Connection

T = TypeVar("T")


def at_once(actions: Sequence[Callable[[], T]]) -> list[T]:
    """Does each thing in a thread of its own, all released together; what came of them, in order."""
    ready = Barrier(len(actions))

    def wait_and_do(action: Callable[[], T]) -> T:
        ready.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(wait_and_do, actions))


def ask_at_once(url: str, *questions: Callable[[Connection], Answer]) -> list[Answer]:
    """Asks each question on a connection of its own, which is open before; the answers, in order."""
    with ExitStack() as open_connections:
        connections = [open_connections.enter_context(Connection(url)) for _ in questions]
        return at_once([partial(question, c) for question, c in zip(questions, connections, strict=True)])
