"""The words of messages, to be found by any part of them. All of it can be made again from the messages."""

from __future__ import annotations

from estafeta.store.search.index import Candidates, SearchIndex
from estafeta.store.search.indexes import SearchIndexes
from estafeta.store.search.words import Place

__all__ = ["Candidates", "Place", "SearchIndex", "SearchIndexes"]
