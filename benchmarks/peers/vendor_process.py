"""What a vendor's program does: open a bundle, answer one picture, say so, wait.

    python vendor_process.py BUNDLE VARIANT THREADS CACHE PICTURE

Imports the runtime and what that needs (numpy, OpenCV, msgspec, one engine), and nothing else.
"""

from __future__ import annotations

import sys

from realmnet_runtime import Predictor

bundle, variant, threads, cache, picture = sys.argv[1:]
predictor = Predictor.open(bundle, variant=variant, threads=int(threads), cache=cache)
answer = predictor.predict(picture, answer_ungradable=True)
sys.stdout.write(f"answered {len(answer.probabilities)}, {predictor.loaded_how}\n")
sys.stdout.flush()
sys.stdin.readline()
