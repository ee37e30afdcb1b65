"""An answer as a Comprehensive 3D SR by template 1500, made with highdicom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from realmnet_runtime._version import __version__
from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.dicom._source import Source, derived_uid, encoded, read_source
from realmnet_runtime.dicom.concepts import PRIVATE_SCHEME, CodeMap, Concept
from realmnet_runtime.dicom.notices import MANUFACTURER, RESEARCH_USE, plain
from realmnet_runtime.labels import Label, LabelSet

_SERIES_NUMBER = 7001


def write_report(
    data: bytes,
    prediction: Prediction,
    labels: LabelSet,
    *,
    codes: CodeMap,
    created: datetime,
) -> bytes:
    """See `realmnet_runtime.dicom.measurement_report`."""
    source = read_source(data)
    content = _Content(source, source.stand_in(), prediction, codes)
    groups = content.of_answer(labels) if prediction.probabilities else []
    groups.append(content.of_quality())
    report = MeasurementReport(
        observation_context=content.observer(),
        procedure_reported=coded(codes.terms.procedure),
        imaging_measurements=groups,
        title=standard.DCM.ImagingMeasurementReport,
    )
    report[0].ContentSequence.extend(_comments(prediction))
    said = [repr(value) for value in prediction.probabilities.values()]
    document = Comprehensive3DSR(
        evidence=[content.image],
        content=report[0],
        series_instance_uid=derived_uid("reports", source.study, prediction.bundle_sha256),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(
            "report", content.identity, *said, prediction.quality.summary, str(codes), __version__
        ),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=plain(prediction.model)[:64],
        device_serial_number=prediction.bundle_sha256,
        software_versions=f"realmnet-runtime {__version__}",
        series_description="RealMNet report, research use only",
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=source.transfer_syntax,
        content_date=created.date(),
        content_time=created.time(),
        coding_schemes=[
            CodingSchemeIdentificationItem(
                PRIVATE_SCHEME,
                name="Private codes of the RealMNet toolkit, verified against no terminology",
                responsible_organization="RealMNet toolkit",
            )
        ],
    )
    source.hand_on(document)
    return encoded(document)


def coded(concept: Concept) -> CodedConcept:
    """A concept of the code map as highdicom has it: private and marked where unverified."""
    written = concept.as_written()
    return CodedConcept(written.value, written.scheme, written.meaning)


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """The groups of one report, which share source, algorithm and codes."""

    source: Source
    image: Dataset
    prediction: Prediction
    codes: CodeMap

    @property
    def identity(self) -> str:
        """What was answered, and by what."""
        prediction = self.prediction
        return " ".join(
            (
                self.source.sop_instance,
                str(prediction.frame),
                prediction.input_sha256,
                prediction.bundle_sha256,
                prediction.variant,
                prediction.engine_version,
            )
        )

    def observer(self) -> ObservationContext:
        """The model, as a device that observed."""
        return ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=standard.DCM.Device,
                observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                    uid=derived_uid("model", self.prediction.bundle_sha256),
                    name="RealMNet",
                    manufacturer_name=MANUFACTURER,
                    model_name=plain(self.prediction.model),
                ),
            )
        )

    def of_answer(self, labels: LabelSet) -> list[MeasurementsAndQualitativeEvaluations]:
        """Every label, and the reading of sets that have one."""
        groups = [self.of_label(label) for label in labels.labels]
        if labels.grades or labels.staphyloma:
            groups.append(self.of_reading(has_grades=bool(labels.grades)))
        return groups

    def of_label(self, label: Label) -> MeasurementsAndQualitativeEvaluations:
        """Probability, threshold and presence of one label."""
        terms = self.codes.terms
        found = label.name in self.prediction.findings
        return self._group(
            f"label {label.name}",
            finding=coded(self.codes.label(label)),
            measurements=[
                _fraction(terms.probability, self.prediction.probabilities[label.name]),
                _fraction(terms.threshold, self.prediction.thresholds[label.name]),
            ],
            evaluations=[(terms.presence, terms.present if found else terms.absent)],
        )

    def of_reading(self, *, has_grades: bool) -> MeasurementsAndQualitativeEvaluations:
        """The META-PM reading of the findings."""
        terms, reading = self.codes.terms, self.prediction
        evaluations = [(terms.pathologic_myopia, self._presence(reading.pathologic_myopia))]
        if has_grades:
            undecided = reading.grade is None
            grade = terms.undecided if undecided else self.codes.grade(reading.grade or 0)
            evaluations.append((terms.grade, grade))
        return self._group(
            "reading of the findings", evaluations=evaluations, notes=reading.inconsistencies
        )

    def of_quality(self) -> MeasurementsAndQualitativeEvaluations:
        """Whether the picture can be graded, and the reasons."""
        terms = self.codes.terms
        quality = self.prediction.quality
        verdict = terms.gradable if quality.gradable else terms.ungradable
        return self._group(
            "quality of the picture",
            evaluations=[(terms.quality, verdict)],
            notes=tuple(reason.text for reason in quality.reasons),
        )

    def _presence(self, present: bool | None) -> Concept:
        terms = self.codes.terms
        if present is None:
            return terms.undetermined
        return terms.present if present else terms.absent

    def _group(
        self,
        name: str,
        *,
        finding: CodedConcept | None = None,
        measurements: list[Measurement] | None = None,
        evaluations: list[tuple[Concept, Concept]],
        notes: Iterable[str] = (),
    ) -> MeasurementsAndQualitativeEvaluations:
        """Template 1501: one measurement group on the source image."""
        frame = self.prediction.frame
        group = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=derived_uid("group", self.identity, name), identifier=plain(name)
            ),
            finding_type=finding,
            algorithm_id=self._algorithm(),
            finding_sites=[self._site()],
            measurements=measurements,
            qualitative_evaluations=[
                QualitativeEvaluation(name=coded(term), value=coded(value))
                for term, value in evaluations
            ],
            source_images=[
                SourceImageForMeasurementGroup(
                    self.image.SOPClassUID,
                    self.image.SOPInstanceUID,
                    [frame] if frame is not None and self.source.several_frames else None,
                )
            ],
        )
        group[0].ContentSequence.extend(_comment(note) for note in notes)
        return group

    def _site(self) -> FindingSite:
        terms = self.codes.terms
        eyes = {"right": terms.right, "left": terms.left, "both": terms.both}
        eye = eyes.get(self.prediction.laterality)
        return FindingSite(coded(terms.site), None if eye is None else coded(eye))

    def _algorithm(self) -> AlgorithmIdentification:
        answer = self.prediction
        name, _, version = answer.model.rpartition(" ")
        return AlgorithmIdentification(
            name=plain(name),
            version=plain(version),
            manufacturer=MANUFACTURER,
            parameters=[
                f"bundle sha256 {answer.bundle_sha256}",
                f"image sha256 {answer.input_sha256}",
                plain(f"variant {answer.variant}"),
                plain(f"engine {answer.engine} {answer.engine_version}"),
                f"precision {answer.precision}",
                f"pre-processing version {answer.spec_version}",
            ],
        )


def _fraction(name: Concept, value: float) -> Measurement:
    return Measurement(name=coded(name), value=value, unit=standard.UCUM.NoUnits)


def _comments(prediction: Prediction) -> list[TextContentItem]:
    return [
        _comment(RESEARCH_USE),
        _comment(prediction.notice),
        _comment(
            f"Codes of the scheme {PRIVATE_SCHEME} are private to this toolkit and were verified "
            f"against no terminology; their meanings say so."
        ),
    ]


def _comment(text: str) -> TextContentItem:
    return TextContentItem(
        name=standard.DCM.Comment,
        value=plain(text),
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
