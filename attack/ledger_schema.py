"""The ledger's tables, and whether a file has them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from foundation.errors import DataError

SCHEMA_VERSION = 2

_NOTES = """
CREATE TABLE IF NOT EXISTS notes (
    attack INTEGER NOT NULL REFERENCES attacks,
    key TEXT NOT NULL,           -- what a strategy calls it
    value BLOB NOT NULL,
    PRIMARY KEY (attack, key)
);
"""

# One transaction: a ledger is made whole or not at all. Queries lie in the order asked, so a batch is written at the
# end of the table, not all over it; no index on the images, `attack.hashes` says why.
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS attacks (
    id INTEGER PRIMARY KEY,
    victim TEXT NOT NULL,    -- sha256 of the model file that answers
    policy TEXT NOT NULL,    -- what its answers carry
    thief TEXT NOT NULL,     -- pool, strategy and seed: one thief pays for itself
    UNIQUE (victim, policy, thief)
);
CREATE TABLE IF NOT EXISTS provenances (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS queries (
    attack INTEGER NOT NULL REFERENCES attacks,
    position INTEGER NOT NULL,   -- 0, 1, 2 ... in the order asked
    image BLOB NOT NULL,         -- BLAKE2b-128 of shape and pixels
    provenance INTEGER NOT NULL REFERENCES provenances,
    answer BLOB NOT NULL,        -- labels uint16, then scores float32 where the policy has them
    device_ns INTEGER NOT NULL,  -- inference time on the device
    PRIMARY KEY (attack, position)
) WITHOUT ROWID;
{_NOTES}
INSERT OR IGNORE INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
COMMIT;
"""

# Version 1 had no notes. Its queries lie in the order of their hashes, with an index by position: larger and slower,
# but the same columns, so they stay as they are.
_FROM_VERSION_1 = f"""
BEGIN IMMEDIATE;
{_NOTES}
UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version';
COMMIT;
"""

_TABLES = {"meta", "attacks", "provenances", "queries"}


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file, bring those of version 1 up to date, and set how it is written.

    Raises:
        DataError: it is somebody else's database or of another version; it is left as it was.
        sqlite3.Error: it cannot be read or written.
    """
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    version = _version(database, tables, path) if tables else SCHEMA_VERSION
    database.execute("PRAGMA journal_mode=WAL")
    # FULL: a commit has reached the disk when it returns, so even a power cut loses no answer that was acted on.
    database.execute("PRAGMA synchronous=FULL")
    if not tables:
        database.executescript(_SCHEMA)
    elif version == 1:
        database.executescript(_FROM_VERSION_1)


def _version(database: sqlite3.Connection, tables: set[str], path: Path) -> int:
    if not tables >= _TABLES:
        raise DataError(f"{path} is not a ledger: it is a database with the tables {', '.join(sorted(tables))}")
    version = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if version is None or version[0] not in ("1", str(SCHEMA_VERSION)):
        found = "no version" if version is None else f"version {version[0]}"
        raise DataError(f"ledger {path} has {found}, this edgecat reads {SCHEMA_VERSION}")
    return int(version[0])
