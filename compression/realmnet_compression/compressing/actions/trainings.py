"""Steps that move weights: a student from its teacher, a network from itself in FP32."""

from __future__ import annotations

import shutil
from typing import Final

from realmnet_benchmarks.progress import reporting
from realmnet_compression.compressing.folder import digest_of, write_json
from realmnet_compression.compressing.job import Job, Making
from realmnet_compression.compressing.steps import (
    CHECKPOINT_FILE,
    ONNX_FILE,
    AwareStep,
    DistilStep,
    Step,
)
from realmnet_compression.distillation.distil import Pictures, distil
from realmnet_compression.distillation.teacher import open_teacher
from realmnet_compression.export_onnx import export_onnx
from realmnet_compression.openvino_files import encode_ir, write_ir
from realmnet_compression.quantisation.aware import quantise_aware
from realmnet_compression.releasing.release import find_checkpoint
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import CheckpointFacts, load_checkpoint, read_facts
from realmnet_training.config import Preset, load_preset
from realmnet_training.data.selection import select_tables
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.pictures.prepared import prepare_split

_WORKERS: Final = 2
REPORT_FILE: Final = "training.json"


def student_preset(step: DistilStep, facts: CheckpointFacts) -> Preset:
    """The preset of a step's student.

    Raises:
        MissingPath, ConfigurationError: no such preset, an impossible one, or one whose pictures
            are prepared otherwise than the checkpoint's or whose labels are others.
    """
    preset = load_preset(step.preset, step.changes)
    if preset.preprocess != facts.spec or preset.data.labels != facts.label_set:
        raise ConfigurationError(
            f"step '{step.title}': preset '{step.preset}' takes {preset.preprocess.size} px and "
            f"label set '{preset.data.labels.name}', the checkpoint {facts.spec.size} px and "
            f"'{facts.label_set.name}', or they prepare pictures otherwise; a student of this "
            "recipe sees what its teacher saw"
        )
    step.distillation.require_stages(len(preset.fit.stages))
    return preset


def training_inputs(step: Step, job: Job) -> dict[str, str]:
    """Digests of what a step that trains depends on besides its settings; none of any other."""
    records = job.tables.records
    if isinstance(step, AwareStep):
        return {"training table": records[step.training].digest}
    if isinstance(step, DistilStep):
        preset = student_preset(step, job.facts)
        chosen = select_tables(preset.data, records, preset.fit.seed)
        return {"training table": chosen.train.digest, "preset": digest_of(preset.decisive())}
    return {}


def distil_step(step: DistilStep, making: Making) -> None:
    """Train the student in a folder that outlives an interruption, then keep its checkpoint."""
    job, run = making.job, RunFolder(making.work)
    preset = student_preset(step, job.facts)
    if not (run.checkpoint.is_file() and read_facts(run.checkpoint).finished):
        distil(
            preset,
            Pictures(job.data, cache=job.cache),
            making.work,
            open_teacher(find_checkpoint(making.taken), job.labels),
            step.distillation,
            resume=run.preset.is_file(),
        )
    shutil.copyfile(run.checkpoint, making.folder / CHECKPOINT_FILE)
    for path in (run.curves, run.supervision):
        shutil.copyfile(path, making.folder / path.name)


def aware_step(step: AwareStep, making: Making) -> None:
    """Train a network with its quantisers; write its IR, its plain weights and what was done."""
    job = making.job
    model, facts = load_checkpoint(find_checkpoint(making.taken))
    training = prepare_split(job.tables.records[step.training], facts.spec, job.cache, _WORKERS)
    with reporting("steps of quantisation-aware training") as report:
        made = quantise_aware(
            model,
            job.tables.development.prepared,
            training,
            facts.spec,
            augmentation=None if facts.preset is None else facts.preset.augment,
            settings=step.settings,
            progress=report,
        )
    write_ir(encode_ir(made.openvino, "int8"), making.folder / step.FILES[0])
    export_onnx(made.plain, making.folder / ONNX_FILE)
    write_json(making.folder / REPORT_FILE, made.report)
