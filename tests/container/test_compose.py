"""The services of compose.yaml are made of what exists: settings of the server, and the images of the Supabase CLI."""

import re

import pytest
import yaml

from api.settings import ROOT, Settings
from tests.support.npm import NODE, install

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_the_server_gets_settings_that_it_has() -> None:
    names = {field.upper() for field in Settings.model_fields}
    assert set(SERVICES["portal"]["environment"]) <= names


@pytest.mark.slow
def test_the_images_are_those_of_the_supabase_cli() -> None:
    install()
    [program] = NODE.glob("node_modules/@supabase/cli-*/bin/supabase")
    named = set(re.findall(rb"^FROM ([\w/.-]+:[\w.-]+) AS \w+$", program.read_bytes(), re.MULTILINE))
    images = {service["image"] for service in SERVICES.values() if "image" in service}
    assert len(images) == 4
    assert images <= {image.decode() for image in named}


def test_only_this_machine_reaches_what_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_has_a_default() -> None:
    named = re.findall(r"\$\{(\w+)([^}]*)\}", (ROOT / "compose.yaml").read_text())
    assert {name for name, _ in named} == {
        "JWT_SECRET", "POSTGRES_PASSWORD", "PRESENCE_HASH_KEY", "STUDIO_KEY", "TS_API_KEY"
    }  # fmt: skip
    assert {rest for _, rest in named} == {":?"}
