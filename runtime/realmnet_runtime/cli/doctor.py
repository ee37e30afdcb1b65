"""`realmnet doctor`: what this machine can run, and what is amiss."""

from __future__ import annotations

import msgspec

from realmnet_runtime.cli.options import JsonOption
from realmnet_runtime.cli.outputs import print_json
from realmnet_runtime.cli.tables import facts_table, print_renderable
from realmnet_runtime.proof.doctor import DoctorReport, examine


def doctor(
    json: JsonOption = False,
) -> None:
    """Say what this machine can run, and what is amiss. Exit code 3 where no engine loads."""
    report = examine()
    if json:
        print_json(msgspec.to_builtins(report))
    else:
        print_renderable(facts_table(_facts(report)))
    report.require_engine()


def _facts(report: DoctorReport) -> dict[str, str]:
    facts = {
        "realmnet-runtime": report.runtime,
        "python": f"{report.python} on {report.platform}",
        "libraries": ", ".join(f"{name} {v or 'absent'}" for name, v in report.libraries.items()),
    }
    for engine in report.engines:
        facts[engine.name] = engine.version or "?" if engine.loads else f"no: {engine.problem}"
    facts["INT8 dot product"] = "yes" if report.int8_dot_product else "no: FP32 variants are used"
    facts["instruction sets"] = " ".join(report.instruction_sets) or "unknown"
    facts["threads by default"] = str(report.default_threads)
    facts["default bundle"] = report.default_bundle or "none"
    facts["problems"] = "\n".join(report.problems) or "none"
    return facts
