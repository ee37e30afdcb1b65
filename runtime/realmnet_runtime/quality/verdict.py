"""Gradable or not, and why: what was measured against what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from realmnet_runtime.quality.limits import QualityLimits, ScoreMapTable

ReasonKind = Literal[
    "aperture_too_small",
    "too_dark",
    "burnt",
    "blurred",
    "lid_or_lashes",
    "angiogram",
    "fundus_photograph",
    "not_two_laser",
    "far_from_training",
]

LEAST_COLOUR: Final = 0.25
"""Saturation below which a picture is grey. Two-laser pictures measure 0.88 to 0.97, ordinary
fundus photographs, whose red is well above green and green above blue, about 0.5 to 0.8; grey
ones 0, and with noise of three grey levels in each channel at most 0.19. No site's pictures
change it."""

_FUNDUS_RED: Final = 0.6
"""Red over red and green from which a picture with much blue is called an ordinary photograph."""

MAP_DISTANCE: Final = "map_distance"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a picture is not gradable.

    Attributes:
        kind: one of a fixed list.
        measure: name of what was measured.
        measured: its value.
        allowed: the limit it passed.
        text: the same in one sentence, with the cure.
    """

    kind: ReasonKind
    measure: str
    measured: float
    allowed: float
    text: str


@dataclass(frozen=True)
class Quality:
    """Whether a picture can be answered.

    Attributes:
        gradable: true where no limit was passed.
        reasons: one for each limit passed, the kind of picture first; empty where gradable.
        measures: what was measured, by name.
        not_measured: what was not, by name, and why.
        limits_from: `bundle`, or `default` where the bundle brings no limits.
    """

    reasons: tuple[Reason, ...]
    measures: Mapping[str, float]
    not_measured: Mapping[str, str]
    limits_from: Literal["bundle", "default"]

    @property
    def gradable(self) -> bool:
        """Whether no limit was passed."""
        return not self.reasons

    @property
    def summary(self) -> str:
        """The reasons in one line; `gradable` where there are none."""
        return "; ".join(reason.text for reason in self.reasons) or "gradable"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return {
            "gradable": self.gradable,
            "reasons": [
                {
                    "kind": reason.kind,
                    "measure": reason.measure,
                    "measured": round(reason.measured, 4),
                    "allowed": round(reason.allowed, 4),
                    "text": reason.text,
                }
                for reason in self.reasons
            ],
            "measures": {name: round(value, 4) for name, value in self.measures.items()},
            "not_measured": dict(self.not_measured),
            "limits_from": self.limits_from,
        }


class Rule(NamedTuple):
    """One limit: its field of `QualityLimits`, whose prefix says which side it bounds."""

    kind: ReasonKind
    measure: str
    limit: str
    says: str


RULES: Final = (
    Rule(
        "aperture_too_small",
        "aperture_share",
        "least_aperture_share",
        "aperture too small: {measured:.2f} of the frame, {allowed:.2f} or more needed; "
        "send the whole picture as the camera took it",
    ),
    Rule(
        "too_dark",
        "light",
        "least_light",
        "too dark: mean light {measured:.2f} of 1, {allowed:.2f} or more needed; "
        "take it again with more light",
    ),
    Rule(
        "burnt",
        "burnt",
        "most_burnt",
        "burnt: {measured:.2f} of the aperture is at the top of the scale, at most {allowed:.2f} "
        "allowed; take it again with less light",
    ),
    Rule(
        "blurred",
        "sharpness",
        "least_sharpness",
        "blurred: sharpness {measured:.4f}, {allowed:.4f} or more needed; "
        "focus, wait for a clear tear film, take it again",
    ),
    Rule(
        "lid_or_lashes",
        "covered",
        "most_covered",
        "lid or lashes: {measured:.2f} of the aperture is covered, at most {allowed:.2f} allowed; "
        "hold the lids open and take it again",
    ),
    Rule(
        "lid_or_lashes",
        "aspect",
        "most_aspect",
        "lid or lashes: the open part is {measured:.2f} times as wide as high, at most "
        "{allowed:.2f} allowed; hold the lids open and take it again",
    ),
    Rule(
        "lid_or_lashes",
        "aspect",
        "least_aspect",
        "lid or lashes: the open part is {measured:.2f} times as wide as high, {allowed:.2f} or "
        "more needed; take it again with the whole aperture open",
    ),
)
"""Every rule but those of the kind of picture, in the order they are told."""

_GREY: Final = Rule(
    "angiogram",
    "saturation",
    "",
    "grey: saturation {measured:.2f}, {allowed:.2f} or more needed; angiograms, autofluorescence "
    "and single-laser pictures are; send the colour picture",
)
_FUNDUS: Final = Rule(
    "fundus_photograph",
    "saturation",
    "least_saturation",
    "ordinary fundus photograph: much blue and red (saturation {measured:.2f}, {allowed:.2f} or "
    "more needed); send the two-laser ultra-widefield picture",
)
_NOT_TWO_LASER: Final = Rule(
    "not_two_laser",
    "saturation",
    "least_saturation",
    "not a two-laser colour picture: saturation {measured:.2f}, {allowed:.2f} or more needed; "
    "send the two-laser ultra-widefield picture",
)
_RED_LOW: Final = Rule(
    "not_two_laser",
    "red_share",
    "least_red_share",
    "not a two-laser colour picture: red is {measured:.2f} of red and green, {allowed:.2f} or "
    "more needed; send the picture of both lasers",
)
_RED_HIGH: Final = Rule(
    "not_two_laser",
    "red_share",
    "most_red_share",
    "not a two-laser colour picture: red is {measured:.2f} of red and green, at most "
    "{allowed:.2f} allowed; send the picture of both lasers",
)


def judge(measures: Mapping[str, float], limits: QualityLimits) -> tuple[Reason, ...]:
    """Hold what was measured before the network was asked against the limits.

    Args:
        measures: of `measure_picture`.
        limits: of the bundle, or `DEFAULT_LIMITS`.

    Returns:
        One reason for each limit passed; empty where there is none.
    """
    reasons = list(_of_kind(measures, limits))
    for rule in RULES:
        reasons += _passed(rule, measures, limits)
    return tuple(reasons)


def judge_distance(distance: float, table: ScoreMapTable) -> tuple[Reason, ...]:
    """Hold the distance of the score maps against the table's limit."""
    if distance <= table.most_distance:
        return ()
    return (
        Reason(
            "far_from_training",
            MAP_DISTANCE,
            distance,
            table.most_distance,
            f"far from the training images: score maps at distance {distance:.2f}, at most "
            f"{table.most_distance:.2f} allowed; look at the picture: is it such a one as the "
            f"model was made for?",
        ),
    )


def _of_kind(measures: Mapping[str, float], limits: QualityLimits) -> Iterator[Reason]:
    """What is wrong with the kind of picture: at most one colour reason."""
    saturation = measures["saturation"]
    if saturation < LEAST_COLOUR:
        yield _reason(_GREY, saturation, LEAST_COLOUR)
    elif saturation < limits.least_saturation:
        redder = measures["red_share"] > _FUNDUS_RED
        yield from _passed(_FUNDUS if redder else _NOT_TWO_LASER, measures, limits)
    else:
        yield from _passed(_RED_LOW, measures, limits)
        yield from _passed(_RED_HIGH, measures, limits)


def _passed(rule: Rule, measures: Mapping[str, float], limits: QualityLimits) -> Iterator[Reason]:
    if limits.is_beyond(rule.limit, measures):
        yield _reason(rule, measures[rule.measure], float(getattr(limits, rule.limit)))


def _reason(rule: Rule, measured: float, allowed: float) -> Reason:
    text = rule.says.format(measured=measured, allowed=allowed)
    return Reason(rule.kind, rule.measure, measured, allowed, text)
