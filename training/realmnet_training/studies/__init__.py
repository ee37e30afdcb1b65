"""The paper's studies: which trainings a table or a figure is made of, and running them."""

from realmnet_training.studies.definition import STUDIES, Cell, Study, read_study
from realmnet_training.studies.plan import LeftOut, PlannedCell, StudyRequest, plan_study
from realmnet_training.studies.run import CellOutcome, run_study
from realmnet_training.studies.scale import SCALES, Scale, read_scale

__all__ = [
    "SCALES",
    "STUDIES",
    "Cell",
    "CellOutcome",
    "LeftOut",
    "PlannedCell",
    "Scale",
    "Study",
    "StudyRequest",
    "plan_study",
    "read_scale",
    "read_study",
    "run_study",
]
