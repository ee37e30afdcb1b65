"""Shares of an epoch: all processes together see what one process sees, each image once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.pictures.batches import EvaluationBatches, TrainingBatches, in_order
from realmnet_training.pictures.dataset import EpochSampler

COUNTS = st.integers(1, 200)
FEW = st.integers(1, 4)


@given(st.integers(1, 6), FEW, FEW, st.integers(0, 3))
def test_processes_see_what_one_sees_that_accumulates(
    batch: int, processes: int, steps: int, rest: int
) -> None:
    sampler = EpochSampler(batch * processes * steps + min(rest, batch * processes - 1), seed=3)
    sampler.set_epoch(2)
    alone = list(TrainingBatches(sampler, batch, accumulate=processes))
    shares = [
        list(TrainingBatches(sampler, batch, share=(rank, processes))) for rank in range(processes)
    ]

    assert [len(share) for share in shares] == [steps] * processes
    assert [b for step in zip(*shares, strict=True) for b in step] == alone
    places = [place for taken in alone for place in taken]
    assert len(set(places)) == len(places) == batch * processes * steps
    assert {epoch for epoch, _ in places} == {2}


@given(st.integers(1, 5), st.integers(0, 5))
def test_a_resumed_epoch_goes_on_where_it_was_and_the_next_is_whole(steps: int, done: int) -> None:
    sampler = EpochSampler(4 * steps, seed=1)
    done = min(done, steps)
    whole, resumed = TrainingBatches(sampler, 4), TrainingBatches(sampler, 4, first=done)

    assert list(resumed) == list(whole)[done:]
    sampler.set_epoch(1)
    assert list(resumed) == list(whole)
    assert len(resumed) == steps


@given(st.integers(1, 5), st.integers(1, 9), FEW)
def test_an_epoch_of_so_many_steps_is_the_start_of_a_whole_one(
    whole: int, steps: int, accumulate: int
) -> None:
    sampler = EpochSampler(whole * accumulate * 2, seed=5)
    limited = list(TrainingBatches(sampler, 2, accumulate, steps=steps))

    assert limited == list(TrainingBatches(sampler, 2, accumulate))[: steps * accumulate]


@given(COUNTS, st.integers(1, 7), FEW)
def test_evaluation_sees_every_image_once_in_the_tables_order(
    count: int, batch: int, processes: int
) -> None:
    dealt = [EvaluationBatches(count, batch, (rank, processes)) for rank in range(processes)]
    shares = [list(share) for share in dealt]

    assert len({len(share) for share in shares}) == 1
    assert [len(share) for share in dealt] == [len(share) for share in shares]
    gathered = in_order(shares, -(-count // batch))
    assert [index for places in gathered for _, index in places] == list(range(count))


def test_too_few_images_for_one_step_are_refused_with_the_sizes() -> None:
    with pytest.raises(ConfigurationError, match=r"7 training images .* 2 images x 2 batches x 2"):
        TrainingBatches(EpochSampler(7, seed=0), 2, accumulate=2, share=(1, 2))
