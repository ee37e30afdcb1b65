"""The paper's three protocols as data: which sources train, develop and test.

* CIP, cross-instance: the partition by patient, all sources in each part.
* MRP, multi-source robustness: all images of one source train, each other source is a test set.
* CGP, cross-source generalisation: all sources but one train, the one left out is the test set.

MRP and CGP have no development set. Nothing may be tuned in them: their results are those at a
threshold of 0.5 and of the last epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from realmnet_benchmarks.records import Records
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest
from realmnet_training.data.pooling import pool

PARTS: Final = ("train", "val", "test")


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of a data set: those of some sources in some of the three parts.

    Attributes:
        sources: names; None takes every source there is.
        parts: of `PARTS`, pooled in this order.
    """

    sources: tuple[str, ...] | None = None
    parts: tuple[str, ...] = PARTS

    def __post_init__(self) -> None:
        if self.sources == () or not self.parts:
            raise ConfigurationError("a choice of rows needs at least one source and one part")
        for part in self.parts:
            if part not in PARTS:
                raise ConfigurationError(
                    f"no part '{part}' in a protocol; there are {', '.join(PARTS)}"
                    f"{nearest(part, PARTS)}"
                )


class ProtocolRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training and what it is tested on.

    Attributes:
        name: of the run, unique in its protocol.
        train: what it trains on.
        tests: name to what is tested.
        development: what thresholds and temperatures may be fitted on; None where there is no
            such set and only the threshold 0.5 is reported.
    """

    name: str
    train: Choice
    tests: dict[str, Choice]
    development: Choice | None = None

    def __post_init__(self) -> None:
        if not self.tests:
            raise ConfigurationError(f"run '{self.name}' has no test set; a protocol needs one")

    @property
    def fixed_threshold(self) -> float | None:
        """0.5 where there is no development set, else None: thresholds are then fitted."""
        return 0.5 if self.development is None else None


class Protocol(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The runs of one protocol."""

    name: str
    title: str
    runs: tuple[ProtocolRun, ...]


PROTOCOLS: Final[dict[str, Protocol]] = {
    "cip": Protocol(
        "cip",
        "cross-instance",
        (
            ProtocolRun(
                "all-sources",
                train=Choice(parts=("train",)),
                development=Choice(parts=("val",)),
                tests={"test": Choice(parts=("test",))},
            ),
        ),
    ),
    "mrp": Protocol(
        "mrp",
        "multi-source robustness",
        (
            ProtocolRun(
                "from-ShenzhenEye",
                train=Choice(("ShenzhenEye",)),
                tests={
                    "SUSTech": Choice(("SUSTech",)),
                    "LishuiR": Choice(("LishuiR",)),
                    "Zhongshan": Choice(("Zhongshan",)),
                    "LishuiZ": Choice(("LishuiZ",)),
                },
            ),
        ),
    ),
    "cgp": Protocol(
        "cgp",
        "cross-source generalisation",
        (
            ProtocolRun(
                "without-SUSTech",
                train=Choice(("ShenzhenEye", "LishuiR", "Zhongshan", "LishuiZ")),
                tests={"SUSTech": Choice(("SUSTech",))},
            ),
            ProtocolRun(
                "without-LishuiR",
                train=Choice(("ShenzhenEye", "SUSTech", "Zhongshan", "LishuiZ")),
                tests={"LishuiR": Choice(("LishuiR",))},
            ),
            ProtocolRun(
                "without-Zhongshan",
                train=Choice(("ShenzhenEye", "SUSTech", "LishuiR", "LishuiZ")),
                tests={"Zhongshan": Choice(("Zhongshan",))},
            ),
            ProtocolRun(
                "without-LishuiZ",
                train=Choice(("ShenzhenEye", "SUSTech", "LishuiR", "Zhongshan")),
                tests={"LishuiZ": Choice(("LishuiZ",))},
            ),
        ),
    ),
}


@dataclass(frozen=True)
class RunTables:
    """The tables of one run; no patient of a test set is in the others.

    Attributes:
        train: named `train`, not resampled.
        development: named `val`, or None where the run has none.
        tests: by the run's own names; the tables are named `test`, or `test_` and that name.
    """

    train: Split
    development: Split | None
    tests: Mapping[str, Split]

    def __post_init__(self) -> None:
        for unseen in filter(None, (self.development, *self.tests.values())):
            _refuse_shared_patients(self.train, unseen)
            if self.development is not None and unseen is not self.development:
                _refuse_shared_patients(self.development, unseen)


def tables_of(run: ProtocolRun, records: Records) -> RunTables:
    """The tables that a run takes from a data set.

    Args:
        run: of one of `PROTOCOLS`, or of `with_sources`.
        records: a data set with the parts the run names; resampled tables are not looked at.

    Raises:
        ConfigurationError: a part or a source that the data set has not, a choice without any
            image, or a patient of a test set who is also trained on.
    """
    development = run.development
    return RunTables(
        train=_chosen("train", run.train, records),
        development=None if development is None else _chosen("val", development, records),
        tests={
            name: _chosen("test" if name == "test" else f"test_{name}", choice, records)
            for name, choice in run.tests.items()
        },
    )


def with_sources(protocol: Protocol, names: Mapping[str, str]) -> Protocol:
    """The same protocol with other sources in the places of PSMM's.

    Args:
        protocol: of `PROTOCOLS`.
        names: PSMM's source to the one in its place; a source without one is left out.
            `{"ShenzhenEye": "PhantomA", "SUSTech": "PhantomB"}` trains on the one and tests on
            the other.

    Raises:
        ConfigurationError: a source the protocol does not name, one that is given two places, or a
            protocol that would have nothing left to train on or to test.
    """
    known = sorted(_sources_of(protocol))
    for source in names:
        if source not in known:
            raise ConfigurationError(
                f"protocol '{protocol.name}' names no source '{source}'; it names "
                f"{', '.join(known) or 'none'}{nearest(source, known)}"
            )
    if len(set(names.values())) != len(names):
        raise ConfigurationError("one source is given two places; a source trains or tests")
    runs = [_renamed(run, names) for run in protocol.runs]
    kept = tuple(run for run in runs if run is not None)
    if not kept:
        raise ConfigurationError(
            f"no run of protocol '{protocol.name}' keeps a source to train on and one to test; "
            f"give sources for more of {', '.join(known)}"
        )
    return msgspec.structs.replace(protocol, runs=kept)


def _sources_of(protocol: Protocol) -> set[str]:
    choices = chain.from_iterable((run.train, *run.tests.values()) for run in protocol.runs)
    return {source for choice in choices for source in choice.sources or ()}


def _renamed(run: ProtocolRun, names: Mapping[str, str]) -> ProtocolRun | None:
    train = _renamed_choice(run.train, names)
    tests = {
        names.get(name, name): choice
        for name, old in run.tests.items()
        if (choice := _renamed_choice(old, names)) is not None
    }
    if train is None or not tests:
        return None
    verb, dash, source = run.name.partition("-")
    return msgspec.structs.replace(
        run, name=f"{verb}{dash}{names.get(source, source)}", train=train, tests=tests
    )


def _renamed_choice(choice: Choice, names: Mapping[str, str]) -> Choice | None:
    if choice.sources is None:
        return choice
    sources = tuple(names[source] for source in choice.sources if source in names)
    return msgspec.structs.replace(choice, sources=sources) if sources else None


def _chosen(name: str, choice: Choice, records: Records) -> Split:
    pooled = pool(name, [records[part] for part in choice.parts])
    if choice.sources is None:
        return pooled
    sources = np.asarray(pooled.sources)
    for source in choice.sources:
        if source not in pooled.sources:
            there = sorted(set(pooled.sources))
            raise ConfigurationError(
                f"no image of source '{source}' in {' and '.join(choice.parts)}; there are images "
                f"of {', '.join(there)}{nearest(source, there)}"
            )
    return pooled.select(np.flatnonzero(np.isin(sources, choice.sources)))


def _refuse_shared_patients(one: Split, other: Split) -> None:
    shared = set(one.patients) & set(other.patients)
    if shared:
        raise ConfigurationError(
            f"{len(shared)} patients are in both '{one.name}' and '{other.name}'; keep all "
            "pictures of a patient in one of them"
        )
