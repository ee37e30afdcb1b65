"""Which variants are dropped: by hand, and by the laws of a preorder."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_benchmarks.dominance import Candidate, Steps, dominated, stands_in
from realmnet_runtime.errors import UsageError

INT8 = Candidate("int8", "openvino", ("avx512_vnni", "avx_vnni"), 25, 0.5, 0.90)
FP32 = Candidate("fp32", "openvino", (), 90, 1.0, 0.90)

candidates_strategy = st.lists(
    st.builds(
        Candidate,
        name=st.just(""),
        engine=st.sampled_from(["a", "b"]),
        cpu_requires=st.sampled_from([(), ("x",), ("x", "y")]),
        bytes=st.integers(1, 4),
        latency=st.floats(0.1, 2.0),
        accuracy=st.floats(0.8, 0.81),
    ),
    max_size=8,
).map(lambda found: [msgspec.structs.replace(c, name=str(n)) for n, c in enumerate(found)])


def test_the_fallback_for_older_cpus_stays() -> None:
    assert dominated([INT8, FP32]) == []


def test_a_variant_that_is_worse_in_everything_goes_and_says_by_whom() -> None:
    slower = msgspec.structs.replace(INT8, name="plain", latency=0.7, accuracy=0.89)

    (found,) = dominated([slower, INT8, FP32])

    assert (found.variant, found.by) == ("plain", "int8")
    assert found.reason == (
        "plain is dropped: int8 runs wherever it runs and is not larger (25 against 25 bytes), "
        "not slower (latency 0.71 of its own) and not less accurate (0.9000 against 0.8900)"
    )


@pytest.mark.parametrize("change", [{"bytes": 24}, {"latency": 0.4}, {"accuracy": 0.91}])
def test_whoever_is_better_in_one_thing_stays(change: dict[str, float]) -> None:
    other = msgspec.structs.replace(INT8, name="other", **change)

    assert "other" not in {found.variant for found in dominated([INT8, other])}


def test_another_engine_is_another_machine() -> None:
    other = msgspec.structs.replace(INT8, name="ort", engine="onnxruntime", latency=0.9)

    assert dominated([other, INT8]) == []


def test_noise_does_not_keep_a_variant_and_the_first_of_equals_stays() -> None:
    twin = msgspec.structs.replace(INT8, name="twin", latency=0.5001, accuracy=0.9001)

    assert [d.variant for d in dominated([INT8, twin])] == ["twin"]
    assert [d.variant for d in dominated([twin, INT8])] == ["int8"]


@given(candidates_strategy)
def test_everything_dropped_has_a_kept_dominator_and_nothing_more_can_go(
    candidates: list[Candidate],
) -> None:
    steps = Steps(latency=0.2, accuracy=0.002)
    dropped = {found.variant: found.by for found in dominated(candidates, steps)}
    by_name = {candidate.name: candidate for candidate in candidates}
    kept = [candidate for candidate in candidates if candidate.name not in dropped]

    assert dominated(kept, steps) == []
    for variant, by in dropped.items():
        assert by not in dropped
        assert stands_in(by_name[by], by_name[variant])
        # within a step of the noise
        assert by_name[by].latency <= by_name[variant].latency / 0.8 * (1 + 1e-9)
        assert by_name[by].accuracy >= by_name[variant].accuracy - 0.002 * (1 + 1e-6)
        assert by_name[by].bytes <= by_name[variant].bytes


def test_impossible_candidates_are_refused() -> None:
    with pytest.raises(UsageError, match="name of its own"):
        dominated([INT8, INT8])
    with pytest.raises(UsageError, match="measure it again"):
        msgspec.structs.replace(INT8, latency=0.0)
