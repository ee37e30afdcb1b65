"""Figures of the paper as data, in the units of its print; what it does not state is absent.

One TOML file for each table. A figure that was not published has no entry, so a reader gets None
and never a made-up number.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final, Literal, TypeVar

import msgspec
import tomllib

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.structs import convert_mapping

__all__ = [
    "Boundary",
    "Complexity",
    "Headline",
    "Misprint",
    "PerLabel",
    "Peripheral",
    "Published",
    "Resampled",
    "read_published",
]

RankedMetric = Literal["f1", "ap", "auroc"]

_T = TypeVar("_T", bound=msgspec.Struct)
_PERCENT: Final = 100.0


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where figures come from and what must be said beside them."""

    source: str
    notes: tuple[str, ...]


class PerLabel(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """F1, AP and AUROC by model, (L,) in percent."""

    unit: Literal["percent"]
    labels: tuple[str, ...]
    f1: dict[str, tuple[float, ...]]
    ap: dict[str, tuple[float, ...]]
    auroc: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        for rows in (self.f1, self.ap, self.auroc):
            for model, row in rows.items():
                if len(row) != len(self.labels):
                    raise ConfigurationError(
                        f"published figures of {model}: {len(row)} for {len(self.labels)} labels"
                    )

    def figure(self, metric: RankedMetric, model: str, label: str) -> float | None:
        """A fraction, or None where none was published."""
        row = self._rows(metric).get(model)
        if row is None or label not in self.labels:
            return None
        # Of two printed decimals four remain; the quotient alone would be 0.9290999999999999.
        return round(row[self.labels.index(label)] / _PERCENT, 4)

    def _rows(self, metric: RankedMetric) -> dict[str, tuple[float, ...]]:
        return {"f1": self.f1, "ap": self.ap, "auroc": self.auroc}[metric]


class Headline(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures of the text by model and metric, fractions; coverage in labels."""

    models: dict[str, dict[str, float]]


class NetworkSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of Table 4; `table_name` is the model's name in the tables per label."""

    table_name: str
    parameters_m: float
    gmacs: float
    image: int


class Complexity(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Table 4 by model."""

    models: dict[str, NetworkSize]

    def table_name(self, model: str) -> str:
        """The name that the tables per label give a model: `DeiT` for `DeiT-B`."""
        size = self.models.get(model)
        return model if size is None else size.table_name

    def size_of(self, model: str) -> NetworkSize | None:
        """The row of a model by either of its names, or None."""
        by_table_name = {size.table_name: size for size in self.models.values()}
        return self.models.get(model) or by_table_name.get(model)


class Resampled(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Images after ML-RUS, by protocol and run."""

    images: dict[str, dict[str, int]]


class Boundary(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Segmentation of the device boundary: two figures each, fractions, in printed order."""

    accuracy: tuple[float, float]
    mean_iou: tuple[float, float]


class Peripheral(_Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Transfer to the peripheral labels; a fraction."""

    auroc_macro: float


class Misprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the print is wrong."""

    of: str
    fault: str


class _Misprints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    misprints: tuple[Misprint, ...]


class Published(msgspec.Struct, frozen=True):
    """Every published figure there is."""

    per_label: PerLabel
    headline: Headline
    complexity: Complexity
    resampled: Resampled
    boundary: Boundary
    peripheral: Peripheral
    misprints: tuple[Misprint, ...]


@functools.cache
def read_published() -> Published:
    """Read the packaged figures."""
    return Published(
        per_label=_read("per_label", PerLabel),
        headline=_read("headline", Headline),
        complexity=_read("complexity", Complexity),
        resampled=_read("resampled", Resampled),
        boundary=_read("boundary", Boundary),
        peripheral=_read("peripheral", Peripheral),
        misprints=_read("misprints", _Misprints).misprints,
    )


def _read(name: str, kind: type[_T]) -> _T:
    text = (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    return convert_mapping(tomllib.loads(text), kind, f"published/{name}.toml")
