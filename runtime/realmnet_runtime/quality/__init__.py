"""Whether a picture can be answered: measured, held against limits, and told with reasons.

    measures        pure functions of the decoded picture and its field of view
    map_distance    how unlike the development pictures' the score maps are
    limits          what is allowed, and where the figures come from
    verdict         gradable or not, each reason with what was measured and what is allowed
    fitting         limits from gradable pictures
    measured        pictures measured for a fit, and the whole gate fitted on them
    site            the same for a site, by the bundle that will answer

Two kinds of picture never get here: an unreadable one and one without a field of view. They are
refused with an error, since there is nothing to measure.
"""

from realmnet_runtime.quality.limits import (
    DEFAULT_LIMITS,
    QualityGate,
    QualityLimits,
    ScoreMapTable,
    SiteFit,
)
from realmnet_runtime.quality.measures import measure_picture
from realmnet_runtime.quality.verdict import Quality, Reason, ReasonKind, judge

__all__ = [
    "DEFAULT_LIMITS",
    "Quality",
    "QualityGate",
    "QualityLimits",
    "Reason",
    "ReasonKind",
    "ScoreMapTable",
    "SiteFit",
    "judge",
    "measure_picture",
]
