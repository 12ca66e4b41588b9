"""The server's image needs no root, no capability, and no file but those of its volume."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import psycopg
import pytest
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from tests.support.databases import ContainerServer
from tests.support.serving import idle
from tests.support.waiting import wait_for_row, wait_until

IMAGE = os.environ["TEST_SERVER_IMAGE"]
KEY = "a key of this test, which is long enough"
TRUSTED = {"X-TS-APIKEY": KEY}


@pytest.fixture(scope="module")
def database() -> Iterator[ContainerServer]:
    """A PostgreSQL in a container."""
    server = ContainerServer(os.environ["TEST_POSTGRES_IMAGE"], {})
    yield server
    server.remove()


@contextmanager
def running(**settings: str) -> Iterator[tuple[Container, str]]:
    """Runs the server as docs/containers.md does, and returns its container and URL when it is healthy."""
    made = DockerContainer(IMAGE).with_exposed_ports(8000).with_tmpfs_mount("/tmp")  # noqa: S108 (of the container)
    for name, value in ({"TS_API_KEY": KEY} | settings).items():
        made.with_env(name, value)
    made.with_kwargs(
        read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"], healthcheck={"interval": 10**9}
    )
    with made:
        container = made.get_wrapped_container()
        wait_until(lambda: health(container) != "starting", seconds=60)
        assert health(container) == "healthy", container.logs().decode()
        yield container, f"http://{made.get_container_host_ip()}:{made.get_exposed_port(8000)}"


def health(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"] if container.status == "running" else container.status)


def test_it_needs_neither_root_nor_files_of_its_own(database: ContainerServer) -> None:
    with running(DATABASE_URL=database.inner_url()) as (container, url):
        listed = httpx.get(f"{url}/api/voucher/list", headers=TRUSTED)
        assert (listed.status_code, listed.json()["items"]) == (200, [])
        document = {"file": ("a.txt", b"hello")}
        stored = httpx.post(f"{url}/api/contracts/upload", headers=TRUSTED, files=document, data={"issuerUid": "anna"})
        assert stored.status_code == 200, stored.text
        assert container.exec_run(["id", "-u"]).output == b"10001\n"
        assert container.exec_run(["touch", "/opt/portal/file"]).exit_code == 1
        assert container.exec_run(["find", "/data", "-type", "f", "!", "-user", "10001"]).output == b""
        assert container.exec_run(["portal", "check"]).exit_code == 0
        assert not container.diff()


def test_it_finishes_what_it_began(database: ContainerServer) -> None:
    with (
        running(DATABASE_URL=database.inner_url()) as (container, url),
        psycopg.connect(database.url()) as holding,
        psycopg.connect(database.url(), autocommit=True) as watching,
        ThreadPoolExecutor(2) as threads,
        closing(idle(url)) as other,
    ):
        holding.execute("lock table public.vouchers")
        slow = threads.submit(httpx.get, f"{url}/api/voucher/list", headers=TRUSTED, timeout=60)
        ours = "from pg_stat_activity where application_name = 'togethersystems-api' and wait_event_type = 'Lock'"
        wait_for_row(watching, f"select {ours}")
        stopped = threads.submit(container.stop, timeout=60)
        assert other.recv(1) == b""  # the server has hung up
        assert not slow.done()
        holding.rollback()
        assert slow.result().status_code == 200
        stopped.result()
        assert container.wait()["StatusCode"] == 0


def test_without_a_database_it_has_one_on_its_volume() -> None:
    with running() as (container, url):
        issued = httpx.post(f"{url}/api/voucher/issue", headers=TRUSTED, json={"issuerUid": "anna", "title": "Hour"})
        assert issued.status_code == 200, issued.text
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 0
        container.start()
        wait_until(lambda: health(container) == "healthy")
        assert container.exec_run(["portal", "check"]).exit_code == 0


def test_without_a_key_it_serves_nobody() -> None:
    with DockerContainer(IMAGE) as made:
        container = made.get_wrapped_container()
        assert container.wait()["StatusCode"] == 1
        assert b"set TS_API_KEY to a long random text" in container.logs()
