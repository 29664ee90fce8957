"""The ledger: durable, all or none, in order, each image once; foreign and torn files are refused as they are."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from victims_in_process import answer, fixed_logits, numbered_images

from attack.hashes import image_hash
from attack.ledger import AttackIdentity, AttackLedger, Ledger
from attack.ledger_schema import SCHEMA_VERSION
from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import DataError, ExitCode, UsageError
from foundation.files import sha256_file

pytestmark = pytest.mark.timeout(60)

LABEL = AnswerPolicy("label")
THIEF = AttackIdentity("ab" * 32, LABEL, "npd/random/0")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    with Ledger(place) as opened:
        yield opened


@pytest.fixture
def part(ledger: Ledger) -> AttackLedger:
    return ledger.attack(THIEF, 3)


def batch(count: int, first: int = 0, policy: AnswerPolicy = LABEL) -> tuple[list[bytes], Answers, list[str]]:
    """Images number `first` on: hashes, answers and origins."""
    images = numbered_images(count, first, (4, 4, 1))
    return [image_hash(image) for image in images], answer(policy, fixed_logits(3)(images)), ["npd/noise"] * count


def seen_from_outside(place: Path) -> list[tuple[int, bytes]]:
    """Position and image of every row, as another process sees them now."""
    other = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    try:
        return other.execute("SELECT position, image FROM queries ORDER BY attack, position").fetchall()
    finally:
        other.close()


# --- what is kept


def test_a_second_connection_sees_a_batch_as_soon_as_record_returns(place: Path, part: AttackLedger) -> None:
    for number in range(3):
        part.record(*batch(5, 5 * number))
        assert len(seen_from_outside(place)) == 5 * (number + 1)


def test_a_batch_outlives_the_process_that_wrote_it(place: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_ledger import THIEF, Ledger, batch
part = Ledger(Path({str(place)!r})).attack(THIEF, 3)
part.record(*batch(40))
part._database.execute("BEGIN IMMEDIATE")
part._insert(*batch(40, 40))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == -signal.SIGKILL
    with Ledger(place) as again:
        part = again.attack(THIEF, 3)
        assert part.images() == batch(40)[0]
        part.record(*batch(40, 40))
        assert len(part) == 80


def test_rows_stand_in_the_order_they_were_asked_over_sessions(place: Path) -> None:
    for number in range(3):
        with Ledger(place) as session:
            session.attack(THIEF, 3).record(*batch(7, 7 * number))
    hashes, _, _ = batch(21)
    assert seen_from_outside(place) == list(enumerate(hashes))
    with Ledger(place) as session:
        assert session.attack(THIEF, 3).images() == hashes


def test_device_time_adds_up_and_origins_are_kept(place: Path, part: AttackLedger) -> None:
    hashes, answers, _ = batch(4)
    part.record(hashes, answers, ["npd/noise", "npd/leaves", "npd/noise", "npd/shapes"])
    assert part.device_seconds == pytest.approx((1000 + 1001 + 1002 + 1003) / 1e9)
    with sqlite3.connect(place) as other:
        rows = other.execute("SELECT name FROM queries JOIN provenances ON provenance = id ORDER BY position")
        assert [name for (name,) in rows] == ["npd/noise", "npd/leaves", "npd/noise", "npd/shapes"]


def test_two_attacks_in_one_file_share_nothing(ledger: Ledger) -> None:
    others = [AttackIdentity(THIEF.victim, LABEL, f"npd/random/{seed}") for seed in (1, 2)]
    ledger.attack(THIEF, 3).record(*batch(6))
    for identity in others:
        part = ledger.attack(identity, 3)
        assert len(part) == 0
        assert part.known(batch(6)[0]) == {}
        part.record(*batch(6, policy=identity.policy))
        assert part.images() == batch(6)[0]
    assert ledger.attacks() == [THIEF, *others]
    assert ledger.attack(THIEF, 3).images() == batch(6)[0]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            AttackIdentity("cd" * 32, LABEL, THIEF.thief),
            "victim abababababab… under policy label, not to cdcdcdcdcdcd…",
        ),
        (AttackIdentity(f"{THIEF.victim} tflite-legacy", LABEL, "t"), "not to abababababab… tflite-legacy under label"),
        (AttackIdentity(THIEF.victim, AnswerPolicy("scores"), THIEF.thief), "label, not to abababababab… under scores"),
        (
            AttackIdentity(THIEF.victim, AnswerPolicy.parse("topk:2"), "another"),
            "label, not to abababababab… under topk:2",
        ),
    ],
)
def test_a_ledger_of_another_victim_or_policy_is_refused_and_left_alone(
    place: Path, other: AttackIdentity, words: str
) -> None:
    with Ledger(place) as ledger:
        ledger.attack(THIEF, 3).record(*batch(6))
    with Ledger(place) as ledger:
        with pytest.raises(DataError, match=f"belongs to .*{words}") as caught:
            ledger.attack(other, 3)
        assert caught.value.hint is not None
        assert "another --out" in caught.value.hint
        assert ledger.attacks() == [THIEF]
        assert ledger.attack(THIEF, 3).images() == batch(6)[0]


def test_an_attack_that_paid_for_nothing_keeps_nobody_out(ledger: Ledger) -> None:
    ledger.attack(THIEF, 3).keep("chosen", b"nothing yet")
    other = ledger.attack(AttackIdentity("cd" * 32, LABEL, THIEF.thief), 3)
    other.record(*batch(2))
    with pytest.raises(DataError, match="belongs to victim cdcdcdcdcdcd…"):
        ledger.attack(THIEF, 3)


def test_images_differ_by_shape_as_well_as_by_pixels() -> None:
    image = numbered_images(1, 0, (4, 6, 1))[0]
    hashes = {image_hash(image), image_hash(image.reshape(6, 4, 1)), image_hash(image.reshape(4, 2, 3))}
    assert len(hashes) == 3
    assert all(len(digest) == 16 for digest in hashes)
    turned = np.asfortranarray(image)
    assert image_hash(turned) == image_hash(image)


POLICIES = st.sampled_from([LABEL, *map(AnswerPolicy.parse, ("topk:1", "topk:4", "scores", "confident:0.5", "logits"))])
NUMBERS = st.floats(-30, 30, width=32)


@settings(deadline=None, max_examples=40)
@given(policy=POLICIES, rows=st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=1, max_size=9), ns=st.data())
def test_answers_come_back_bit_for_bit(policy: AnswerPolicy, rows: list[list[float]], ns: st.DataObject) -> None:
    labels, scores = policy.apply(np.array(rows, np.float32))
    times = ns.draw(st.lists(st.integers(0, 2**32 - 1), min_size=len(rows), max_size=len(rows)))
    given_answers = Answers(policy, 5, labels, scores, np.array(times, np.uint32))
    hashes = [bytes([row]) * 16 for row in range(len(rows))]
    with Ledger(Path(":memory:")) as ledger:
        part = ledger.attack(AttackIdentity("v", policy, "t"), 5)
        part.record(hashes, given_answers, ["x"] * len(rows))
        stored = part.known(hashes)
        back = part.unpack([stored[digest] for digest in hashes])
    assert (back.policy, back.classes) == (policy, 5)
    assert back.labels.dtype == np.uint16
    assert np.array_equal(back.labels, labels)
    assert np.array_equal(back.device_ns, given_answers.device_ns)
    assert (back.scores is None) == (scores is None)
    if scores is not None and back.scores is not None:
        assert back.scores.dtype == np.float32
        assert back.scores.tobytes() == scores.tobytes()


@pytest.mark.parametrize("policy", ["label", "topk:2", "scores"])
def test_no_answers_unpack_to_no_answers(ledger: Ledger, policy: str) -> None:
    parsed = AnswerPolicy.parse(policy)
    part = ledger.attack(AttackIdentity("v", parsed, "t"), 3)
    hashes, answers, origins = batch(2, policy=parsed)
    part.record(hashes, answers, origins)
    empty = part.unpack([])
    assert len(empty) == 0
    assert len(concatenate([empty, part.unpack(list(part.known(hashes).values()))])) == 2


def test_a_query_takes_few_bytes(place: Path, part: AttackLedger) -> None:
    count = 20_000
    labels = np.random.default_rng(0).integers(0, 4, (count, 1)).astype(np.uint16)
    answers = Answers(LABEL, 4, labels, None, np.full(count, 150_000, np.uint32))
    hashes = [np.random.default_rng(row).bytes(16) for row in range(count)]
    for row in range(0, count, 500):
        cut = slice(row, row + 500)
        some = Answers(LABEL, 4, labels[cut], None, answers.device_ns[cut])
        part.record(hashes[cut], some, ["npd/noise"] * 500)
    with sqlite3.connect(place) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    per_query = place.stat().st_size / count
    print(f"{per_query:.1f} bytes a query, 16 of them the image's hash")
    assert per_query - 16 <= 30


# --- notes


def test_a_note_outlives_its_process_and_the_later_one_counts(place: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_ledger import THIEF, Ledger
part = Ledger(Path({str(place)!r})).attack(THIEF, 3)
part.keep("chosen", b"older and longer")
part.keep("chosen", bytes(range(256)))
part.keep("empty", b"")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == -signal.SIGKILL
    with Ledger(place) as again:
        part = again.attack(THIEF, 3)
        assert part.note("chosen") == bytes(range(256))
        assert part.note("empty") == b""
        assert part.note("other") is None


def test_notes_belong_to_one_attack(ledger: Ledger, part: AttackLedger) -> None:
    part.keep("chosen", b"mine")
    other = ledger.attack(AttackIdentity(THIEF.victim, LABEL, "npd/random/1"), 3)
    assert other.note("chosen") is None
    other.keep("chosen", b"yours")
    assert (part.note("chosen"), other.note("chosen")) == (b"mine", b"yours")


# The queries of a ledger of version 1; the tables beside them were as they are.
VERSION_1 = """
DROP TABLE notes;
DROP TABLE queries;
CREATE TABLE queries (
    attack INTEGER NOT NULL REFERENCES attacks,
    position INTEGER NOT NULL,
    image BLOB NOT NULL,
    provenance INTEGER NOT NULL REFERENCES provenances,
    answer BLOB NOT NULL,
    device_ns INTEGER NOT NULL,
    PRIMARY KEY (attack, image)
) WITHOUT ROWID;
CREATE UNIQUE INDEX in_order ON queries (attack, position);
UPDATE meta SET value = '1';
"""


def test_a_ledger_of_version_1_is_taken_over_with_its_rows(place: Path) -> None:
    with Ledger(place) as ledger:
        ledger.attack(THIEF, 3).record(*batch(20))
    with sqlite3.connect(place) as other:
        rows = other.execute("SELECT * FROM queries").fetchall()
        other.executescript(VERSION_1)
        other.executemany("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)", rows)
    other.close()
    for number in range(2):
        with Ledger(place) as ledger:
            part = ledger.attack(THIEF, 3)
            assert part.images() == batch(20 + number)[0]
            part.record(*batch(1, 20 + number))
            assert part.note("chosen") == (b"kept" if number else None)
            part.keep("chosen", b"kept")
    with sqlite3.connect(place) as other:
        assert other.execute("SELECT value FROM meta").fetchall() == [(str(SCHEMA_VERSION),)]


# --- all or none


def test_a_batch_with_an_image_that_is_there_already_leaves_nothing(place: Path, part: AttackLedger) -> None:
    part.record(*batch(5))
    hashes, answers, origins = batch(6, 4)
    with pytest.raises(DataError, match="did not take 6 answers") as caught:
        part.record(hashes[1:] + hashes[:1], answers, origins)
    with pytest.raises(DataError, match="paid twice"):
        part.record(hashes[1:] + hashes[1:2], answers, origins)
    assert caught.value.exit_code == ExitCode.DATA
    assert [image for _, image in seen_from_outside(place)] == batch(5)[0]
    part.record(*batch(5, 5))
    assert [position for position, _ in seen_from_outside(place)] == list(range(10))


def test_a_batch_that_is_interrupted_leaves_nothing(place: Path, part: AttackLedger) -> None:
    hashes, answers, origins = batch(6)
    changes = part._database.total_changes

    class Stopping(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[str]:
            for origin in super().__iter__():
                if part._database.total_changes > changes + 3:
                    raise KeyboardInterrupt
                yield origin

    with pytest.raises(KeyboardInterrupt):
        part.record(hashes, answers, Stopping(origins))
    assert seen_from_outside(place) == []
    part.record(hashes, answers, origins)
    assert len(seen_from_outside(place)) == 6


@pytest.mark.parametrize(("images", "origins"), [(5, 6), (7, 6), (6, 5), (6, 7)])
def test_a_batch_that_is_not_one_answer_for_each_image_is_refused(
    part: AttackLedger, images: int, origins: int
) -> None:
    with pytest.raises(DataError, match="not one of each"):
        part.record(batch(images)[0], batch(6)[1], batch(origins)[2])
    assert len(part) == 0


def test_answers_under_another_policy_are_refused(part: AttackLedger) -> None:
    hashes, _, origins = batch(4)
    with pytest.raises(DataError, match="scores"):
        part.record(hashes, batch(4, policy=AnswerPolicy("scores"))[1], origins)
    assert len(part) == 0


def test_a_full_disk_is_told_and_earlier_rows_stay(place: Path) -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_ledger import THIEF, DataError, Ledger, batch
part = Ledger(Path({str(place)!r})).attack(THIEF, 3)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    for number in range(1000):
        part.record(*batch(100, 100 * number))
        print(number + 1, flush=True)
except DataError as error:
    print(error, file=sys.stderr)
    sys.exit(int(error.exit_code))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == ExitCode.DATA, done.stderr
    assert f"ledger {place} did not take 100 answers" in done.stderr
    taken = int(done.stdout.split()[-1])
    assert taken > 5
    with Ledger(place) as again:
        part = again.attack(THIEF, 3)
        assert part.images() == batch(100 * taken)[0]
        part.record(*batch(100, 100 * taken))
        assert len(part) == 100 * (taken + 1)


# --- files that are none of ours


def test_a_file_that_is_no_database_is_refused_and_left_alone(place: Path) -> None:
    place.write_bytes(b"file,label\n" * 500)
    with pytest.raises(DataError, match="not a ledger"):
        Ledger(place)
    assert place.read_bytes() == b"file,label\n" * 500


def test_somebody_else_s_database_is_refused_and_left_alone(place: Path) -> None:
    with sqlite3.connect(place) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = sha256_file(place)
    with pytest.raises(DataError, match="bookmarks"):
        Ledger(place)
    assert sha256_file(place) == before
    assert [file.name for file in place.parent.iterdir()] == [place.name]


def test_a_ledger_of_another_version_is_refused_and_left_alone(place: Path) -> None:
    Ledger(place).close()
    with sqlite3.connect(place) as other:
        other.execute("UPDATE meta SET value = '3'")
        other.execute("DROP TABLE notes")
    other.close()
    before = sha256_file(place)
    with pytest.raises(DataError, match=f"version 3, this edgecat reads {SCHEMA_VERSION}"):
        Ledger(place)
    assert sha256_file(place) == before


def test_a_ledger_without_a_version_is_refused(place: Path) -> None:
    Ledger(place).close()
    with sqlite3.connect(place) as other:
        other.execute("DELETE FROM meta")
    with pytest.raises(DataError, match="no version"):
        Ledger(place)


@pytest.fixture
def filled(place: Path) -> Path:
    with Ledger(place) as ledger:
        for number in range(20):
            ledger.attack(THIEF, 3).record(*batch(100, 100 * number))
    return place


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_ledger_that_was_cut_off_is_refused(filled: Path, share: float) -> None:
    os.truncate(filled, int(filled.stat().st_size * share))
    with pytest.raises(DataError, match="not a ledger"):
        Ledger(filled)


def test_a_ledger_with_a_spoilt_page_is_told_when_it_is_read(filled: Path) -> None:
    content = bytearray(filled.read_bytes())
    content[8 * 4096 :] = b"\xff" * (len(content) - 8 * 4096)
    filled.write_bytes(content)
    with Ledger(filled) as ledger:
        part = ledger.attack(THIEF, 3)
        with pytest.raises(DataError, match="cannot be used"):
            part.known(batch(2000)[0])


def test_an_empty_file_becomes_a_ledger(place: Path) -> None:
    place.touch()
    with Ledger(place) as ledger:
        ledger.attack(THIEF, 3).record(*batch(2))
    assert len(seen_from_outside(place)) == 2


@pytest.mark.parametrize("harm", ["DELETE FROM queries WHERE position = 7", "UPDATE queries SET image = x'00'"])
def test_a_ledger_that_somebody_changed_is_told_when_it_is_read(place: Path, harm: str) -> None:
    with Ledger(place) as ledger:
        ledger.attack(THIEF, 3).record(*batch(20))
    with sqlite3.connect(place) as other:
        other.execute(harm)
    with Ledger(place) as ledger, pytest.raises(DataError, match="is spoilt"):
        ledger.attack(THIEF, 3).known(batch(1)[0])


# --- places that cannot be written


def test_a_directory_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open ledger") as caught:
        Ledger(tmp_path)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_file_in_the_way_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot open ledger"):
        Ledger(tmp_path / "file" / "ledger.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot open ledger"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_full_disk_at_the_start_is_told(place: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
from attack.ledger import Ledger
from foundation.errors import EdgecatError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
try:
    Ledger(Path({str(place)!r}))
except EdgecatError as error:
    print(error, file=sys.stderr)
    sys.exit(int(error.exit_code))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert done.stderr.startswith(f"cannot open ledger {place}")


def test_a_ledger_may_be_moved_with_its_unfinished_journal(place: Path, tmp_path: Path) -> None:
    with Ledger(place) as ledger:
        ledger.attack(THIEF, 3).record(*batch(30))
        elsewhere = tmp_path / "copied"
        elsewhere.mkdir()
        # What a kill leaves: the file and its write-ahead journal, not yet folded into one.
        for file in place.parent.glob("ledger.sqlite*"):
            shutil.copy(file, elsewhere)
    with Ledger(elsewhere / "ledger.sqlite") as copied:
        assert copied.attack(THIEF, 3).images() == batch(30)[0]
