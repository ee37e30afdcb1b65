"""The main job: a picture in, an answer out, through one open bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.deadline import NO_DEADLINE, Deadline
from realmnet_runtime.answering.decision import Answer
from realmnet_runtime.answering.lookahead import LookAhead
from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.answering.preparation import PreparedPicture, prepare_picture, timed
from realmnet_runtime.answering.selection import AUTO, Choice, choose_variant
from realmnet_runtime.backends import (
    Backend,
    EngineFacts,
    default_threads,
    installed_engines,
)
from realmnet_runtime.bundles.bundle import Bundle, BundleSource
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.bundles.manifest import Manifest, Variant
from realmnet_runtime.clock import utc_now
from realmnet_runtime.compiled.loading import Loaded, load_variant
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.images import ImageSource
from realmnet_runtime.quality.gate import Gate
from realmnet_runtime.signatures.trust import DEFAULT_TRUST, Trust


@final
class Predictor:
    """One variant of one bundle, loaded into one engine; a context manager.

    Thread safety: any number of threads may call `predict`. They decode and prepare side by side;
    the engine, which uses its own threads, runs for one picture at a time.

    Fork safety: a predictor belongs to the process that opened it. A child made by `fork` has none
    of the engine's threads and would wait for them for ever, so there every method that needs the
    engine is a `UsageError`, and `close` does nothing. Open one in each process. Such a child has
    to end by `os._exit`, as those of `multiprocessing` do: Python's own end waits for the engine.

    Nothing of the process is changed: no signal handler, no environment variable, no logging, no
    setting of OpenCV. Nothing computes between two calls.

    Decoding and resizing use OpenCV's pool of threads, which belongs to the process: bound it with
    `cv2.setNumThreads(predictor.threads)` where that matters, as `realmnet predict` does.
    """

    __slots__ = (
        "_backend",
        "_bundle",
        "_choice",
        "_gate",
        "_how",
        "_owns_bundle",
        "_prepared_sha256",
        "_process",
        "_turn",
    )

    def __init__(
        self, bundle: Bundle, choice: Choice, loaded: Loaded, *, owns_bundle: bool
    ) -> None:
        self._bundle = bundle
        self._choice = choice
        self._backend: Backend | None = loaded.backend
        self._how = loaded.how
        self._prepared_sha256 = loaded.prepared_sha256
        self._owns_bundle = owns_bundle
        self._gate = Gate(bundle.manifest.quality, choice.variant.name)
        self._process = os.getpid()
        self._turn = Lock()

    @classmethod
    def open(
        cls,
        bundle: BundleSource | Bundle | None = None,
        *,
        engine: str = AUTO,
        threads: int | None = None,
        variant: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        require_prepared: bool = False,
        trust: Trust | None = None,
    ) -> Predictor:
        """Open a bundle, choose a variant for this machine and load it.

        Args:
            bundle: path, zip in memory (see `Bundle.open`) or open bundle; None takes the
                installed default. An open bundle stays the caller's to close.
            engine: `auto`, `openvino` or `onnxruntime`; `auto` is openvino, then onnxruntime.
            threads: most threads the engine computes with; by default the physical cores this
                process may use, at most 4.
            variant: by name; by default INT8 where the CPU has what it requires, else the next
                in the manifest's order.
            cache: folder of what `realmnet prepare` compiled; by default the user's. What is
                there for this bundle, engine, processor and number of threads, and sound, is
                loaded; else the model is compiled now: `facts.prepared` and `loaded_how` say which.
            require_prepared: compile nothing: what was not prepared for this very bundle, engine,
                processor and number of threads is an error.
            trust: whose bundles are opened; by default as `Bundle.open`.

        Raises:
            MissingPath: no bundle there, or none named and none installed.
            UsageError: unknown engine or variant, fewer than one thread, a cache for a bundle in
                memory, or a trust for one that is open already.
            BackendUnavailable: the engine asked for, or all the bundle's, are absent.
            IntegrityError: the bundle is not the one that was released, or not of those who are
                trusted; with `require_prepared`, also a cache that was damaged or that others may
                write to.
            IncompatibleError: bundle, engine and CPU do not fit together, or nothing is prepared
                where that is required.
        """
        if threads is not None and threads < 1:
            raise UsageError(f"threads {threads}; 1 or more are needed")
        owns_bundle = not isinstance(bundle, Bundle)
        opened = _open_bundle(bundle, trust)
        try:
            choice = choose_variant(
                opened.manifest.variants,
                engine=engine,
                name=variant,
                installed=installed_engines(),
                instruction_sets=instruction_sets(),
            )
            loaded = load_variant(
                opened,
                choice.variant,
                threads or default_threads(),
                None if cache is None else Path(cache),
                require_prepared=require_prepared,
            )
        except BaseException:
            if owns_bundle:
                opened.close()
            raise
        return cls(opened, choice, loaded, owns_bundle=owns_bundle)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._bundle.manifest

    @property
    def bundle(self) -> Bundle:
        """The bundle that answers."""
        return self._bundle

    @property
    def variant(self) -> Variant:
        """The variant that answers."""
        return self._choice.variant

    @property
    def chosen_because(self) -> str:
        """Why this variant."""
        return self._choice.reason

    @property
    def loaded_how(self) -> str:
        """Whether the engine's model was prepared before or compiled now, and why."""
        return self._how

    @property
    def prepared_sha256(self) -> str | None:
        """SHA-256 of the compiled form that was loaded; None where the model was compiled now."""
        return self._prepared_sha256

    @property
    def facts(self) -> EngineFacts:
        """What the engine says of itself."""
        return self._open_backend().facts

    @property
    def threads(self) -> int:
        """Threads the engine computes with, as read back."""
        return self.facts.threads

    def predict(
        self,
        source: ImageSource,
        *,
        frame: int | None = None,
        deadline: float | None = None,
        answer_ungradable: bool = False,
    ) -> Prediction:
        """Answer one picture, or say why it is ungradable: then `Prediction.withheld` is true.

        Args:
            source: path, bytes of a file, or (H, W, 3) uint8 RGB.
            frame: number of the frame of a DICOM file, from 1; may be left out where there is one.
            deadline: seconds from now in which the answer must be there; None waits for it. Time
                is looked at after each stage (`STAGES`), and waiting for the engine while it
                answers another thread counts. OpenVINO and ONNX Runtime are stopped between two of
                their layers; a decode, and a GPU, run to their end before the error is raised.
            answer_ungradable: answer an ungradable picture all the same; its quality still says
                that it is.

        Raises:
            MissingPath: no such file.
            ImageRefused: unreadable, too small, without a field of view, or of several frames of
                which none is named.
            BackendUnavailable: a DICOM file, and the extra `dicom` is not installed.
            IncompatibleError: the engine answered no finite numbers.
            DeadlineExceeded: there was no answer in time; the predictor can be used again.
            UsageError: an array of another shape or type, no such frame, the predictor is closed,
                or was opened by another process.
        """
        return self.predict_with_input(
            source, frame=frame, deadline=deadline, answer_ungradable=answer_ungradable
        )[0]

    def predict_many(
        self, sources: Iterable[ImageSource], *, answer_ungradable: bool = False
    ) -> Iterator[Prediction]:
        """Answer pictures one by one, in order, as they are asked for; errors as `predict`.

        Of a list or another sequence the next picture is decoded by a helper thread while the
        engine answers this one: one picture ahead, never more. Of any other iterable, whose next
        picture may not be there yet, one is taken when it is asked for, and decoded then.

        A picture that is refused ends the iteration with its error; call `predict` for each where
        the rest should be answered all the same.
        """
        if not isinstance(sources, Sequence):
            for source in sources:
                yield self.predict(source, answer_ungradable=answer_ungradable)
            return
        waiting = list(sources)
        with LookAhead(self._prepare) as ahead:
            for number, source in enumerate(waiting):
                # Before waiting for a helper that a forked child does not have.
                self._open_backend()
                if number == 0:
                    ahead.start(source)
                prepared = ahead.result()
                for following in waiting[number + 1 : number + 2]:
                    ahead.start(following)
                yield self._answered(prepared, NO_DEADLINE, ungradable=answer_ungradable)

    def predict_with_input(
        self,
        source: ImageSource,
        *,
        frame: int | None = None,
        deadline: float | None = None,
        answer_ungradable: bool = False,
    ) -> tuple[Prediction, NDArray[np.float32]]:
        """As `predict`, with the (3, S, S) float32 input tensor the engine was given."""
        limit = Deadline.after(deadline)
        self._open_backend()
        prepared = self._prepare(source, limit, frame)
        return self._answered(prepared, limit, ungradable=answer_ungradable), prepared.tensor

    def warm_up(self) -> None:
        """Run the engine once on an empty picture; no answer comes of it.

        For a camera that pauses: after minutes the model may have left the processor's caches, or
        memory. Nothing calls it by itself.

        Raises:
            UsageError: the predictor is closed, or was opened by another process.
        """
        side = self.manifest.preprocess.size
        backend = self._open_backend()
        with self._turn:
            backend.infer(np.zeros((1, 3, side, side), np.float32))

    def _prepare(
        self, source: ImageSource, limit: Deadline = NO_DEADLINE, frame: int | None = None
    ) -> PreparedPicture:
        return prepare_picture(source, self.manifest.preprocess, self._gate, limit, frame=frame)

    def _answered(
        self, prepared: PreparedPicture, limit: Deadline, *, ungradable: bool
    ) -> Prediction:
        """The engine, unless the picture is ungradable, and what comes after it."""
        backend = self._open_backend()
        labels, point = self.manifest.labels, self.variant.operating_point
        timings, quality = prepared.timings_ms, prepared.quality
        answer = Answer.withheld(len(labels))
        if quality.gradable or ungradable:
            # Waiting for another thread's picture is no part of this one's time in the engine.
            with self._my_turn(limit), timed(timings, "engine"):
                logits, score_maps = backend.infer(prepared.tensor[np.newaxis], limit.remaining)
            limit.require("engine")
            with timed(timings, "decision"):
                given = Answer.of(logits[0], score_maps[0], labels, point)
                quality = self._gate.look_at_maps(quality, score_maps[0])
                answer = given if quality.gradable or ungradable else answer
        model, facts = self.manifest.model, backend.facts
        return Prediction(
            probabilities=answer.probabilities,
            thresholds={name: point.thresholds[name] for name in labels.names},
            findings=answer.findings,
            grade=answer.reading.grade,
            staphyloma=answer.reading.staphyloma,
            pathologic_myopia=answer.reading.pathologic_myopia,
            inconsistencies=answer.reading.inconsistencies,
            box=prepared.placement.box,
            aperture=prepared.aperture,
            original_size=prepared.original_size,
            placement=prepared.placement,
            score_maps=answer.score_maps,
            timings_ms=timings,
            input_sha256=prepared.sha256,
            model=f"{model.name} {model.version}",
            bundle_sha256=self._bundle.digest,
            spec_version=self.manifest.preprocess.version,
            engine=facts.engine,
            engine_version=facts.version,
            variant=self.variant.name,
            precision=facts.precision,
            threads=facts.threads,
            chosen_because=self.chosen_because,
            notice=model.notice,
            answered_at=utc_now(),
            quality=quality,
            laterality=prepared.laterality,
            frame=prepared.frame,
        )

    @contextmanager
    def _my_turn(self, limit: Deadline) -> Iterator[None]:
        """Wait for the engine, no longer than there is time."""
        while not self._turn.acquire(timeout=-1 if (left := limit.remaining) is None else left):
            limit.require("waiting for the engine")
        try:
            yield
        finally:
            self._turn.release()

    def close(self) -> None:
        """Free the engine, and the bundle where `open` opened it; closing twice does nothing."""
        if os.getpid() != self._process:
            # The engine's threads, and whoever held the turn, are the other process's.
            return
        with self._turn:
            backend, self._backend = self._backend, None
            if backend is not None:
                backend.close()
                if self._owns_bundle:
                    self._bundle.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_backend(self) -> Backend:
        if os.getpid() != self._process:
            raise UsageError(
                f"this predictor was opened by process {self._process} and this is its child "
                f"{os.getpid()}, which has none of its threads; open one in each process"
            )
        if self._backend is None:
            raise UsageError("this predictor is closed; open the bundle again")
        return self._backend


def _open_bundle(source: BundleSource | Bundle | None, trust: Trust | None) -> Bundle:
    if isinstance(source, Bundle):
        if trust is not None:
            raise UsageError("an open bundle was judged when it was opened; give the trust there")
        return source
    return Bundle.open(
        find_default_bundle() if source is None else source,
        trust=DEFAULT_TRUST if trust is None else trust,
    )
