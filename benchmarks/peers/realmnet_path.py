"""File to decision through this toolkit's runtime.

python realmnet_path.py --bundle x.realmnet --variant openvino-int8 eye.jpg
"""

from __future__ import annotations

import cv2
from _rounds import options, run

from realmnet_runtime import Predictor
from realmnet_runtime.signatures.trust import ANY_BUNDLE


def main() -> None:
    """Load the model, then answer."""
    parser = options(__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--variant")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    with Predictor.open(
        given.bundle, variant=given.variant, threads=given.threads, trust=ANY_BUNDLE
    ) as predictor:
        # answered whatever its quality, as the plain routes answer
        run(lambda file: predictor.predict(file, answer_ungradable=True).findings, given)


if __name__ == "__main__":
    main()
