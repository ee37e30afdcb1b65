"""The receipt of a self-test: what was tested, under which conditions, and what came of it.

It vouches for the conditions it names and for no others: after any change of machine, driver,
library, engine, threads or compiled form the self-test has to be run again. The time in it is for
people; nothing is ever decided by a clock.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Final

import msgspec

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.errors import (
    ConfigurationError,
    GateFailed,
    IncompatibleError,
    IntegrityError,
    MissingPath,
)
from realmnet_runtime.files import write_atomically
from realmnet_runtime.proof.conditions import Conditions
from realmnet_runtime.proof.selftest import STAGES, SelfTestReport, run_selftest
from realmnet_runtime.structs import decode_json

SCHEMA_VERSION: Final = 1
LARGEST_RECEIPT_BYTES: Final = 1 << 20


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a self-test found.

    Attributes:
        schema_version: of this form.
        model: name and version.
        conditions: under which it was tested.
        cases: number of golden cases run.
        largest: largest deviation by stage; only stages that were reached.
        failures: one line for everything that did not hold.
        decisions_unchanged: every case was answered and no label decided otherwise.
        passed: nothing failed.
        time: UTC, for people.
    """

    schema_version: int
    model: str
    conditions: Conditions
    cases: Annotated[int, msgspec.Meta(ge=1)]
    largest: dict[str, Annotated[float, msgspec.Meta(ge=0.0)]]
    failures: tuple[str, ...]
    decisions_unchanged: bool
    passed: bool
    time: Annotated[datetime, msgspec.Meta(tz=True)]

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"receipt has schema {self.schema_version}; this runtime reads {SCHEMA_VERSION}"
            )
        if unknown := sorted(set(self.largest) - set(STAGES)):
            raise ConfigurationError(
                f"receipt has stage '{unknown[0]}'; the stages are {', '.join(STAGES)}"
            )
        if self.passed and (self.failures or not self.decisions_unchanged):
            raise ConfigurationError("receipt says both that the test passed and what failed")
        if self.decisions_unchanged and self.largest.get("decisions") != 0:
            raise ConfigurationError("receipt says decisions are unchanged and counts others")

    def changes(self, now: Conditions) -> tuple[str, ...]:
        """What is otherwise now than when it was tested; empty where nothing is."""
        return self.conditions.changes(now)

    def still_holds(self, now: Conditions) -> bool:
        """Whether the test passed and nothing has changed since."""
        return self.passed and not self.changes(now)

    def require_passed(self, cure: str) -> None:
        """Return where the test passed.

        Args:
            cure: what a person can do otherwise.

        Raises:
            GateFailed: naming every failure.
        """
        if not self.passed:
            raise GateFailed(
                f"self-test of {self.model}, {self.conditions.variant}, failed on this machine: "
                f"{'; '.join(self.failures)}; {cure}"
            )

    def require_holds(self, now: Conditions, cure: str) -> None:
        """Return where the test passed and nothing has changed since.

        Args:
            now: of this machine.
            cure: what a person can do otherwise.

        Raises:
            GateFailed: it failed.
            IncompatibleError: something changed; every change is named.
        """
        self.require_passed(cure)
        self.require_same(self.changes(now), cure)

    def require_same(self, changes: tuple[str, ...], cure: str) -> None:
        """Return where there are no changes; IncompatibleError, naming them, where there are."""
        if changes:
            raise IncompatibleError(
                f"the self-test of {self.model} no longer holds: {'; '.join(changes)}; {cure}"
            )


def prove(predictor: Predictor) -> Receipt:
    """Run the self-test of an open predictor and say what came of it.

    Raises:
        GateFailed: the bundle has no golden cases.
    """
    return receipt_of(predictor, run_selftest(predictor))


def receipt_of(predictor: Predictor, report: SelfTestReport) -> Receipt:
    """The receipt of a report that this predictor gave."""
    model = predictor.manifest.model
    return Receipt(
        schema_version=SCHEMA_VERSION,
        model=f"{model.name} {model.version}",
        conditions=Conditions.of(predictor),
        cases=report.cases,
        largest=report.largest,
        failures=report.failures,
        decisions_unchanged=not report.refusals and report.largest.get("decisions") == 0,
        passed=not report.failures,
        time=_now(),
    )


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt as indented JSON, whole or not at all.

    Raises:
        OutputError: it could not be written; what was there before is untouched.
    """
    write_atomically(path, msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n")


def read_receipt(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        MissingPath: there is none.
        IntegrityError: it is damaged, or of another form.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_RECEIPT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingPath(
            f"no receipt '{path}'; `realmnet selftest --receipt` makes one"
        ) from error
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    if len(raw) > LARGEST_RECEIPT_BYTES:
        raise _damaged(path, "it is too long")
    try:
        return decode_json(raw, Receipt, "its content")
    except ConfigurationError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, fault: str) -> IntegrityError:
    return IntegrityError(f"receipt '{path}' cannot be used ({fault}); run the self-test again")


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)
