"""The run's folder: what is torn is left out, and the log and metrics only grow."""

from __future__ import annotations

import math
from pathlib import Path

from realmnet_training.fitting.run_folder import RunFolder


def test_a_torn_last_line_of_the_metrics_is_left_out_and_forgotten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    folder.forget_metrics_after(1)
    assert not folder.metrics.exists()
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch, "loss": math.nan})
    with folder.metrics.open("ab") as file:
        file.write(b'{"epoch": 4, "lo')
    assert [line["epoch"] for line in folder.read_metrics()] == [1, 2, 3]
    folder.forget_metrics_after(2)
    assert folder.metrics.read_bytes() == b'{"epoch":1,"loss":null}\n{"epoch":2,"loss":null}\n'


def test_the_log_keeps_its_lines_in_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for line in ("one", "zwölf", "three"):
        folder.append_log(line)
    assert folder.log.read_text(encoding="utf-8") == "one\nzwölf\nthree\n"
