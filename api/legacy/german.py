"""The German words that the legacy dashboard showed."""

from datetime import UTC, datetime


def ago(time: datetime | None) -> str:
    """How long ago a time was, in German words."""
    if time is None:
        return "Nie"
    minutes = int((datetime.now(UTC) - time).total_seconds() // 60)
    if minutes < 1:
        return "Gerade eben"
    for number, one, many in ((minutes // 1440, "Tag", "Tagen"), (minutes // 60, "Stunde", "Stunden")):
        if number > 0:
            return f"Vor {number} {one if number == 1 else many}"
    return f"Vor {minutes} {'Minute' if minutes == 1 else 'Minuten'}"
