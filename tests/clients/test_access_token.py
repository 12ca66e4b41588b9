"""The token of `/api/presence/verify` is valid for the Data API too."""

from pathlib import Path

import httpx
import pytest
from supabase import ClientOptions, PostgrestAPIError, create_client

from tests.clients.conftest import ANON_KEY
from tests.support.data_api import JWT_SECRET
from tests.support.serving import Connection, serve, settings_in


def test_the_token_of_presence_verify_is_valid_for_the_data_api(
    project: str, shared_database: str, tmp_path: Path
) -> None:
    with (
        serve(settings_in(tmp_path, jwt_secret=JWT_SECRET), shared_database) as portal,
        Connection(portal) as connection,
    ):
        verified = connection.post("/api/presence/verify", {"token": "dora's own token"}).body
    assert (verified["token_type"].lower(), verified["expires_in"]) == ("bearer", 3600)
    with httpx.Client() as session:
        client = create_client(project, ANON_KEY, ClientOptions(httpx_client=session))
        client.postgrest.auth(verified["access_token"])
        [dora] = client.table("thinkers").select("public_id").execute().data
        assert dora == {"public_id": verified["thinker_id"]}
        issued = client.rpc("issue_voucher", {"voucher_id": "v-dora", "title": "Klavierstunde"}).execute()
        assert isinstance(issued.data, dict)
        assert issued.data["issuer_uid"] == verified["thinker_id"]
        client.postgrest.auth(verified["access_token"] + "x")
        with pytest.raises(PostgrestAPIError, match="PGRST301"):
            client.table("thinkers").select("public_id").execute()
