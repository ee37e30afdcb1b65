"""Heat maps as secondary captures, read back with pydicom."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Prediction
from realmnet_runtime.dicom import heat_map_capture
from realmnet_runtime.errors import UsageError

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")
need_package("highdicom", "dicom")

Picture = NDArray[np.uint8]


def test_heat_map_comes_back(eye_dicom: bytes, answer: Prediction, eye: Picture) -> None:
    turned = eye[:, ::-1]
    capture = pydicom.dcmread(BytesIO(heat_map_capture(eye_dicom, turned, answer, "DCA")))
    assert np.array_equal(capture.pixel_array, turned)
    assert capture.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert "DCA" in capture.DerivationDescription
    assert capture.ImageLaterality == "R"
    # What lost some of its pixels once has lost them for good.
    assert capture.LossyImageCompression == "01"
    assert list(capture.ImageType[:2]) == ["DERIVED", "SECONDARY"]


def test_heat_maps_of_labels_differ_in_uid_alone(
    eye_dicom: bytes, answer: Prediction, eye: Picture
) -> None:
    made = [
        pydicom.dcmread(BytesIO(heat_map_capture(eye_dicom, picture, answer, label, instance=i)))
        for i, (label, picture) in enumerate(
            [("PS", eye), ("DCA", eye), ("PS", eye[::-1]), ("PS", eye)], start=1
        )
    ]
    uids = [capture.SOPInstanceUID for capture in made]
    assert Counter(uids) == {uids[0]: 2, uids[1]: 1, uids[2]: 1}
    assert len({capture.SeriesInstanceUID for capture in made}) == 1
    assert [capture.InstanceNumber for capture in made] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heat_map": np.zeros((4, 4), np.uint8)}, "is needed"),
        ({"heat_map": np.zeros((4, 4, 3), np.float32)}, "is needed"),
        ({"heat_map": np.zeros((1, 65536, 3), np.uint8)}, "at most 65535 a side"),
        ({"label": "PSS"}, "the answer has NoPS, PS"),
        ({"instance": 0}, "counted from 1"),
    ],
)
def test_heat_maps_that_are_refused(
    eye_dicom: bytes, answer: Prediction, changes: dict[str, Any], said: str
) -> None:
    given = {"heat_map": np.zeros((4, 4, 3), np.uint8), "label": "PS", "instance": 1, **changes}
    with pytest.raises(UsageError, match=said):
        heat_map_capture(eye_dicom, prediction=answer, **given)
