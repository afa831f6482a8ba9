"""The ledger of a store: what was accepted is at one end each, and all rows agree. See `checks.py`."""

from estafeta.store.audit.checks import CHECKS, Audit, Check, audit, audit_now
from estafeta.store.audit.gap import Gap

__all__ = ["CHECKS", "Audit", "Check", "Gap", "audit", "audit_now"]
