"""File to decision the plain way: OpenCV decodes every pixel, PyTorch runs eagerly in FP32.

    python plain_pytorch.py --checkpoint checkpoint.safetensors eye.jpg

timm's own backbone and the head, contiguous, in inference mode. Of this toolkit only the network
is imported, which the checkpoint needs.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import torch
from _plain import Point, tensor_of
from _rounds import options, run

from realmnet_training.checkpoint import load_checkpoint
from realmnet_training.networks.backbone import build_timm_backbone


def main() -> None:
    """Load the model, then answer."""
    parser = options(__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--point", help="JSON of labels, temperatures and thresholds.")
    given = parser.parse_args()
    cv2.setNumThreads(given.threads)
    torch.set_num_threads(given.threads)
    model, _ = load_checkpoint(Path(given.checkpoint))
    weights = model.backbone.state_dict()
    model.backbone = build_timm_backbone(model.size, model.image, third_window=model.third_window)
    model.backbone.load_state_dict(weights)
    model.eval()
    model = model.to(memory_format=torch.contiguous_format)
    point = Point(given.point)

    def route(file: str) -> list[str]:
        with torch.inference_mode():
            logits, _ = model(torch.from_numpy(tensor_of(file, model.image)))
        return point.findings(logits[0].numpy())

    run(route, given)


if __name__ == "__main__":
    main()
