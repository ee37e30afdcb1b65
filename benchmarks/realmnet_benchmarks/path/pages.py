"""The figures as lines for people; everything else is in the JSON."""

from __future__ import annotations

from collections.abc import Iterable

from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.path.idle import MOST_MS, IdleReport
from realmnet_benchmarks.path.soak import MOST_PER_1000, SoakReport
from realmnet_benchmarks.path.speed import RouteSpeed, SpeedReport
from realmnet_benchmarks.path.start import MOST_MEGABYTES, MOST_SECONDS, StartFigures, StartReport
from realmnet_benchmarks.path.steadiness import LEAST_UNCHANGED, SteadinessReport


def steadiness_page(report: SteadinessReport) -> str:
    """What a scaled decode changed."""
    task, found = report.task, report.found
    low, middle, high = found.file_megabytes
    alike = found.label_decisions - round(found.flips_per_1000 * found.label_decisions / 1000)
    lines = [
        _words(
            f"{found.pictures:,} {task.pictures}, files of {low:.2f}-{high:.2f} MB (median",
            f"{middle:.2f}); variant {task.variant}",
        ),
        _words(
            f"decisions alike by a scaled and a full decode: {alike:,} of",
            f"{found.label_decisions:,} (pictures x labels), {found.share:.2%};",
            f"{LEAST_UNCHANGED:.1%} are needed: {_verdict(passed=found.passed)}",
        ),
        _words(
            f"pictures with every label alike: {found.unchanged:,} of {found.pictures:,},",
            f"{found.unchanged_share:.2%} (95 % interval {found.low:.2%} to {found.high:.2%})",
        ),
        _words(
            f"refused by one decode alone {found.refusals_changed}, graded otherwise",
            f"{found.gradings_changed} pictures; largest difference of a probability",
            f"{found.largest_difference:.3f}; decisions that changed:",
            "" if found.flips else "none",
        ),
    ]
    lines += [
        _words(
            f"  picture {flip.number}, {flip.label}: {flip.scaled:.3f} scaled, {flip.full:.3f}",
            f"full, threshold {flip.threshold:.3f}",
        )
        for flip in found.flips
    ]
    return _page(lines, report.environment)


def speed_page(report: SpeedReport) -> str:
    """Every route beside ours, group by group."""
    lines = [
        _words(
            f"file to decision, one picture at a time, {report.plan.rounds} rounds in which the",
            "routes take turns; median (quartiles)",
        )
    ]
    for group, found in report.found.items():
        heading = ["route", "ms a picture", "fastest ms", f"times {report.ours}", "of fastest", ""]
        lines += ["", f"{report.groups[group]} {group}"]
        lines += align([heading, *(_speed_row(report, name, found[name]) for name in found)])
    return _page([*lines, ""], report.environment)


def _speed_row(report: SpeedReport, name: str, speed: RouteSpeed) -> list[str]:
    needed = report.needed.get(name)
    remark = (
        "" if needed is None else f"{needed:g} are needed: {_verdict(passed=speed.ratio >= needed)}"
    )
    return [
        name,
        f"{speed.median_ms:.1f} ({speed.low_ms:.1f}-{speed.high_ms:.1f})",
        f"{speed.fastest_ms:.1f}",
        f"{speed.ratio:.2f} ({speed.ratio_low:.2f}-{speed.ratio_high:.2f})",
        f"{speed.ratio_of_fastest:.2f}",
        remark,
    ]


def start_page(report: StartReport) -> str:
    """Our process beside the bare engine's, variant by variant."""
    lines = [
        _words(
            f"process start to first answer ({report.picture}; bare: import, load, one inference",
            f"on zeros), medians of {report.plan.processes} fresh processes, which take turns",
        )
    ]
    for variant, found in report.found.items():
        ratio = found.ours_s / found.bare_s
        lines.append(
            _words(
                f"{variant}: ours {found.ours_s:.2f} s, bare engine {found.bare_s:.2f} s, later by",
                f"{found.later_s:.2f} s (x {ratio:.2f}), at most {MOST_SECONDS} allowed:",
                f"{_verdict(passed=found.in_time)}; fastest {found.ours_fastest_s:.2f} and",
                f"{found.bare_fastest_s:.2f} s",
            )
        )
        lines.append(f"{variant}: {_memory(found)}")
    return _page(lines, report.environment)


def _memory(found: StartFigures) -> str:
    if found.ours_mb is None or found.bare_mb is None or found.in_memory is None:
        return "peak memory not measured on this system"
    return _words(
        f"peak memory ours {found.ours_mb:.0f} MB, bare engine {found.bare_mb:.0f} MB, more by",
        f"{found.ours_mb - found.bare_mb:.0f} MB (x {found.ours_mb / found.bare_mb:.2f}), at most",
        f"{MOST_MEGABYTES:.0f} allowed: {_verdict(passed=found.in_memory)}",
    )


def soak_page(report: SoakReport) -> str:
    """What memory did."""
    found = report.found
    growth = found.last_mb / found.first_mb
    lines = [
        _words(
            f"{report.plan.answers:,} answers, {report.pictures}, variant {report.variant}:",
            f"memory {found.first_mb:.1f} MB after {report.plan.warm_up:,}, {found.last_mb:.1f} MB",
            f"at the end (x {growth:.3f})",
        ),
        _words(
            f"slope {found.mb_per_1000:+.3f} MB per 1,000 answers ({found.low:+.3f} to",
            f"{found.high:+.3f}), at most {MOST_PER_1000:g} allowed:",
            _verdict(passed=found.passed),
        ),
    ]
    return _page(lines, report.environment)


def idle_page(report: IdleReport) -> str:
    """What a process computed while nothing was asked."""
    found, plan = report.found, report.plan
    lines = [
        _words(
            f"{plan.answers} answers, {report.pictures}, variant {report.variant}: processor time",
            f"in the {plan.rest_s:g} s after each, median {found.median_ms:.2f} ms (upper quartile",
            f"{found.high_ms:.2f}, largest {found.largest_ms:.2f}), at most {MOST_MS:g} allowed:",
            _verdict(passed=found.passed),
        ),
        _words(
            f"an answer itself takes {found.answer_ms:.0f} ms of processor time; the rest after it",
            f"x {found.median_ms / found.answer_ms:.4f}",
        ),
    ]
    return _page(lines, report.environment)


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _verdict(*, passed: bool) -> str:
    return "holds" if passed else "does not hold"


def _page(lines: Iterable[str], environment: Environment) -> str:
    """Lines, and where they were measured."""
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    where = _words(
        f"{environment.machine}: {environment.processor}, {environment.usable_cores} usable cores,",
        f"threads a route {environment.threads}; {versions}",
    )
    return "\n".join([*lines, where, ""])
