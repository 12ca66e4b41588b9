"""The longest list of free slots."""

import pytest

from api.models.base import ApiModel
from tests.support.serving import Connection


def test_a_year_of_slots_is_listed_without_a_model_of_each(shared_portal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    window = {"validFrom": "2031-01-01T00:00:00Z", "validUntil": "2033-01-01T00:00:00Z"}
    with Connection(shared_portal) as connection:
        connection.post("/api/voucher/issue", {"issuerUid": "anna", "voucherId": "long", **window})
        # thousands of them would stop the server for other clients meanwhile
        monkeypatch.delattr(ApiModel, "from_row")
        monkeypatch.delattr(ApiModel, "json_of")
        answer = connection.get("/api/slots/available?voucherId=long")
    assert answer.status == 200
    slots = answer.body["items"]
    starts = [slot["start"] for slot in slots]
    assert (len(set(starts)), starts) == (365 * 24, sorted(starts))
    start = "2031-12-31T23:00:00.000Z"
    assert list(slots[-1].items()) == [
        ("slotId", f"slot-{start}"),
        ("voucherId", "long"),
        ("start", start),
        ("end", "2032-01-01T00:00:00.000Z"),
    ]
