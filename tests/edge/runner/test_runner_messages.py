"""Payloads to the bit in both directions; a parser gives what was sent or a ProtocolError, whatever the bytes."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edge.runner.messages import (
    MAX_SAMPLES,
    BenchmarkRequest,
    Hello,
    Measurement,
    answer_payload,
    benchmark_payload,
    error_payload,
    hello_payload,
    images_in_frame,
    measurement_payload,
    parse_answer,
    parse_benchmark,
    parse_error,
    parse_hello,
    parse_measurement,
    parse_query,
    query_payload,
)
from edge.runner.wire import MAX_PAYLOAD, Fault
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ProtocolError, UsageError

HELLO = Hello("edgecat-python 1", "LiteRT 2.3.0", "0" * 64, (64, 48, 1), 4, "topk:2", 1, 123)
POLICIES = (
    *("label", "topk:1", "topk:3", "scores"),
    *("round:1", "noise:0.2", "reverse_sigmoid:1,0.2", "confident:0.5", "logits"),
)
TIMES = np.array([1, 0x01020304], np.uint32)


def answers_of(policy: str, logits: NDArray[np.float32]) -> Answers:
    parsed = AnswerPolicy.parse(policy)
    images = np.arange(4 * len(logits), dtype=np.uint8).reshape(-1, 2, 2, 1)
    labels, scores = parsed.apply(logits, images)
    times = np.arange(len(logits), dtype=np.uint32) + np.uint32(0xFFFFFFF0)
    return Answers(parsed, logits.shape[1], labels, scores, times)


def assert_same(one: Answers, other: Answers) -> None:
    assert (one.policy, one.classes) == (other.policy, other.classes)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.device_ns, other.device_ns)
    assert (one.scores is None) == (other.scores is None)
    if one.scores is not None and other.scores is not None:
        assert one.scores.dtype == other.scores.dtype == np.float32
        assert one.scores.tobytes() == other.scores.tobytes()


# --- hello


def test_hello_is_json_with_the_documented_fields() -> None:
    assert json.loads(hello_payload(HELLO)) == {
        "runner": "edgecat-python 1",
        "engine": "LiteRT 2.3.0",
        "model_sha256": "0" * 64,
        "image_shape": [64, 48, 1],
        "classes": 4,
        "policy": "topk:2",
        "threads": 1,
        "load_ns": 123,
    }
    assert parse_hello(hello_payload(HELLO)) == HELLO


def test_hello_may_bring_fields_that_we_do_not_know() -> None:
    document = json.loads(hello_payload(HELLO)) | {"delegate": "xnnpack"}
    assert parse_hello(json.dumps(document).encode()) == HELLO


@pytest.mark.parametrize(
    "garbled", [b"", b"{", b"\xff\xfe\xfd", b"[]", b"null", b"3", b'"runner"', b"{}", b"[" * 100_000]
)
def test_a_hello_that_is_no_hello_is_a_protocol_error(garbled: bytes) -> None:
    with pytest.raises(ProtocolError, match="hello"):
        parse_hello(garbled)


NUMBERS, WORDS = ("classes", "threads", "load_ns"), ("runner", "engine", "model_sha256", "policy")
NEITHER = (None, [], {}, 1.5, True, float("inf"), [1, 2, 3])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in NUMBERS for value in (*NEITHER, "4")),
        *((field, value) for field in WORDS for value in (*NEITHER, 4)),
        *(("image_shape", value) for value in (None, 4, "hwc", [1, 2], [1, 2, 3, 4], [1, 2, "3"], [1, 2, None])),
    ],
)
def test_a_hello_field_of_another_type_is_a_protocol_error(field: str, value: Any) -> None:
    document = json.loads(hello_payload(HELLO)) | {field: value}
    with pytest.raises(ProtocolError, match="hello"):
        parse_hello(json.dumps(document).encode())


# --- query


def test_query_golden_bytes() -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
    golden = bytes.fromhex("02000000 06000000 000102030405 060708090a0b")
    assert query_payload(images) == golden
    np.testing.assert_array_equal(parse_query(golden, (2, 3, 1)), images)


@given(arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3, st.sampled_from([1, 3]))))
def test_queries_come_back(images: NDArray[np.uint8]) -> None:
    height, width, channels = images.shape[1:]
    parsed = parse_query(query_payload(images), (height, width, channels))
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, images)


def test_a_query_of_strided_images_is_sent_in_their_order() -> None:
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)[:, ::-1, ::2]
    np.testing.assert_array_equal(parse_query(query_payload(images), (4, 2, 3)), images)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(7),
        struct.pack("<II", 0, 6),
        struct.pack("<II", 1, 5) + bytes(5),
        struct.pack("<II", 1, 6) + bytes(5),
        struct.pack("<II", 1, 6) + bytes(7),
        struct.pack("<II", 2, 6) + bytes(6),
        struct.pack("<II", 0xFFFFFFFF, 6) + bytes(6),
        struct.pack("<II", 1, 0xFFFFFFFF) + bytes(6),
        struct.pack("<II", 6, 1) + bytes(6),
    ],
)
def test_a_query_whose_counts_do_not_fit_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="query"):
        parse_query(payload, (2, 3, 1))


# --- answer


@pytest.mark.parametrize(
    ("answers", "golden"),
    [
        (
            Answers(AnswerPolicy("label"), 300, np.array([[3], [258]], np.uint16), None, TIMES),
            "02000000 00 00 0100 0504030201000000 01000000 04030201 0300 0201",
        ),
        (
            Answers(
                AnswerPolicy.parse("topk:2"),
                4,
                np.array([[3, 0], [1, 2]], np.uint16),
                np.array([[0.5, 0.25], [1, 0]], np.float32),
                TIMES,
            ),
            "02000000 01 00 0200 0504030201000000 01000000 04030201 0300 0000 0100 0200"
            "0000003f 0000803e 0000803f 00000000",
        ),
        (
            Answers(
                AnswerPolicy("scores"),
                2,
                np.array([[0, 1], [0, 1]], np.uint16),
                np.array([[0.5, 0.5], [0.25, 0.75]], np.float32),
                TIMES,
            ),
            "02000000 02 00 0200 0504030201000000 01000000 04030201 0000003f 0000003f 0000803e 0000403f",
        ),
        *(
            (
                Answers(
                    AnswerPolicy.parse(policy),
                    2,
                    np.array([[0, 1], [0, 1]], np.uint16),
                    np.array([[0.5, 0.5], [0, 0]], np.float32),
                    TIMES,
                ),
                f"02000000 {code} 00 0200 0504030201000000 01000000 04030201 0000003f 0000003f 00000000 00000000",
            )
            for code, policy in (
                *(("03", "round:2"), ("04", "noise:0.5"), ("05", "reverse_sigmoid:1,0.2")),
                *(("06", "confident:0.25"), ("07", "logits")),
            )
        ),
    ],
    ids=["label", "topk", "scores", *("round", "noise", "reverse_sigmoid", "confident", "logits")],
)
def test_answer_golden_bytes(answers: Answers, golden: str) -> None:
    assert answer_payload(answers, 0x0102030405) == bytes.fromhex(golden)
    assert_same(parse_answer(bytes.fromhex(golden), answers.policy, answers.classes), answers)


@given(arrays(np.float32, st.tuples(st.integers(1, 9), st.just(3)), elements=st.floats(-50, 50, width=32)))
def test_answers_come_back_under_every_policy(logits: NDArray[np.float32]) -> None:
    for policy in POLICIES:
        answers = answers_of(policy, logits)
        assert_same(parse_answer(answer_payload(answers, 1), answers.policy, 3), answers)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_that_is_cut_or_too_long_is_a_protocol_error(policy: str) -> None:
    answers = answers_of(policy, np.eye(4, dtype=np.float32))
    whole = answer_payload(answers, 1)
    for wrong in [*(whole[:n] for n in range(len(whole))), whole + b"\0"]:
        with pytest.raises(ProtocolError):
            parse_answer(wrong, answers.policy, 4)


@pytest.mark.parametrize("asked", POLICIES)
@pytest.mark.parametrize("given", POLICIES)
def test_an_answer_under_another_policy_is_a_protocol_error(asked: str, given: str) -> None:
    if asked == given:
        return
    payload = answer_payload(answers_of(given, np.eye(4, dtype=np.float32)), 1)
    with pytest.raises(ProtocolError, match="does not fit policy"):
        parse_answer(payload, AnswerPolicy.parse(asked), 4)


@pytest.mark.parametrize("count", [1, 3, 0xFFFFFFFF])
@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_with_a_wrong_count_is_a_protocol_error(policy: str, count: int) -> None:
    payload = answer_payload(answers_of(policy, np.eye(4, dtype=np.float32)[:2]), 1)
    with pytest.raises(ProtocolError):
        parse_answer(struct.pack("<I", count) + payload[4:], AnswerPolicy.parse(policy), 4)


@pytest.mark.parametrize("policy", ["label", "topk:2"])
def test_an_answer_that_names_a_class_that_is_not_there_is_a_protocol_error(policy: str) -> None:
    payload = answer_payload(answers_of(policy, np.eye(4, dtype=np.float32)), 1)
    with pytest.raises(ProtocolError, match="names class 3 of 3"):
        parse_answer(payload, AnswerPolicy.parse(policy), 3)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.001, 1.001])
@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy not in ("label", "logits")])
def test_scores_that_are_no_probabilities_are_a_protocol_error(policy: str, score: float) -> None:
    payload = answer_payload(answers_of(policy, np.eye(4, dtype=np.float32)), 1)
    with pytest.raises(ProtocolError, match="no probabilities"):
        parse_answer(payload[:-4] + struct.pack("<f", score), AnswerPolicy.parse(policy), 4)


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_a_protocol_error(logit: float) -> None:
    payload = answer_payload(answers_of("logits", 100 * np.eye(4, dtype=np.float32)), 1)
    with pytest.raises(ProtocolError, match="no finite"):
        parse_answer(payload[:-4] + struct.pack("<f", logit), AnswerPolicy("logits"), 4)


def test_logits_travel_as_they_are() -> None:
    logits = np.array([[3e38, -1e-45, 7.25], [-5, 0, 1.5]], np.float32)
    answers = parse_answer(answer_payload(answers_of("logits", logits), 1), AnswerPolicy("logits"), 3)
    assert answers.scores is not None
    assert answers.scores.tobytes() == logits.tobytes()


def test_a_full_query_and_its_answer_both_fit_a_frame() -> None:
    for shape, width in [((1, 1, 1), 1), ((512, 512, 1), 4), ((64, 64, 1), 1000), ((224, 224, 3), 1000)]:
        count = images_in_frame(shape, width)
        assert 8 + count * math.prod(shape) <= MAX_PAYLOAD
        assert 16 + count * (4 + 6 * width) <= MAX_PAYLOAD
    assert images_in_frame((512, 512, 1), 4) == 255
    assert images_in_frame((8192, 8193, 1), 4) == 0


# --- error


def test_error_golden_bytes() -> None:
    golden = bytes.fromhex("0300 6772c3b6c39f6572")
    assert error_payload(Fault.WRONG_SHAPE, "größer") == golden
    assert parse_error(golden) == (3, "größer")


def test_faults_keep_their_numbers() -> None:
    assert {fault.name: fault.value for fault in Fault} == {
        "MALFORMED": 1,
        "UNSUPPORTED": 2,
        "WRONG_SHAPE": 3,
        "MODEL_REFUSED": 4,
        "WRONG_MODEL": 5,
        "INFERENCE_FAILED": 6,
        "OPERATOR_MISSING": 7,
    }


@given(st.binary(max_size=50))
def test_whatever_an_error_frame_holds_it_can_be_told(payload: bytes) -> None:
    code, words = parse_error(payload)
    assert 0 <= code <= 0xFFFF
    assert words.encode() is not None


def test_words_of_an_error_are_cut_and_may_hold_a_name_that_is_no_text() -> None:
    payload = error_payload(Fault.WRONG_MODEL, "\udcff" + "ü" * 5000)
    assert len(payload) <= 2 + 4096
    assert parse_error(payload)[1].startswith("?ü")


# --- benchmark and measurement


def test_benchmark_golden_bytes() -> None:
    golden = bytes.fromhex("14000000 c8000000 000000000000f03f 0000000000003e40")
    assert benchmark_payload(BenchmarkRequest(20, 200, 1.0, 30.0)) == golden
    assert parse_benchmark(golden) == BenchmarkRequest(20, 200, 1.0, 30.0)


counts = st.integers(0, MAX_SAMPLES)
seconds = st.floats(0, 1e6)


@given(st.builds(BenchmarkRequest, counts, counts, seconds, seconds))
def test_benchmark_requests_come_back(request_: BenchmarkRequest) -> None:
    assert parse_benchmark(benchmark_payload(request_)) == request_


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("place", [2, 3])
def test_seconds_that_would_never_end_are_refused_on_both_sides(wrong: float, place: int) -> None:
    values: list[Any] = [1, 1, 1.0, 1.0]
    values[place] = wrong
    with pytest.raises(UsageError, match="cannot be made"):
        BenchmarkRequest(*values)
    with pytest.raises(ProtocolError, match="cannot be made"):
        parse_benchmark(struct.pack("<IIdd", *values))


@pytest.mark.parametrize("wrong", [-1, MAX_SAMPLES + 1])
@pytest.mark.parametrize("place", [0, 1])
def test_counts_that_no_frame_can_hold_are_refused(wrong: int, place: int) -> None:
    values: list[Any] = [1, 1, 1.0, 1.0]
    values[place] = wrong
    with pytest.raises(UsageError, match="cannot be made"):
        BenchmarkRequest(*values)


@pytest.mark.parametrize("size", [0, 23, 25])
def test_a_benchmark_request_of_another_size_is_a_protocol_error(size: int) -> None:
    with pytest.raises(ProtocolError, match="not 24"):
        parse_benchmark(bytes(size))


def test_measurement_golden_bytes() -> None:
    golden = bytes.fromhex(
        "e803000000000000 0010000000000000 d007000000000000 14000000 02000000 0500000000000000 0504030201000000"
    )
    measured = Measurement(1000, 4096, 2000, 20, np.array([5, 0x0102030405], np.uint64))
    assert measurement_payload(measured) == golden
    parsed = parse_measurement(golden)
    assert (parsed.load_ns, parsed.peak_rss_bytes, parsed.first_ns, parsed.warmup_runs) == (1000, 4096, 2000, 20)
    assert parsed.samples_ns.dtype == np.uint64
    assert parsed.samples_ns.tolist() == [5, 0x0102030405]


def test_memory_that_a_device_does_not_tell_stays_unknown() -> None:
    measured = Measurement(1, None, 1, 0, np.array([1], np.uint64))
    assert parse_measurement(measurement_payload(measured)).peak_rss_bytes is None


@pytest.mark.parametrize("count", [0, 1, 3, 0xFFFFFFFF])
def test_a_measurement_with_a_wrong_count_is_a_protocol_error(count: int) -> None:
    with pytest.raises(ProtocolError, match="samples"):
        parse_measurement(struct.pack("<QQQII", 1, 1, 1, 0, count) + bytes(16))


def test_a_measurement_without_a_sample_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="0 samples"):
        parse_measurement(struct.pack("<QQQII", 1, 1, 1, 0, 0))


# --- whatever comes


@given(st.binary(max_size=120))
@settings(max_examples=300)
def test_parsers_let_nothing_out_but_a_protocol_error(payload: bytes) -> None:
    attempts = [
        lambda: parse_hello(payload),
        lambda: parse_query(payload, (2, 3, 1)),
        lambda: parse_benchmark(payload),
        lambda: parse_measurement(payload),
        *(lambda policy=policy: parse_answer(payload, AnswerPolicy.parse(policy), 4) for policy in POLICIES),
    ]
    for attempt in attempts:
        try:
            attempt()
        except ProtocolError:
            continue


@given(st.sampled_from(POLICIES), st.integers(0, 8), st.integers(0, 5), st.integers(0, 0xFFFF), st.binary(max_size=80))
@settings(max_examples=300)
def test_answers_with_a_plausible_head_parse_whole_or_not_at_all(
    policy: str, code: int, count: int, width: int, rest: bytes
) -> None:
    parsed = AnswerPolicy.parse(policy)
    try:
        answers = parse_answer(struct.pack("<IBBHQ", count, code, 0, width, 0) + rest, parsed, 4)
    except ProtocolError:
        return
    assert answers.labels.shape == (count, parsed.width(4))
    assert count == 0 or answers.labels.max() < 4


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4))
def test_any_json_in_any_field_of_a_hello_is_a_hello_or_a_protocol_error(value: Any) -> None:
    document = json.loads(hello_payload(HELLO))
    for field in document:
        try:
            parsed = parse_hello(json.dumps(document | {field: value}).encode())
        except ProtocolError:
            continue
        assert type(getattr(parsed, field)) is type(getattr(HELLO, field))
