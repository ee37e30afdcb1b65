"""The reproduction report: the paper's tables with published figures, ours and the difference."""

from realmnet_benchmarks.pages.document import Document
from realmnet_benchmarks.pages.page import html_page, json_page, text_page
from realmnet_benchmarks.reproduction.measured import Draws
from realmnet_benchmarks.reproduction.results import Results, read_results
from realmnet_benchmarks.reproduction.sections import REFERENCE_MODEL, reproduction_report
from realmnet_benchmarks.reproduction.study_plans import STUDY_PLANS, StudyPlan

__all__ = [
    "REFERENCE_MODEL",
    "STUDY_PLANS",
    "Document",
    "Draws",
    "Results",
    "StudyPlan",
    "html_page",
    "json_page",
    "read_results",
    "reproduction_report",
    "text_page",
]
