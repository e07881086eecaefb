"""The SQLite backend: one writer process, contents in segment files, everything else in one database.

layout     connection (open, migrate), segments, contents, sealed_documents (at rest), keys in ``keyring``
writing    link (a worker hands over) -> writer (group commit) -> batch + apply_* (one function an operation)
reading    read_mail, read_queue, read_directory: each worker's own read-only connection
"""

from a3mailer.store.backends.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
