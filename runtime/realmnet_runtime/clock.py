"""The time as every record of ours writes it."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """Now in UTC, ISO 8601 with milliseconds: `2026-01-31T09:05:07.012Z`."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return now.replace("+00:00", "Z")
