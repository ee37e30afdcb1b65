"""File to decision the plain way: OpenCV decodes every pixel, OpenVINO runs a model file.

    python plain_openvino.py --model model.xml eye.jpg

Needs numpy, opencv-python and openvino, and nothing of this toolkit.
"""

from __future__ import annotations

import cv2
import openvino
from _plain import Point, tensor_of
from _rounds import options, run


def main() -> None:
    """Load the model, then answer."""
    parser = options(__doc__)
    parser.add_argument("--model", required=True, help="ONNX, or an IR with its .bin beside it.")
    parser.add_argument("--point", help="JSON of labels, temperatures and thresholds.")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": given.threads,
        # left alone, OpenVINO takes bfloat16 where the processor has it, which is slower there
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(given.model, "CPU", settings)
    side = model.input(0).shape[-1]
    point = Point(given.point)

    def route(file: str) -> list[str]:
        return point.findings(model([tensor_of(file, side)])["logits"][0])

    run(route, given)


if __name__ == "__main__":
    main()
