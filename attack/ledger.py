"""The ledger of queries: every image that a thief has paid for, and what the victim said.

SQLite in write-ahead mode. A batch is one transaction, on disk before the next batch is chosen; so a killed attack
resumes by asking again from its first image, and whatever the ledger knows costs nothing. One file holds the thieves of
one victim under one answer policy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from attack.hashes import HASH_BYTES, HashIndex
from attack.hashes import image_hash as image_hash  # many a caller looks for it beside the ledger
from attack.ledger_schema import prepare
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError, UsageError


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """SQLite's errors as errors of the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise DataError(f"ledger {path} cannot be used: {error}") from error


def _short(victim: str) -> str:
    """An identity in few letters: the hash's first ones, and the runtime where it names one."""
    digest, *runtime = victim.split(" ")
    return " ".join([f"{digest[:12]}…" if len(digest) > 12 else digest, *runtime])


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
            prepare(self._database, path)
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

    def attack(self, identity: AttackIdentity, classes: int) -> AttackLedger:
        """The part of the ledger that belongs to one attack; made if it is new.

        Raises:
            DataError: the ledger is another victim's or holds answers under another policy, or cannot be read or
                written.
        """
        self.check(identity.victim, identity.policy)
        row = (identity.victim, str(identity.policy), identity.thief)
        with _told(self.path):
            self._database.execute("INSERT OR IGNORE INTO attacks (victim, policy, thief) VALUES (?, ?, ?)", row)
            (number,) = self._database.execute(
                "SELECT id FROM attacks WHERE victim = ? AND policy = ? AND thief = ?", row
            ).fetchone()
        return AttackLedger(self.path, self._database, number, identity.policy, classes)

    def check(self, victim: str, policy: AnswerPolicy) -> None:
        """Whether a thief of this victim under this policy may write here.

        Raises:
            DataError: the ledger is another victim's, or holds answers under another policy, or cannot be read.
        """
        with _told(self.path):
            other = self._database.execute(
                "SELECT victim, policy FROM attacks WHERE (victim != ? OR policy != ?) AND "
                "EXISTS (SELECT 1 FROM queries WHERE attack = id) LIMIT 1",
                (victim, str(policy)),
            ).fetchone()
        if other is not None:
            raise DataError(
                f"ledger {self.path} belongs to victim {_short(other[0])} under policy {other[1]}, not to "
                f"{_short(victim)} under {policy}",
                hint="give another ledger file, or another --out",
            )

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
        self._index = HashIndex()

    def __len__(self) -> int:
        """How many queries were paid for."""
        with _told(self._path):
            # Not a count, which would walk over every row.
            (count,) = self._database.execute(
                "SELECT coalesce(max(position) + 1, 0) FROM queries WHERE attack = ?", (self._number,)
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

    def positions(self, images: Sequence[bytes]) -> list[int]:
        """Where these hashes stand in the order asked, from 0; -1 for those that were not paid for."""
        with _told(self._path):
            self._catch_up()
        return self._index.find(images)

    def answers(self, positions: Sequence[int]) -> list[tuple[bytes, int]]:
        """Stored answer and device time at each of these positions, as `unpack` takes them."""
        found: list[tuple[bytes, int]] = []
        with _told(self._path), closing(self._database.cursor()) as cursor:
            for position in positions:
                row = cursor.execute(
                    "SELECT answer, device_ns FROM queries WHERE attack = ? AND position = ?", (self._number, position)
                ).fetchone()
                found.append((bytes(row[0]), int(row[1])))
        return found

    def known(self, images: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        """What the ledger has of these hashes: stored answer and device time."""
        found = [
            (image, position) for image, position in zip(images, self.positions(images), strict=True) if position >= 0
        ]
        stored = self.answers([position for _, position in found])
        return {image: answer for (image, _), answer in zip(found, stored, strict=True)}

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
            self._index.add(images)
        except sqlite3.Error as error:
            raise DataError(
                f"ledger {self._path} did not take {len(images)} answers: {error}",
                hint="the answers before these are safe; make room, then go on with the same ledger",
            ) from error

    def _insert(self, images: Sequence[bytes], answers: Answers, provenance: Sequence[str]) -> None:
        self._catch_up()
        if len(set(images)) < len(images) or any(position >= 0 for position in self._index.find(images)):
            raise DataError(f"ledger {self._path} did not take {len(images)} answers: an image would be paid twice")
        kinds = {name: self._provenance(name) for name in set(provenance)}
        rows = zip(
            repeat(self._number, len(images)),
            range(len(self._index), len(self._index) + len(images)),
            images,
            map(kinds.__getitem__, provenance),
            self._pack(answers),
            answers.device_ns.tolist(),
            strict=True,
        )
        self._database.executemany("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _catch_up(self) -> None:
        """Take what the file has more than the index: what earlier sessions left."""
        rows = self._database.execute(
            "SELECT position, image FROM queries WHERE attack = ? AND position >= ? ORDER BY position",
            (self._number, len(self._index)),
        )
        while some := rows.fetchmany(1 << 14):
            if some[-1][0] != len(self._index) + len(some) - 1 or any(len(image) != HASH_BYTES for _, image in some):
                raise DataError(f"ledger {self._path} is spoilt: queries before position {some[-1][0]} are missing")
            self._index.add([image for _, image in some])

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
        columns = [answers.labels.astype("<u2").view(np.uint8)]
        if answers.scores is not None:
            columns.append(answers.scores.astype("<f4").view(np.uint8))
        joined = np.concatenate(columns, axis=1)
        packed, size = joined.tobytes(), joined.shape[1]
        return [packed[start : start + size] for start in range(0, len(packed), size)]

    def _provenance(self, name: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO provenances (name) VALUES (?)", (name,))
        (number,) = self._database.execute("SELECT id FROM provenances WHERE name = ?", (name,)).fetchone()
        return int(number)
