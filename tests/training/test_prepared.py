"""Prepared tables: the device's own pre-processing, once; bad images counted, names unsaid."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import MissingPath
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, preprocess
from realmnet_training.config import AugmentConfig, BatchMixConfig
from realmnet_training.pictures.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

SPEC = PreprocessSpec(size=64)


@pytest.fixture(scope="module")
def prepared(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedSplit:
    cache = tmp_path_factory.mktemp("cache")
    return prepare_split(read_psmm(phantom_data)["train"], SPEC, cache, workers=2)


def test_an_example_without_augmentation_is_what_the_device_sees(prepared: PreparedSplit) -> None:
    dataset = EyeDataset(prepared, SPEC, image=64)
    for index in range(len(dataset)):
        image, targets, _ = dataset[0, index]
        path = prepared.split.paths[index]
        device = preprocess(read_image(path, model_size=SPEC.decode_size), SPEC)
        np.testing.assert_array_equal(image.numpy(), device)
        np.testing.assert_array_equal(targets.numpy(), prepared.split.labels[index])


def test_a_second_call_maps_the_first_ones_file(phantom_data: Path, tmp_path: Path) -> None:
    split = read_psmm(phantom_data)["val"]
    first = prepare_split(split, SPEC, tmp_path, workers=1)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = prepare_split(split, SPEC, tmp_path, workers=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    np.testing.assert_array_equal(first.pictures, second.pictures)
    prepare_split(split, PreprocessSpec(size=48), tmp_path, workers=1)
    assert len(list(tmp_path.iterdir())) == 2 * len(files)


def test_bad_images_are_counted_and_left_out_without_their_names(
    phantom_data: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "data"
    shutil.copytree(phantom_data, copied)
    whole = read_psmm(copied)["train"]
    whole.paths[3].write_bytes(whole.paths[3].read_bytes()[:900])
    whole.paths[5].write_bytes(b"this is no picture")
    answer = prepare_split(read_psmm(copied)["train"], SPEC, tmp_path / "cache", workers=1)
    assert len(answer.split) == len(whole) - 2
    assert [reason.split(":")[0] for reason in answer.refused] == ["line 5", "line 7"]
    for reason in answer.refused:
        assert whole.files[3] not in reason
        assert whole.files[5] not in reason
    kept = [row for row in range(len(whole)) if row not in {3, 5}]
    np.testing.assert_array_equal(answer.split.labels, whole.labels[kept])
    last = preprocess(read_image(whole.paths[-1], model_size=128), SPEC)
    image, _, _ = EyeDataset(answer, SPEC, image=64)[0, len(answer.split) - 1]
    np.testing.assert_array_equal(image.numpy(), last)


def test_a_table_without_one_good_image_is_refused(phantom_data: Path, tmp_path: Path) -> None:
    copied = tmp_path / "data"
    shutil.copytree(phantom_data, copied)
    split = read_psmm(copied)["val"]
    for path in split.paths:
        path.write_bytes(b"this is no picture")
    with pytest.raises(MissingPath, match="none of the 16 images"):
        prepare_split(read_psmm(copied)["val"], SPEC, tmp_path / "cache", workers=1)
    split.paths[0].unlink()
    with pytest.raises(MissingPath, match="is gone"):
        prepare_split(split, SPEC, tmp_path / "cache", workers=1)


def test_smaller_stages_see_the_same_picture_averaged(prepared: PreparedSplit) -> None:
    small, _, _ = EyeDataset(prepared, SPEC, image=32)[0, 0]
    full = prepared.pictures[0].astype(np.float32).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    # INTER_AREA at half size is the mean of four, rounded
    assert np.abs(small.numpy() * 255 - full.transpose(2, 0, 1)).max() <= 0.51


def test_order_and_augmentation_follow_from_seed_and_epoch(prepared: PreparedSplit) -> None:
    def epoch(number: int, first: int, seed: int) -> list[torch.Tensor]:
        dataset = EyeDataset(prepared, SPEC, 64, AugmentConfig(), seed)
        sampler = EpochSampler(len(dataset), seed, first)
        sampler.set_epoch(number)
        loader = DataLoader(
            dataset,
            batch_size=4,
            sampler=sampler,
            collate_fn=BatchMixer(BatchMixConfig(mixup=0.5, cutmix=0.5), seed),
        )
        return [images for images, _ in loader]

    # epoch 1 of a stage that begins at epoch 2 is epoch 3 of the run
    for left, right in zip(epoch(1, 2, 7), epoch(3, 0, 7), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert not torch.equal(epoch(1, 2, 7)[0], epoch(2, 2, 7)[0])
    assert not torch.equal(epoch(1, 2, 7)[0], epoch(1, 2, 8)[0])


def test_every_image_is_drawn_once_an_epoch() -> None:
    sampler = EpochSampler(50, seed=1)
    first = [index for _, index in sampler]
    sampler.set_epoch(1)
    second = [index for _, index in sampler]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert [index for _, index in EpochSampler(5, seed=None)] == [0, 1, 2, 3, 4]
