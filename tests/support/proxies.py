"""The proxies of docs/proxy.md: nginx and Caddy themselves, with the configurations that the page shows."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from api.settings import ROOT
from tests.support.missing import missing
from tests.support.waiting import wait_until

NAME = "portal.example.org"


class Proxy(NamedTuple):
    """A proxy that answers, and the certificate that it must have."""

    port: int
    tls: ssl.SSLContext


def program(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        missing(f"These tests need {name} (Debian: apt install nginx-light caddy openssl).")
    return found


def documented(language: str) -> str:
    """The block of a configuration in the documentation."""
    block = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / "proxy.md").read_text(), re.DOTALL)
    assert block
    return block[1]


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with each change, which must change something."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(folder: Path, port: int, portal: str) -> list[str]:
    """The command of an nginx on this port, before the portal at a URL."""
    site = replaced(
        documented("nginx"),
        {
            "listen 443": f"listen 127.0.0.1:{port}",
            "    listen [::]:443 ssl;\n": "",
            "/etc/letsencrypt/live/portal.example.org/fullchain.pem": str(folder / "certificate.pem"),
            "/etc/letsencrypt/live/portal.example.org/privkey.pem": str(folder / "key.pem"),
            "http://127.0.0.1:8000": portal,
        },
    )
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log;\n"
        + (f"user {Path.home().owner()};\n" if os.geteuid() == 0 else "")
        + f"events {{ worker_connections 768; }}\nhttp {{ access_log off;\n{places}{site}}}"
    )
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]


def caddy(folder: Path, port: int, portal: str) -> list[str]:
    """The command of a Caddy on this port, before the portal at a URL."""
    site = replaced(
        documented("caddyfile"),
        {
            "{\n    servers {": "{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n    servers {",
            f"{NAME} {{": f"{NAME}:{port} {{\nbind 127.0.0.1\ntls {folder}/certificate.pem {folder}/key.pem",
            "127.0.0.1:8000": portal.removeprefix("http://"),
        },
    )
    (folder / "Caddyfile").write_text(site)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@contextmanager
def running(command: Callable[[Path, int, str], list[str]], folder: Path, portal: str) -> Iterator[Proxy]:
    """Yields a proxy before the portal."""
    subprocess.run(
        [
            program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
            "-keyout", folder / "key.pem", "-out", folder / "certificate.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with subprocess.Popen(command(folder, port, portal), env=environment, stderr=subprocess.DEVNULL) as process:
        try:

            def answers() -> bool:
                assert process.poll() is None
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    return True
                return False

            wait_until(answers)
            yield Proxy(port, ssl.create_default_context(cafile=str(folder / "certificate.pem")))
        finally:
            process.terminate()
