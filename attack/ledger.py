"""The ledger of queries: every image that a thief has paid for, and what the victim said.

SQLite in write-ahead mode. A batch is one transaction, on disk before the next batch is chosen; so a killed attack
resumes by asking again from its first image, and whatever the ledger knows costs nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError, UsageError

SCHEMA_VERSION = 2

_NOTES = """
CREATE TABLE IF NOT EXISTS notes (
    attack INTEGER NOT NULL REFERENCES attacks,
    key TEXT NOT NULL,           -- what a strategy calls it
    value BLOB NOT NULL,
    PRIMARY KEY (attack, key)
);
"""

# One transaction: a ledger is made whole or not at all.
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
    PRIMARY KEY (attack, image)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS in_order ON queries (attack, position);
{_NOTES}
INSERT OR IGNORE INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
COMMIT;
"""

# Version 1 had no notes; the rest is the same.
_FROM_VERSION_1 = f"""
BEGIN IMMEDIATE;
{_NOTES}
UPDATE meta SET value = '{SCHEMA_VERSION}' WHERE key = 'schema_version';
COMMIT;
"""

_TABLES = {"meta", "attacks", "provenances", "queries"}


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as errors of the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise DataError(f"ledger {path} cannot be used: {error}") from error


def image_hash(image: NDArray[np.uint8]) -> bytes:
    """16 bytes that identify an image: BLAKE2b over its shape and pixels."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


@dataclass(frozen=True)
class AttackIdentity:
    """Whom an attack asks, and who asks. Two attacks that differ in any of it share nothing.

    Attributes:
        victim: sha256 of the model file.
        policy: of the answers.
        thief: pool, strategy, seed and data, as one text.
    """

    victim: str
    policy: AnswerPolicy
    thief: str


class Ledger:
    """A ledger file with any number of attacks in it.

    Raises:
        DataError: the file is no ledger of this version.
        UsageError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise UsageError(f"cannot open ledger {path}: {error}") from error
        try:
            self._prepare()
        except DataError:
            self._database.close()
            raise
        except sqlite3.OperationalError as error:
            # The place's fault (read-only, full, busy), where any other DatabaseError is the file's.
            self._database.close()
            raise UsageError(f"cannot open ledger {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise DataError(f"{path} is not a ledger: {error}") from error

    def _prepare(self) -> None:
        # Looked at before anything is written: somebody else's database stays as it is.
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = self._version(tables) if tables else SCHEMA_VERSION
        self._database.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit has reached the disk when it returns, so even a power cut loses no answer that was acted on.
        self._database.execute("PRAGMA synchronous=FULL")
        if not tables:
            self._database.executescript(_SCHEMA)
        elif version == 1:
            self._database.executescript(_FROM_VERSION_1)

    def _version(self, tables: set[str]) -> int:
        if not tables >= _TABLES:
            raise DataError(
                f"{self.path} is not a ledger: it is a database with the tables {', '.join(sorted(tables))}"
            )
        version = self._database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
        if version is None or version[0] not in ("1", str(SCHEMA_VERSION)):
            found = "no version" if version is None else f"version {version[0]}"
            raise DataError(f"ledger {self.path} has {found}, this edgecat reads {SCHEMA_VERSION}")
        return int(version[0])

    def attack(self, identity: AttackIdentity, classes: int) -> AttackLedger:
        """The part of the ledger that belongs to one attack; made if it is new.

        Raises:
            DataError: the ledger cannot be read or written.
        """
        row = (identity.victim, str(identity.policy), identity.thief)
        with _told(self.path):
            self._database.execute("INSERT OR IGNORE INTO attacks (victim, policy, thief) VALUES (?, ?, ?)", row)
            (number,) = self._database.execute(
                "SELECT id FROM attacks WHERE victim = ? AND policy = ? AND thief = ?", row
            ).fetchone()
        return AttackLedger(self.path, self._database, number, identity.policy, classes)

    def attacks(self) -> list[AttackIdentity]:
        """Every attack in the file."""
        with _told(self.path):
            rows = self._database.execute("SELECT victim, policy, thief FROM attacks ORDER BY id").fetchall()
        return [AttackIdentity(victim, AnswerPolicy.parse(policy), thief) for victim, policy, thief in rows]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AttackLedger:
    """One attack's queries, in the order they were paid for. Whatever cannot be read is a DataError."""

    def __init__(
        self, path: Path, database: sqlite3.Connection, number: int, policy: AnswerPolicy, classes: int
    ) -> None:
        self._path, self._database, self._number = path, database, number
        self._policy, self._classes = policy, classes
        self._width = policy.width(classes)

    def __len__(self) -> int:
        """How many queries were paid for."""
        with _told(self._path):
            (count,) = self._database.execute(
                "SELECT count(*) FROM queries WHERE attack = ?", (self._number,)
            ).fetchone()
        return int(count)

    @property
    def device_seconds(self) -> float:
        """Inference time on the device, over all queries."""
        with _told(self._path):
            (total,) = self._database.execute(
                "SELECT coalesce(sum(device_ns), 0) FROM queries WHERE attack = ?", (self._number,)
            ).fetchone()
        return float(total) / 1e9

    def images(self) -> list[bytes]:
        """Hashes of the images asked, in order."""
        with _told(self._path):
            rows = self._database.execute(
                "SELECT image FROM queries WHERE attack = ? ORDER BY position", (self._number,)
            ).fetchall()
        return [bytes(image) for (image,) in rows]

    def known(self, images: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        """What the ledger has of these hashes: stored answer and device time."""
        found: dict[bytes, tuple[bytes, int]] = {}
        with _told(self._path), closing(self._database.cursor()) as cursor:
            for image in images:
                row = cursor.execute(
                    "SELECT answer, device_ns FROM queries WHERE attack = ? AND image = ?", (self._number, image)
                ).fetchone()
                if row is not None:
                    found[image] = (bytes(row[0]), int(row[1]))
        return found

    def record(self, images: Sequence[bytes], answers: Answers, provenance: Sequence[str]) -> None:
        """Write new answers, all or none; they are on disk when this returns.

        Raises:
            DataError: the ledger cannot take them (an image is there already, the disk is full), or they are not one
                answer of this attack's policy for each image.
        """
        if not len(images) == len(answers) == len(provenance) or answers.policy != self._policy:
            raise DataError(
                f"{len(images)} images, {len(provenance)} origins and {len(answers)} answers under {answers.policy} "
                f"are not one of each for an attack under {self._policy}"
            )
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._insert(images, answers, provenance)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise DataError(
                f"ledger {self._path} did not take {len(images)} answers: {error}",
                hint="the answers before these are safe; make room, then go on with the same ledger",
            ) from error

    def _insert(self, images: Sequence[bytes], answers: Answers, provenance: Sequence[str]) -> None:
        stored = self._pack(answers)
        # Not a count, which would walk over every row: the index knows its end.
        (first,) = self._database.execute(
            "SELECT coalesce(max(position) + 1, 0) FROM queries WHERE attack = ?", (self._number,)
        ).fetchone()
        kinds = {name: self._provenance(name) for name in set(provenance)}
        self._database.executemany(
            "INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)",
            (
                (self._number, first + row, image, kinds[provenance[row]], stored[row], int(answers.device_ns[row]))
                for row, image in enumerate(images)
            ),
        )

    def note(self, key: str) -> bytes | None:
        """What was kept under this key; None if nothing was."""
        with _told(self._path):
            row = self._database.execute(
                "SELECT value FROM notes WHERE attack = ? AND key = ?", (self._number, key)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def keep(self, key: str, value: bytes) -> None:
        """Write a note, on disk when this returns; it replaces what was kept under this key.

        Raises:
            DataError: the ledger cannot take it.
        """
        with _told(self._path):
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (self._number, key, value))

    def unpack(self, stored: Sequence[tuple[bytes, int]]) -> Answers:
        """Stored answers as they were given."""
        label_bytes = 2 * self._width
        labels = np.frombuffer(b"".join(answer[:label_bytes] for answer, _ in stored), "<u2")
        scores = None
        if self._policy.kind != "label":
            joined = b"".join(answer[label_bytes:] for answer, _ in stored)
            scores = np.frombuffer(joined, "<f4").reshape(-1, self._width).astype(np.float32)
        return Answers(
            self._policy,
            self._classes,
            labels.reshape(-1, self._width).astype(np.uint16),
            scores,
            np.array([nanoseconds for _, nanoseconds in stored], np.uint32),
        )

    @staticmethod
    def _pack(answers: Answers) -> list[bytes]:
        labels = answers.labels.astype("<u2")
        if answers.scores is None:
            return [row.tobytes() for row in labels]
        scores = answers.scores.astype("<f4")
        return [label.tobytes() + score.tobytes() for label, score in zip(labels, scores, strict=True)]

    def _provenance(self, name: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO provenances (name) VALUES (?)", (name,))
        (number,) = self._database.execute("SELECT id FROM provenances WHERE name = ?", (name,)).fetchone()
        return int(number)
