"""Files of soft labels: what is kept, what comes back, and what is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_compression.distillation.places import PictureFacts
from realmnet_compression.distillation.soft_labels import (
    Float32Array,
    Int64Array,
    SoftLabelFacts,
    load_soft_labels,
    save_soft_labels,
)
from realmnet_compression.distillation.teacher import TeacherFacts
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_training.checkpoint import SplitFacts
from realmnet_training.config import Preset, load_preset

ROWS = 12
HALF = 2.0**-11
"""Relative error of rounding to float16."""


@pytest.fixture(scope="module")
def facts() -> SoftLabelFacts:
    pictures = PictureFacts.of(load_preset("smoke"))
    return SoftLabelFacts(
        teacher=TeacherFacts("ab" * 32, "RealMNet 21m", 384, True),
        label_set="psmm",
        labels=7,
        kept=7,
        temperature=2.0,
        from_stage=1,
        pictures=pictures,
        pictures_digest=pictures.digest,
        table=SplitFacts("train", "cd" * 32, 20, 5, (1,) * 7, {"PhantomA": 20}),
    )


def content(seed: int) -> tuple[Float32Array, Int64Array, Int64Array]:
    """Logits, places in any order and checksums of 12 pictures in two epochs."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(40)[:ROWS]
    places = np.stack([chosen // 20, chosen % 20], axis=1)
    checks = random.integers(0, 2**32, ROWS)
    return random.normal(0, 4, (ROWS, 7)).astype(np.float32), places, checks


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_the_answers_of_which_the_teacher_is_surest_come_back(
    facts: SoftLabelFacts, seed: int, kept: int
) -> None:
    logits, places, checks = content(seed)
    wanted = msgspec.structs.replace(facts, kept=kept)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "soft.safetensors"
        save_soft_labels(path, wanted, logits, places, checks)
        stored = load_soft_labels(path)
    assert stored.facts == wanted
    assert len(stored) == ROWS
    order = np.random.default_rng(seed + 1).permutation(ROWS)[:5]
    found = stored.answers(places[order], checks[order])
    for row, answer in zip(order, found, strict=True):
        surest = sorted(range(7), key=lambda label: -abs(logits[row, label]))[:kept]
        assert set(np.flatnonzero(~np.isnan(answer))) == set(surest)
        np.testing.assert_allclose(answer[surest], logits[row][surest], rtol=HALF)


def test_a_picture_that_was_not_answered_or_changed_since_is_refused(
    facts: SoftLabelFacts, tmp_path: Path
) -> None:
    logits, places, checks = content(5)
    path = tmp_path / "soft.safetensors"
    save_soft_labels(path, facts, logits, places, checks)
    stored = load_soft_labels(path)
    changed = checks.copy()
    changed[3] += 1
    with pytest.raises(ConfigurationError, match="1 of 12 pictures of a batch are not those"):
        stored.answers(places, changed)
    with pytest.raises(ConfigurationError, match="12 of 12 pictures"):
        stored.answers(places + np.array([2, 0]), checks)


def test_other_files_are_refused(facts: SoftLabelFacts, tmp_path: Path) -> None:
    path = tmp_path / "soft.safetensors"
    with pytest.raises(MissingPath, match="make them with `realmnet distil --store`"):
        load_soft_labels(path)
    save_soft_labels(path, facts, *content(6))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        load_soft_labels(path)
    path.write_bytes(safetensors.numpy.save({"logit": np.zeros(3, np.float16)}))
    with pytest.raises(ConfigurationError, match="holds no soft labels"):
        load_soft_labels(path)
    with pytest.raises(ConfigurationError, match="8 answers to keep of 7 labels"):
        msgspec.structs.replace(facts, kept=8)


def test_a_network_does_not_change_the_pictures_and_augmentation_does() -> None:
    def pictures(*changes: str) -> PictureFacts:
        preset: Preset = load_preset("student_5m", changes)
        return PictureFacts.of(preset)

    assert pictures() == PictureFacts.of(load_preset("student_11m"))
    assert pictures("fit.stages.0.lr=2e-3", "model.drop_path=0.3") == pictures()
    changed = pictures("fit.seed=7", "augment.blur=0.5", "fit.stages.2.steps=61")
    assert changed.differences(pictures()) == ["seed", "stages", "augment"]
    assert changed.digest != pictures().digest
