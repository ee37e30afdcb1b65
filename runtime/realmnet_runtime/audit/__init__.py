"""The audit log: which picture was answered by what and how, in lines that hold each other.

Append-only JSON lines. Each holds the SHA-256 of what came before it, and its own, so that an edit,
a deletion, an insertion or a swap is found at its line. No file name and no path is in it: pictures
are named by digest. `docs/audit.md` states the format.
"""

from __future__ import annotations

from realmnet_runtime.audit.log import AuditLog, rotate
from realmnet_runtime.audit.verification import AuditReport, verify_logs

__all__ = ["AuditLog", "AuditReport", "rotate", "verify_logs"]
