"""Which images are trained on, developed on and tested."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from realmnet_benchmarks.sheets import mask_fault
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS, LabelSet
from realmnet_runtime.suggestions import nearest
from realmnet_training.data.protocols import PROTOCOLS, ProtocolRun, with_sources
from realmnet_training.data.resampled import ResamplingConfig


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which images of the data set are used for what.

    Attributes:
        train, development: tables by name, where no protocol is named.
        protocol: `cip`, `mrp` or `cgp`; its own choice of sources and parts.
        run: of the protocol, by name; not needed where it has one.
        sources: PSMM's source to the one of this data set in its place, for protocols by source.
        share: of the training images, chosen at random from all of them; a smaller share is part
            of a larger one.
        resampling: of the training images, after `share`.
        label_set: meaning of the label columns.
        unknown_labels: `mask` trains and measures on the known labels of rows of which some are
            not; for labels that may co-occur.
    """

    train: str = "train"
    development: str = "val"
    protocol: str | None = None
    run: str | None = None
    sources: dict[str, str] = {}
    share: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    resampling: ResamplingConfig | None = None
    label_set: str = "psmm"
    unknown_labels: Literal["refuse", "mask"] = "refuse"

    def __post_init__(self) -> None:
        if self.label_set not in LABEL_SETS:
            raise ConfigurationError(
                f"data.label_set = '{self.label_set}'; there are {', '.join(LABEL_SETS)}"
                f"{nearest(self.label_set, LABEL_SETS)}"
            )
        if self.unknown_labels == "mask" and (refusal := mask_fault(self.labels)):
            raise ConfigurationError(f"data.{refusal}")
        if self.protocol is None:
            if self.run is not None or self.sources:
                raise ConfigurationError(
                    "data.run and data.sources belong to a protocol; name it in data.protocol"
                )
            return
        if (self.train, self.development) != ("train", "val"):
            raise ConfigurationError(
                f"data.protocol '{self.protocol}' chooses the tables; leave data.train and "
                "data.development out"
            )
        if self.protocol not in PROTOCOLS:
            raise ConfigurationError(
                f"data.protocol = '{self.protocol}'; there are {', '.join(PROTOCOLS)}"
                f"{nearest(self.protocol, PROTOCOLS)}"
            )
        self.protocol_run()

    @property
    def labels(self) -> LabelSet:
        """The label set itself."""
        return LABEL_SETS[self.label_set]

    def protocol_run(self) -> ProtocolRun | None:
        """The run of the protocol, with this data set's sources; None without a protocol.

        Raises:
            ConfigurationError: no run of that name, or several and none named.
        """
        if self.protocol is None:
            return None
        protocol = PROTOCOLS[self.protocol]
        if self.sources:
            protocol = with_sources(protocol, self.sources)
        runs = {run.name: run for run in protocol.runs}
        if self.run is None and len(runs) == 1:
            return protocol.runs[0]
        if self.run not in runs:
            raise ConfigurationError(
                f"data.run = '{self.run}'; protocol '{self.protocol}' has {', '.join(runs)}"
                f"{nearest(self.run or '', runs)}"
            )
        return runs[self.run]
