"""Saving what can be saved of a damaged store: `repair`.

Rows are read from the pages of the file where SQLite cannot, and put into a new database; contents are held to their
digests. What is damaged is kept, what is doubtful is quarantined, and all of it is counted.
"""

from estafeta.store.repair.repairing import repair
from estafeta.store.repair.report import Affected, Place, Report, State

__all__ = ["Affected", "Place", "Report", "State", "repair"]
