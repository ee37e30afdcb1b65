"""What one synthetic picture is: everything the renderer may use, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from realmnet_benchmarks.phantoms.hospitals import Hospital
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PSMM

Eye = Literal["OD", "OS"]
BorderKind = Literal["black", "device"]

SIGNS: Final = PSMM.names
STAPHYLOMA_SIGNS, GRADE_SIGNS = PSMM.exclusive_groups
PERIPHERAL_SIGNS: Final = ("LDoCRT", "HoT", "RRD", "PC")
CONFUSERS: Final = (
    "arc_shadow",
    "drusen",
    "bright_pole",
    "macular_pigment",
    "floater",
    "nevus",
    "reflex",
    "pale_halo",
)
MINIMUM_SEVERITY: Final = 0.05


@dataclass(frozen=True, slots=True)
class PhantomCase:
    """One picture of one synthetic eye. Equal cases render to equal pictures.

    Attributes:
        patient: number used in file names, 0..9,999,999.
        seed: 0..2**63-1; the anatomy of both eyes follows from it.
        eye: "OD" or "OS"; the two are mirrored relatives.
        image: 0-based number of the picture of this eye.
        hospital: where the picture was taken, which decides how it looks.
        border: "black" (aperture in a black surround) or "device" (lids, lashes, glare, rim).
        labels: names in PSMM order, exactly one of NoPS/PS and one of NoMRL/TFO/DCA/PCA/MA.
        severity: seven numbers in PSMM order, 0.05..1 where the label is present, else 0.
        peripheral: signs of the periphery drawn as well: LDoCRT, HoT, RRD, PC.
        confusers: appearances that imitate a sign without being one.
    """

    patient: int
    seed: int
    eye: Eye
    image: int
    hospital: Hospital
    border: BorderKind
    labels: tuple[str, ...]
    severity: tuple[float, ...]
    peripheral: tuple[str, ...] = ()
    confusers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _within("patient", self.patient, 0, 9_999_999)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("image", self.image, 0, 9_999)
        _one_of("eye", self.eye, get_args(Eye))
        _one_of("border", self.border, get_args(BorderKind))
        for name in self.labels:
            _one_of("label", name, SIGNS)
        for group in (STAPHYLOMA_SIGNS, GRADE_SIGNS):
            present = [name for name in self.labels if name in group]
            if len(present) != 1 or len(self.labels) != 2:
                raise ConfigurationError(
                    f"labels {self.labels} of a phantom; give exactly one of "
                    f"{'/'.join(STAPHYLOMA_SIGNS)} and one of {'/'.join(GRADE_SIGNS)}"
                )
        if len(self.severity) != len(SIGNS):
            raise ConfigurationError(
                f"{len(self.severity)} severities of a phantom; give {len(SIGNS)}, in the order "
                f"{' '.join(SIGNS)}"
            )
        for name, value in zip(SIGNS, self.severity, strict=True):
            low, high = (MINIMUM_SEVERITY, 1.0) if name in self.labels else (0.0, 0.0)
            if not low <= value <= high:
                raise ConfigurationError(
                    f"severity {value} of '{name}' with labels {self.labels}; give {low}..{high}"
                )
        for name in self.peripheral:
            _one_of("peripheral sign", name, PERIPHERAL_SIGNS)
        for name in self.confusers:
            _one_of("confuser", name, CONFUSERS)

    @property
    def row(self) -> tuple[int, ...]:
        """The labels as seven zeros and ones in PSMM order."""
        return tuple(int(name in self.labels) for name in SIGNS)

    @property
    def peripheral_row(self) -> tuple[int, ...]:
        """The peripheral labels as five zeros and ones: without any sign, then the signs."""
        return (int(not self.peripheral), *(int(s in self.peripheral) for s in PERIPHERAL_SIGNS))

    @property
    def stem(self) -> str:
        """File name without its ending, in the style of the released names."""
        return f"{self.identity}_{self.eye}_2000-01-01_{self.image + 1}"

    @property
    def identity(self) -> str:
        """Patient identifier: hospital and number; the file name up to its first `_`."""
        return f"{self.hospital.name}-{self.patient:07d}"

    def strength(self, name: str) -> float:
        """Severity of a label by name, 0 where it is absent."""
        return self.severity[SIGNS.index(name)]


def _within(noun: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{noun} {value} of a phantom; give an integer {low}..{high}")


def _one_of(noun: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{noun} '{value}' of a phantom; choose from {', '.join(allowed)}")
