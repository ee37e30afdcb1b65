"""What a table of scores is about: the model, the cell of a study, the table it answered.

No field holds an identifier, a file name or a date of an examination.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from realmnet_benchmarks.splits import Split
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS, LabelSet

SCHEMA: Final = 1

PHANTOMS: Final = "synthetic phantoms"
"""`measured_on` of everything that was measured on drawn pictures."""

MODELS_STUDY: Final = "models"
"""Study of the paper's main tables: RealMNet beside other networks, under each protocol."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$", max_length=80)]
Text = Annotated[str, msgspec.Meta(pattern=r"^\S(.*\S)?$", max_length=200)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, msgspec.Meta(ge=0)]
Level = int | float | str

Protocol = Literal["cip", "mrp", "cgp", ""]


class TrainingFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model came to be.

    Attributes:
        images: trained on in one epoch, after resampling.
        epochs: passes over them.
        resampling: `none`, or the method with its ratio, such as `ml-rus 0.2`.
        seed: of the run.
        train_digest: SHA-256 of the training table before resampling, `Split.digest`.
    """

    images: Annotated[int, msgspec.Meta(ge=1)]
    epochs: Count
    resampling: Text
    seed: Count
    train_digest: Digest


class TableFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table that was answered.

    Attributes:
        name: of the table, `test`, or `test_SUSTech` where one source is tested.
        label_set: name of the label set.
        labels: (L,) label names in the order of the columns.
        sources: names of the sources, which `ScoreTable.sources` numbers.
        digest: SHA-256 of the table, `Split.digest`; the order of the rows does not matter to it.
    """

    name: Text
    label_set: Text
    labels: tuple[Text, ...]
    sources: tuple[Text, ...]
    digest: Digest

    def __post_init__(self) -> None:
        for kind, names in (("label", self.labels), ("source", self.sources)):
            if not names or len(set(names)) != len(names):
                raise ConfigurationError(
                    f"table '{self.name}' has {len(names)} {kind} names, "
                    f"{len(set(names))} of them different; each needs one of its own"
                )

    @classmethod
    def of(cls, split: Split) -> TableFacts:
        """Facts of a table in memory; sources in the order of the alphabet."""
        return cls(
            name=split.name,
            label_set=split.label_set.name,
            labels=split.label_set.names,
            sources=tuple(sorted(set(split.sources))),
            digest=split.digest,
        )

    @property
    def known_label_set(self) -> LabelSet | None:
        """The toolkit's label set of that name, or None where it is not the same labels."""
        known = LABEL_SETS.get(self.label_set)
        return known if known is not None and known.names == self.labels else None


class ScoreFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose answers these are.

    Attributes:
        study: `models` for the main tables, or a study such as `drop-path`; any name is allowed.
        variant: the cell of the study, for example `drop-path-0.5`.
        factors: coordinates of the cell, such as `{"drop path": 0.5}`, for grids and curves.
        model: title of the network as people read it, `RealMNet`; compared by it.
        preset: name of the preset it was trained by.
        protocol: `cip`, `mrp`, `cgp`, or empty for none of the paper's.
        run: of the protocol, such as `without-SUSTech`, or any name.
        measured_on: what the pictures are, printed beside every figure: `synthetic phantoms` or
            `PSMM as released`.
        image: side of the network's input, pixels.
        upsampled: whether the pictures were smaller than that, as the released 384 px for 512.
        training: how it came to be.
        operating_point: temperatures and thresholds from development data; None where there are
            none and 0.5 is the only threshold, always so under MRP and CGP.
        parameters: of the network that answered, or None where nobody counted.
        macs: multiply-accumulates for one image, or None.
        software: versions by name.
        schema: of the file.
    """

    study: Name
    variant: Name
    model: Text
    preset: Text
    run: Text
    measured_on: Text
    image: Annotated[int, msgspec.Meta(ge=1)]
    upsampled: bool
    training: TrainingFacts
    operating_point: OperatingPoint | None
    protocol: Protocol = ""
    factors: dict[str, Level] = msgspec.field(default_factory=dict)
    parameters: Count | None = None
    macs: Count | None = None
    software: dict[str, str] = msgspec.field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.protocol in {"mrp", "cgp"} and self.operating_point is not None:
            raise ConfigurationError(
                f"protocol '{self.protocol}' has no development set, so its scores carry no "
                "operating point; leave it out and report at threshold 0.5"
            )

    @property
    def synthetic(self) -> bool:
        """Whether the pictures are phantoms."""
        return self.measured_on == PHANTOMS
