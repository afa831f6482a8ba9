"""SEARCH, SORT and THREAD over a session's view: the plain definition, and how the index answers the same sooner."""
