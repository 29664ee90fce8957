"""The native runner's core by itself: what real models do not reach, against the Python runner's own parts."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.runner.messages import (
    BenchmarkRequest,
    benchmark_payload,
    parse_answer,
    parse_error,
    parse_hello,
    parse_measurement,
)
from edge.runner.preprocessing import input_table
from edge.runner.wire import Fault, Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import UsageError
from foundation.files import sha256_bytes

from ....foundation.policy_vectors import load
from .scripted_runner import Script, Talk, command_line, query, scripted_runner

POLICIES = ("label", "topk:1", "topk:3", "topk:{all}", "scores", "logits")
DEFENDED = ("round:2", "noise:0.1", "reverse_sigmoid:0.5,2", "confident:0.3")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scripted_runner(tmp_path_factory.mktemp("scripted"))


@pytest.fixture
def talk(runner: Path, tmp_path: Path) -> Talk:
    return Talk(runner, tmp_path)


def pixels(*values: int) -> NDArray[np.uint8]:
    """Images of one pixel."""
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def assert_same_bits(answers: Answers, labels: NDArray[np.uint16], scores: NDArray[np.float32] | None) -> None:
    """Both runners do the same float64 operations in the same order: no tolerance is needed."""
    np.testing.assert_array_equal(answers.labels, labels)
    assert (answers.scores is None) == (scores is None)
    if answers.scores is not None and scores is not None:
        np.testing.assert_array_equal(answers.scores.view(np.uint32), scores.view(np.uint32))


def some_logits(kind: str, classes: int) -> NDArray[np.float32]:
    """Logits [64, classes] of a kind."""
    rng = np.random.default_rng(classes)
    if kind == "tied":
        return rng.integers(-2, 3, (64, classes)).astype(np.float32) * np.float32(0.25)
    if kind == "zeros":
        return rng.choice(np.array([0.0, -0.0], np.float32), (64, classes))
    if kind == "huge":
        return (rng.choice([-1, 1], (64, classes)) * rng.uniform(1e30, 3e38, (64, classes))).astype(np.float32)
    return (rng.standard_normal((64, classes)) * 10.0 ** rng.integers(-8, 3, (64, 1))).astype(np.float32)


@pytest.mark.parametrize("policy", POLICIES + DEFENDED)
@pytest.mark.parametrize("classes", [3, 17, 1000])
@pytest.mark.parametrize("kind", ["normal", "tied", "zeros", "huge"])
def test_every_policy_cuts_logits_down_as_python_does(talk: Talk, kind: str, classes: int, policy: str) -> None:
    chosen = AnswerPolicy.parse(policy.format(all=classes))
    logits = some_logits(kind, classes)
    session = talk(Script(classes=classes, rows=logits), query(pixels(*range(64))), policy=str(chosen))
    answers = parse_answer(session.frames[1].payload, chosen, classes)
    assert_same_bits(answers, *chosen.apply(logits, pixels(*range(64))))


def test_golden_vectors_come_out_to_the_bit(talk: Talk) -> None:
    vectors = load()
    script = Script(shape=(1, 3, 3, 1), classes=vectors.logits.shape[1], rows=vectors.logits)
    for policy, expected in vectors.answers.items():
        session = talk(script, query(vectors.images), policy=policy)
        answers = parse_answer(session.frames[1].payload, AnswerPolicy.parse(policy), script.classes)
        assert_same_bits(answers, *expected)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4096, 12_289])
def test_noise_hangs_on_every_byte_of_an_image_as_in_python(talk: Talk, size: int) -> None:
    images = np.random.default_rng(size).integers(0, 256, (20, 1, size, 1), np.uint8)
    images[10:] = images[:10]
    images[10:, 0, -1, 0] ^= 1
    logits = np.zeros((1, 3), np.float32)
    session = talk(Script(shape=(1, 1, size, 1), classes=3, rows=logits), query(images), policy="noise:0.1")
    answers = parse_answer(session.frames[1].payload, AnswerPolicy.parse("noise:0.1"), 3)
    assert_same_bits(answers, *answers.policy.apply(np.repeat(logits, 20, axis=0), images))
    assert answers.scores is not None
    assert np.all(answers.scores[:10] != answers.scores[10:])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("noise:0.10", "noise:0.1"),
        ("noise:1.000000", "noise:1"),
        ("topk:2.0", "topk:2"),
        ("reverse_sigmoid:100,0.000001", "reverse_sigmoid:100,0.000001"),
        ("confident:0.5", "confident:0.5"),
    ],
)
def test_hello_writes_a_policy_in_the_one_way_there_is(talk: Talk, text: str, written: str) -> None:
    assert parse_hello(talk(Script(classes=4), policy=text).frames[0].payload).policy == written
    assert str(AnswerPolicy.parse(text)) == written


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.from_regex(r"(topk|round|noise|reverse_sigmoid|confident|logits):[0-9.,]{0,9}", fullmatch=True),
            st.from_regex(
                r"(round:[1-6]|noise:0\.[0-9]{1,7}|reverse_sigmoid:[0-9]{1,3},[0-9]\.[0-9]{1,7})", fullmatch=True
            ),
        ),
        min_size=8,
        max_size=8,
    )
)
def test_words_are_a_policy_here_if_they_are_one_in_python(talk: Talk, texts: list[str]) -> None:
    for text in texts:
        first = talk(Script(classes=9999, rows=np.zeros((1, 9999), np.int8)), policy=text).frames[0]
        try:
            written = str(AnswerPolicy.parse(text))
        except UsageError:
            assert parse_error(first.payload)[0] == Fault.MODEL_REFUSED
        else:
            assert parse_hello(first.payload).policy == written


def test_the_widest_answer_there_is(talk: Talk) -> None:
    logits = np.zeros((2, 65_535), np.float32)
    logits[1] = np.random.default_rng(0).standard_normal(65_535)
    session = talk(Script(classes=65_535, rows=logits), query(pixels(1, 0)), policy="topk:9999")
    answers = parse_answer(session.frames[1].payload, AnswerPolicy.parse("topk:9999"), 65_535)
    np.testing.assert_array_equal(answers.labels[0], np.argsort(-logits[1], kind="stable")[:9999])
    np.testing.assert_array_equal(answers.labels[1], np.arange(9999))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantised_logits_are_dequantised_in_float32(talk: Talk, dtype: str) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(1).integers(limits.min, limits.max + 1, (256, 5)).astype(dtype)
    scale, zero_point = np.float32(0.0371), 3
    script = Script(classes=5, rows=stored, output_scale=float(scale), output_zero_point=zero_point)
    policy = AnswerPolicy("scores")
    answers = parse_answer(talk(script, query(pixels(*range(256))), policy="scores").frames[1].payload, policy, 5)
    expected = policy.apply((stored.astype(np.float32) - np.float32(zero_point)) * scale)[1]
    assert answers.scores is not None
    assert expected is not None
    np.testing.assert_allclose(answers.scores, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (0.5,) * 3)],
    ids=["plain", "per channel", "alike"],
)
def test_pixels_become_the_same_input_as_in_python(
    talk: Talk, mean: tuple[float, ...], std: tuple[float, ...], dtype: str, layout: str
) -> None:
    images = np.random.default_rng(2).integers(0, 256, (40, 5, 4, 3), np.uint8)
    scale, zero_point = (1.0, 0) if dtype == "float32" else (float(np.float32(0.0173)), -7 if dtype == "int8" else 101)
    prepare = input_table(mean, std, np.dtype(dtype), layout, scale=scale, zero_point=zero_point)
    prepared = prepare(images).reshape(len(images), -1)
    # The output is the input again; scaled down so that no probability gets lost in another.
    output_scale = 1.0 if dtype == "float32" else 1 / 64
    script = Script(
        shape=(1, 5, 4, 3) if layout == "nhwc" else (1, 3, 5, 4),
        classes=60,
        input_dtype=dtype,
        input_scale=scale,
        input_zero_point=zero_point,
        output_scale=output_scale,
    )
    numbers = {name: ",".join(map(repr, values)) for name, values in (("mean", mean), ("std", std))}
    session = talk(script, query(images), policy="scores", layout=layout, image="5,4,3", **numbers)
    answers = parse_answer(session.frames[1].payload, AnswerPolicy("scores"), 60)
    expected = AnswerPolicy("scores").apply(prepared.astype(np.float32) * np.float32(output_scale))[1]
    assert answers.scores is not None
    assert expected is not None
    # One step of the input is 1.5 % here.
    np.testing.assert_allclose(answers.scores, expected, rtol=3e-6, atol=0)


@pytest.mark.parametrize("bad", ["nan", "inf", "the runtime"])
def test_a_failed_inference_is_told_and_the_session_goes_on(talk: Talk, bad: str) -> None:
    rows = np.zeros((3, 4), np.float32)
    rows[1, 2] = {"nan": np.nan, "inf": -np.inf, "the runtime": 1}[bad]
    script = Script(rows=rows, failing_row=1 if bad == "the runtime" else 9)
    session = talk(script, query(pixels(0, 1, 2), 5), query(pixels(0, 2), 6))
    failed, answered = session.frames[1:]
    assert (failed.kind, failed.sequence, parse_error(failed.payload)[0]) == (Kind.ERROR, 5, Fault.INFERENCE_FAILED)
    assert (answered.kind, answered.sequence, session.code) == (Kind.ANSWER, 6, 0)


@pytest.mark.parametrize("classes", [0, 65_536])
def test_a_model_whose_classes_no_answer_can_name_is_refused(talk: Talk, classes: int) -> None:
    session = talk(Script(classes=classes))
    assert (session.code, parse_error(session.frames[0].payload)[0]) == (1, Fault.MODEL_REFUSED)


def test_an_answer_that_would_not_fit_a_frame_is_refused(talk: Talk) -> None:
    script = Script(classes=65_535, rows=np.zeros((1, 65_535), np.int8))
    # (64 MiB - 16) / (4 + 6 * 65,535) is 170.
    session = talk(script, query(pixels(*range(171))), query(pixels(*range(170))), policy="scores")
    assert parse_error(session.frames[1].payload)[0] == Fault.WRONG_SHAPE
    assert session.frames[2].kind == Kind.ANSWER


def test_files_of_any_length_are_hashed_right(talk: Talk, tmp_path: Path) -> None:
    for length in (1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 100_003):
        data = np.random.default_rng(length).bytes(length)
        (tmp_path / "file").write_bytes(data)
        command = command_line(talk.runner, tmp_path / "file", "0" * 64, Script())
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        assert sha256_bytes(data).encode() in done.stdout


def test_frames_longer_than_memory_end_the_session_with_a_word(tmp_path: Path) -> None:
    # A sanitizer would need more memory than this leaves.
    talk = Talk(scripted_runner(tmp_path, sanitized=False), tmp_path)

    def poor() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (30 << 20, 30 << 20))

    command = talk.command(Script(rows=np.zeros((1, 4), np.float32)))
    head = encode(Frame(Kind.QUERY, 1, b""))[:12] + struct.pack("<I", 64 << 20)
    done = subprocess.run(
        command, input=head + bytes(100), capture_output=True, timeout=10, check=False, preexec_fn=poor
    )
    assert done.returncode == 0
    assert b"no memory" in done.stdout


@pytest.mark.parametrize("what", ["a benchmark", "a query"])
def test_a_host_that_is_gone_is_noticed_in_the_middle_of_a_request(talk: Talk, what: str) -> None:
    images = np.zeros((500, 256, 256, 1), np.uint8)
    script = Script(shape=(1, 256, 256, 1), rows=np.zeros((1, 4), np.float32))
    request = BenchmarkRequest(warmup_runs=0, min_runs=1, min_seconds=60.0, max_seconds=60.0)
    long = Frame(Kind.BENCHMARK, 1, benchmark_payload(request)) if what == "a benchmark" else query(images)
    process = subprocess.Popen(talk.command(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert parse_hello(read_frame(process.stdout.read).payload).classes == 4
    process.stdin.write(encode(long))
    process.stdin.flush()
    process.stdout.close()
    began = time.monotonic()
    assert process.wait(10) == 0
    assert time.monotonic() - began < 1
    process.stdin.close()


def test_a_benchmark_of_many_runs_keeps_every_sample(talk: Talk) -> None:
    request = BenchmarkRequest(warmup_runs=0, min_runs=100_000, min_seconds=0.0, max_seconds=60.0)
    session = talk(Script(), Frame(Kind.BENCHMARK, 1, benchmark_payload(request)))
    assert len(parse_measurement(session.frames[1].payload).samples_ns) == 100_000


def test_a_benchmark_runs_a_black_image_whatever_was_asked_before(talk: Talk) -> None:
    # Row 0, of the black image, fails only once the model is loaded: so the benchmark is seen to use it.
    script = Script(rows=np.zeros((2, 4), np.float32), failing_row=0)
    assert parse_error(talk(script).frames[0].payload)[0] == Fault.MODEL_REFUSED
    request = BenchmarkRequest(warmup_runs=1, min_runs=3, min_seconds=0.0, max_seconds=1.0)
    script = Script(rows=np.zeros((2, 4), np.float32), failing_row=1)
    session = talk(script, query(pixels(1)), Frame(Kind.BENCHMARK, 2, benchmark_payload(request)))
    assert [frame.kind for frame in session.frames[1:]] == [Kind.ERROR, Kind.MEASUREMENT]


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "0,1,1"},
        {"image": "1,1"},
        {"image": "1,1,1,1"},
        {"image": "99999,99999,99999"},
        {"image": "65536,65536,65536"},
        {"mean": "0,"},
        {"mean": "zero"},
        {"mean": "nan"},
        {"std": "0"},
        {"std": "-1"},
        {"std": "inf"},
        {"policy": "topk:0"},
        {"policy": "topk:01"},
        {"policy": "topk:10000"},
        {"policy": "topk:"},
        {"policy": "topk:2x"},
        {"policy": ""},
        {"policy": "topk:1.5"},
        {"policy": "scores:"},
        {"policy": "round"},
        {"policy": "round:0"},
        {"policy": "round:7"},
        {"policy": "noise:0"},
        {"policy": "noise:nan"},
        {"policy": "noise:1e-3"},
        {"policy": "noise:.1"},
        {"policy": "noise:00.1"},
        {"policy": "noise:0.1234567"},
        {"policy": "noise:1.000001"},
        {"policy": "reverse_sigmoid:1"},
        {"policy": "reverse_sigmoid:1,2,3"},
        {"policy": "reverse_sigmoid:1,99999999999999999999"},
        {"policy": "confident:-1"},
        {"runtime": "executorch"},
        {"model": "."},
        {"model": "/dev/null"},
        {"cpus": ""},
        {"cpus": "0,"},
        {"cpus": "3-1"},
        {"cpus": "1024"},
        {"cpus": "0-"},
    ],
    ids=lambda changes: "-".join(*changes.items()).replace("/", " "),
)
def test_settings_that_cannot_be_are_refused_in_words(talk: Talk, changes: dict[str, str]) -> None:
    session = talk(Script(), **changes)
    assert session.code == 1
    code, words = parse_error(session.frames[0].payload)
    assert code == Fault.MODEL_REFUSED
    assert words


@pytest.mark.parametrize(
    "words",
    [[], ["--policy=label"], ["model"], ["--threads=0"], ["--threads=1x"], ["--threads=99999999999"], ["-cpus=0"]],
    ids=lambda words: " ".join(words) or "nothing",
)
def test_command_lines_that_cannot_be_read_bring_the_usage(talk: Talk, words: list[str]) -> None:
    whole = talk.command(Script())
    command = [*whole, *words] if words and words != ["--policy=label"] else [whole[0], *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage: ")


def test_stdout_stays_clean_without_stderr(talk: Talk) -> None:
    """`dup2(2, 1)` has nothing to copy there."""
    words = ["sh", "-c", 'exec "$@" 2>&-', "sh", *talk.command(Script(rows=np.zeros((1, 4), np.float32)))]
    done = subprocess.run(words, input=encode(query(pixels(0))), stdout=subprocess.PIPE, timeout=10, check=False)
    assert done.returncode == 0
    assert done.stdout.count(b"ECAT") == 2


def test_thousands_of_small_queries_are_answered_while_they_come(talk: Talk) -> None:
    """More answers than any pipe holds, and more queries than are read at once."""
    script = Script(rows=np.zeros((1, 4), np.float32))
    session = talk(script, *(query(pixels(*range(1 + n % 7)), n) for n in range(5_000)))
    assert [frame.sequence for frame in session.frames[1:]] == list(range(5_000))
    assert all(frame.kind == Kind.ANSWER for frame in session.frames[1:])


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system knows no processor affinity")
def test_ranges_and_lists_of_processors_are_read(talk: Talk) -> None:
    mine = sorted(os.sched_getaffinity(0))
    command = talk.command(Script(), cpus=",".join(f"{cpu}-{cpu}" for cpu in mine))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert read_frame(process.stdout.read).kind == Kind.HELLO
    assert sorted(os.sched_getaffinity(process.pid)) == mine
    process.communicate(timeout=10)


# --- profile


def test_a_profile_holds_every_step_of_every_inference_after_the_warm_up(talk: Talk) -> None:
    session = talk(Script(rows=np.zeros((1, 4), np.float32)), query(pixels(0)), profile="3")
    assert parse_hello(session.frames[0].payload).profile == {
        "runs": 3,
        "resolution_ns": 1000,
        "steps": [
            {"name": 'a "quoted\\ name??', "scope": "delegated", "ns": [6, 7, 8]},
            {"name": "", "scope": "delegate", "ns": [12, 14, 16]},
            {"name": "op", "scope": "operator", "ns": [99999999999] * 3},
            {"name": "", "scope": "inference", "ns": [24, 28, 32]},
        ],
    }
    assert session.frames[1].kind == Kind.ANSWER
    assert parse_hello(talk(Script()).frames[0].payload).profile is None


def test_the_longest_profile_fits_into_hello(talk: Talk) -> None:
    profile = parse_hello(talk(Script(), profile="1000").frames[0].payload).profile
    assert profile is not None
    assert [len(step["ns"]) for step in profile["steps"]] == [1000] * 4


def test_steps_that_change_from_inference_to_inference_are_no_profile(talk: Talk) -> None:
    session = talk(Script(rows=np.zeros((1, 4), np.float32), failing_row=0xFFFF), profile="3")
    assert session.code == 1
    assert parse_error(session.frames[0].payload)[0] == Fault.MODEL_REFUSED


@pytest.mark.parametrize("runs", ["0", "1001", "-1", "1.5", "many", ""])
def test_a_count_of_profiled_inferences_that_cannot_be_is_no_command_line(talk: Talk, runs: str) -> None:
    session = talk(Script(), profile=runs)
    assert (session.code, session.frames) == (2, [])
