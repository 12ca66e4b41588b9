"""A Patroni cluster on loopback: etcd and three PostgreSQL servers of Debian, one of which is the primary."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

import psutil
import psycopg
import yaml

from tests.support.databases import DEBIAN, MissingServerError
from tests.support.waiting import wait_until

NAMES = ("a", "b", "c")

SETTINGS: dict[str, object] = {
    # a primary that does not renew its lock for so long is replaced: the smallest that Patroni takes in every version
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 3,
    # a PostgreSQL that died is not started again, for which others would wait, but replaced
    "primary_start_timeout": 0,
    # nothing is acknowledged before a second server has it
    "synchronous_mode": True,
}
"""What decides how long nothing can be written after a failure (docs/cluster.md)."""

_HAPROXY = """
global
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
"""

Role = Literal["primary", "replica"]


class Node:
    """One server with its Patroni, and the cable through which the others, clients and it itself reach each other."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.name = name
        self.folder = cluster.folder / name
        self.data = self.folder / "data"
        self.port, self.rest, *inner = _free_ports(5)
        self._cluster = cluster
        self._inner_port, self._inner_rest, self._etcd = inner
        self._patroni: subprocess.Popen[bytes] | None = None
        self._cable: subprocess.Popen[bytes] | None = None
        cluster.make_folder(self.folder)

    def start(self) -> None:
        """Starts Patroni, which starts or makes the server; at first the cable, too."""
        if self._cable is None:
            self._cable = self._cluster.run(
                "haproxy",
                "-db",
                "-f",
                self._cluster.write(
                    self.folder / "cable.cfg",
                    _HAPROXY
                    + _listen("postgres", self.port, self._inner_port)
                    + _listen("rest", self.rest, self._inner_rest)
                    + _listen("etcd", self._etcd, self._cluster.etcd),
                ),
                log=self.folder / "cable.log",
            )
        text = yaml.safe_dump(self._configuration())
        configuration = self._cluster.write(self.folder / "patroni.yml", text)
        self._patroni = self._cluster.run("patroni", configuration, log=self.folder / "patroni.log")

    def stop(self) -> None:
        """Ends all of it, whatever state it is in."""
        self.plug_in()
        self.thaw()
        if self._patroni is not None:
            self._patroni.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._patroni.wait(15)
        self.kill()
        if self._cable is not None:
            self._cable.kill()
            self._cable.wait()

    def kill(self) -> None:
        """Kills Patroni and the server at once, as where the machine loses its power. `start` starts them again."""
        if self._patroni is not None:
            self._patroni.kill()
            self._patroni.wait()
        self.kill_postgres()

    def kill_postgres(self) -> None:
        """Kills the server only."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=20)

    def freeze(self) -> None:
        """Stops the server's processes, as where its disk does not answer."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Lets them go on."""
        for process in reversed(self._processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def pull_out(self) -> None:
        """Cuts it off from etcd, clients and the others: connections stay open, and nothing passes."""
        assert self._cable is not None
        psutil.Process(self._cable.pid).suspend()

    def plug_in(self) -> None:
        """Connects it again."""
        if self._cable is not None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self._cable.pid).resume()

    def _processes(self) -> list[psutil.Process]:
        """The server's main process, first, and its children; none where it does not run."""
        try:
            postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
            # the number may be another process's since
            return [postmaster, *postmaster.children(recursive=True)] if postmaster.name() == "postgres" else []
        except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
            return []

    def _configuration(self) -> dict[str, Any]:
        password = self._cluster.password
        return {
            "scope": "portal",
            "name": self.name,
            # by version 2 of its API: by version 3, Patroni 3.0 takes the lock from another that got it meanwhile
            # (docs/cluster.md); only through the cable, not by the address that etcd itself names
            "etcd": {"hosts": f"127.0.0.1:{self._etcd}", "use_proxies": True},
            "restapi": {"listen": f"127.0.0.1:{self._inner_rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "bootstrap": {
                "dcs": {
                    **self._cluster.settings,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {"max_connections": 200, "shared_buffers": "32MB", "timezone": "UTC"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self._inner_port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data),
                "bin_dir": str(self._cluster.programs),
                "pgpass": str(self.folder / "pgpass"),
                "use_unix_socket": True,
                "parameters": {"unix_socket_directories": str(self.folder)},
                "basebackup": [{"checkpoint": "fast"}],
                "pg_hba": [
                    "local all all scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                ],
                "authentication": {
                    "superuser": {"username": "postgres", "password": password},
                    "replication": {"username": "replicator", "password": password},
                },
            },
        }


@dataclass(frozen=True)
class Member:
    """A node as Patroni sees it."""

    name: str
    role: str
    state: str


class Cluster:
    """The nodes, with etcd. Raises MissingServerError where a program is missing."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        """Take an empty folder, and Patroni's settings."""
        self.folder = folder
        self.settings = settings
        self.programs = _programs()
        self.password = secrets.token_hex(16)
        self.user = "postgres" if os.geteuid() == 0 else None
        self.make_folder(folder)
        self.etcd, self._etcd_peers = _free_ports(2)
        self._etcd: subprocess.Popen[bytes] | None = None
        self.nodes = {name: Node(self, name) for name in NAMES}

    def start(self) -> None:
        """Starts everything, and waits until both replicas follow the primary."""
        client, peers = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self._etcd_peers}"
        self._etcd = self.run(
            "etcd",
            "--enable-v2",
            "--data-dir",
            self.folder / "etcd",
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"default={peers}"),
            log=self.folder / "etcd.log",
        )
        for node in self.nodes.values():
            node.start()
        self.wait_until_whole()

    def stop(self) -> None:
        """Ends everything."""
        for node in self.nodes.values():
            # not one after the other: the rest would elect a primary
            node.plug_in()
            node.kill()
        for node in self.nodes.values():
            node.stop()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()

    def url(self, database: str = "postgres", role: Role = "primary") -> str:
        """The libpq URL, as superuser, of a database: of its primary, or of one of the replicas."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes.values())
        attributes = {"primary": "read-write", "replica": "prefer-standby"}[role]
        return f"postgresql://postgres:{self.password}@{hosts}/{database}?target_session_attrs={attributes}"

    def members(self) -> list[Member]:
        """The nodes as the primary's Patroni sees them, or another one's where that does not answer."""
        for node in self.nodes.values():
            with suppress(OSError), urlopen(f"http://127.0.0.1:{node.rest}/cluster", timeout=2) as answer:
                members = json.load(answer)["members"]
                return [Member(member["name"], member["role"], member["state"]) for member in members]
        return []

    @property
    def primary(self) -> Node | None:
        """The node that is the primary; None while there is none."""
        for member in self.members():
            if member.role == "leader" and member.state == "running":
                return self.nodes[member.name]
        return None

    def is_whole(self) -> bool:
        """Whether both replicas follow the primary, one of them synchronously, as Patroni knows."""
        members = self.members()
        roles = sorted(member.role for member in members if member.state == "running")
        if roles != ["leader", "replica", "sync_standby"]:
            return False
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2) as connection:
            states = connection.execute("select sync_state from pg_stat_replication where state = 'streaming'")
            return sorted(state for (state,) in states) == ["async", "sync"]
        return False

    def wait_until_whole(self) -> None:
        """Returns as soon as it is."""
        wait_until(self.is_whole, seconds=120)

    def switch_over(self) -> None:
        """Makes the synchronous replica the primary, as an operator would."""
        primary = self.primary
        assert primary is not None
        subprocess.run(
            [
                _find("patronictl"),
                "-c",
                primary.folder / "patroni.yml",
                "switchover",
                "--master",
                primary.name,
                "--force",
            ],
            user=self.user,
            group=self.user,
            cwd="/",
            env=_environment(),
            capture_output=True,
            check=True,
        )

    @contextmanager
    def proxy(self) -> Iterator[int]:
        """Runs HAProxy before the cluster; yields the port that leads to the current primary.

        A server whose Patroni does not say within two seconds that it is the primary loses its connections.
        """
        [port] = _free_ports(1)
        servers = "".join(
            f"  server {node.name} 127.0.0.1:{node.port} check port {node.rest}\n" for node in self.nodes.values()
        )
        text = (
            f"{_HAPROXY}  timeout check 2s\n"
            f"listen primary\n  bind 127.0.0.1:{port}\n  option httpchk OPTIONS /primary\n"
            "  http-check expect status 200\n"
            f"  default-server inter 1s fall 1 rise 1 on-marked-down shutdown-sessions\n{servers}"
        )
        file = self.write(self.folder / "proxy.cfg", text)
        with self.run("haproxy", "-db", "-f", file, log=self.folder / "proxy.log") as process:
            try:
                # HAProxy leads connections to the servers by turns until it has asked Patroni
                wait_until(lambda: all(_is_primary(self.url_at(port)) for _ in self.nodes))
                yield port
            finally:
                process.kill()

    def url_at(self, port: int, database: str = "postgres") -> str:
        """The URL, as superuser, of a database at a port of this machine."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{port}/{database}"

    def run(self, program: str, *arguments: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Starts a program as the user of the servers, in a session of its own, for Ctrl-C is for the caller."""
        found = _find(program)
        with log.open("ab") as output:
            return subprocess.Popen(
                [found, *arguments],
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def make_folder(self, folder: Path) -> None:
        """Makes a folder, where there is none, that belongs to the user of the servers."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            shutil.chown(folder, self.user)

    def write(self, file: Path, text: str) -> Path:
        """Writes a file that only the user of the servers can read."""
        file.touch(mode=0o600)
        file.write_text(text)
        if self.user:
            shutil.chown(file, self.user)
        return file


@contextmanager
def run_cluster(settings: dict[str, object] = SETTINGS) -> Iterator[Cluster]:
    """Yields a new cluster, whose data is thrown away. Raises MissingServerError where a program is missing."""
    with tempfile.TemporaryDirectory(prefix="portal-") as folder, ExitStack() as stack:
        cluster = Cluster(Path(folder), settings)
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster


def _listen(name: str, port: int, target: int) -> str:
    return f"listen {name}\n  bind 127.0.0.1:{port}\n  server target 127.0.0.1:{target}\n"


def _is_primary(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2) as connection:
        return connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
    return False


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]


def _programs() -> Path:
    for program in ("etcd", "haproxy", "patroni", "patronictl"):
        _find(program)
    versions = [
        int(folder.name) for folder in Path(DEBIAN).parents[1].glob("[0-9]*") if (folder / "bin/initdb").exists()
    ]
    if not versions:
        raise MissingServerError("A cluster needs Debian's PostgreSQL: apt install postgresql.")
    return Path(DEBIAN.format(max(versions)))


def _find(program: str) -> str:
    found = shutil.which(program, path=_environment()["PATH"])
    if found is None:
        raise MissingServerError(
            f"A cluster needs {program} (Debian: apt install postgresql-15 patroni etcd-server haproxy)."
        )
    return found


def _environment() -> dict[str, str]:
    """Debian's programs, and nothing of the caller's environment."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
