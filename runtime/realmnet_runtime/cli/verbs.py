"""The verbs of `realmnet`: where each lives and which install brings it.

Nothing of a verb is imported until it is called, so the overview works, and costs nothing, on a
camera that has the runtime alone. A verb of two words is one of an upper floor beside those of the
first word.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Final

import msgspec

from realmnet_runtime.errors import INTERRUPTED_EXIT_CODE, UsageError

Runner = Callable[[list[str]], int]


class Verb(msgspec.Struct, frozen=True):
    """A verb: `module:attribute` of a function or a Typer application, a line, an install."""

    target: str
    summary: str
    install: str


_CLI: Final = "realmnet-runtime[cli]"

VERBS: Final[dict[str, Verb]] = {
    "predict": Verb(
        "realmnet_runtime.cli.predict:predict",
        "answer images: seven probabilities, grade, field of view",
        _CLI,
    ),
    "watch": Verb(
        "realmnet_runtime.cli.watch:watch",
        "answer the pictures a device writes into a folder, each once",
        _CLI,
    ),
    "serve": Verb(
        "realmnet_runtime.cli.serve:serve",
        "answer pictures sent by HTTP on this machine, with a page for a person",
        "realmnet-runtime[cli,serve]",
    ),
    "selftest": Verb(
        "realmnet_runtime.cli.selftest:selftest",
        "run the bundle's golden cases on this machine",
        _CLI,
    ),
    "info": Verb("realmnet_runtime.cli.info:info", "say what a bundle is", _CLI),
    "prepare": Verb(
        "realmnet_runtime.cli.prepare:prepare",
        "compile a bundle once on the machine that will answer",
        _CLI,
    ),
    "slot": Verb(
        "realmnet_runtime.cli.slot:slot",
        "install, prove, activate and roll back bundles on a device",
        _CLI,
    ),
    "bundle": Verb(
        "realmnet_runtime.cli.bundle:bundle",
        "verify, inspect and sign bundles, make keys",
        _CLI,
    ),
    "bundle to-onnx": Verb(
        "realmnet_compression.embedding.commands:to_onnx",
        "write a variant as one ONNX file that takes decoded pixels",
        "realmnet[compression]",
    ),
    "audit": Verb(
        "realmnet_runtime.cli.audit:audit", "verify and continue the log of answers", _CLI
    ),
    "fit-gate": Verb(
        "realmnet_runtime.cli.fit_gate:fit_gate",
        "fit the limits of quality to a site's own pictures",
        _CLI,
    ),
    "doctor": Verb(
        "realmnet_runtime.cli.doctor:doctor",
        "say what this machine can run, and what is amiss",
        _CLI,
    ),
    "data": Verb(
        "realmnet_benchmarks.commands:data",
        "check and prepare data sets, or make one of synthetic phantoms",
        "realmnet[benchmarks]",
    ),
    "train": Verb("realmnet_training.commands:train", "train a model", "realmnet[training]"),
    "study": Verb(
        "realmnet_training.studies.commands:study",
        "run a study of the paper, cell by cell",
        "realmnet[training]",
    ),
    "evaluate": Verb(
        "realmnet_training.commands:evaluate",
        "measure a checkpoint on a table",
        "realmnet[training]",
    ),
    "explain": Verb(
        "realmnet_training.explanation.commands:explain",
        "draw where a model sees each label",
        "realmnet[training]",
    ),
    "boundary": Verb(
        "realmnet_training.boundary.commands:boundary",
        "segment the device's border around the retina",
        "realmnet[training]",
    ),
    "export": Verb(
        "realmnet_compression.commands:export",
        "write a checkpoint as ONNX",
        "realmnet[compression]",
    ),
    "distil": Verb(
        "realmnet_compression.distillation.commands:distil",
        "train a student from a teacher's answers",
        "realmnet[compression]",
    ),
    "quantise": Verb(
        "realmnet_compression.commands:quantise", "make an INT8 variant", "realmnet[compression]"
    ),
    "compress": Verb(
        "realmnet_compression.compressing.commands:compress",
        "make a bundle of variants from a recipe, every step proved",
        "realmnet[compression]",
    ),
    "verify": Verb(
        "realmnet_compression.verifying.commands:verify",
        "compare the answers of two forms of a model",
        "realmnet[compression]",
    ),
    "release": Verb(
        "realmnet_compression.commands:release", "make a bundle", "realmnet[compression]"
    ),
    "report": Verb(
        "realmnet_benchmarks.report_commands:report",
        "print what score tables say, beside the paper",
        "realmnet[benchmarks]",
    ),
    "devices": Verb(
        "realmnet_devices.commands:devices", "profiles of target machines", "realmnet[devices,cli]"
    ),
}


def verb_cure(name: str) -> str | None:
    """The install that brings the verb's package, or None where the package is there."""
    verb = VERBS[name]
    package = verb.target.partition(".")[0]
    return None if importlib.util.find_spec(package) else f"pip install '{verb.install}'"


def load_verb(name: str) -> Runner:
    """Import a verb.

    Returns:
        A function of the remaining words that returns the exit code.

    Raises:
        UsageError: its package, or a library it needs, is not installed.
    """
    verb = VERBS[name]
    module_name, _, attribute = verb.target.partition(":")
    typer = _import("typer", name, _CLI)
    target = getattr(_import(module_name, name, verb.install), attribute)
    return _runner(typer, name, target)


def _import(module: str, verb: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"'realmnet {verb}' needs {error.name}, which is not installed; pip install '{install}'"
        ) from error


def _runner(typer: ModuleType, name: str, target: object) -> Runner:
    if isinstance(target, typer.Typer):
        application = target
    else:
        application = typer.Typer(add_completion=False, rich_markup_mode=None)
        application.command(name=name)(target)
    command = typer.main.get_command(application)
    # Typer carries its own copy of click in some releases and requires click in others.
    mistake = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

    def run(words: list[str]) -> int:
        try:
            code = command.main(args=words, prog_name=f"realmnet {name}", standalone_mode=False)
        except mistake as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                sys.stderr.write(f"{error.format_message()}\n")
                return UsageError.exit_code
            text = " ".join(str(error.format_message()).split()).rstrip(".")
            raise UsageError(f"{text}; see `realmnet {name} --help`") from error
        except typer.Abort as error:
            raise KeyboardInterrupt from error
        if code == INTERRUPTED_EXIT_CODE:
            # Some releases of Typer raise Abort for Ctrl-C, others return its code.
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0

    return run
