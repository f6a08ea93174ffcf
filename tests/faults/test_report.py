"""The page of figures says what the rows have recorded, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict

from tests.faults.report import gathered, page
from tests.faults.rows import Facts


def test_a_line_per_row_with_sums_median_and_worst() -> None:
    runs = [
        Facts(
            32,
            "test_jobs_go_on[redis]",
            ["every connection killed"],
            jobs=10,
            doubled=1,
            recovery=0.02,
            figures={"wait, s": 0.25},
        ),
        Facts(32, "test_jobs_go_on[valkey]", ["every connection killed"], jobs=10, recovery=0.04),
        Facts(
            32, "test_jobs_go_on[redis]", ["every connection killed"], jobs=10, recovery=1.26, figures={"wait, s": 1.5}
        ),
        Facts(37, "test_refused", ["an evicting policy"]),
    ]
    record = [json.dumps(asdict(run)) for run in runs]
    lines = page(gathered(record)).splitlines()
    assert lines[-2:] == [
        "| 32 | jobs go on | every connection killed | 3 | 30 | 0 | 1 | 0 | 40 ms | 1.3 s | wait, s: 0.875 (1.5) |",
        "| 37 | refused | an evicting policy | 1 | 0 | 0 | 0 | 0 |  |  |  |",
    ]
