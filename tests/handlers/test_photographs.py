"""The flow of the how-to, with the handlers that come along: images, a sheet, somebody told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from heavylift import Client
from tests.handlers.test_in_a_worker import work
from tests.handlers.test_webhooks import Receiver
from tests.handlers.test_webhooks import receiver as receiver

REPOSITORY = Path(__file__).parents[2]


def test_the_photographs_of_a_folder_become_a_sheet_and_somebody_is_told(
    tmp_path: Path, url: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = re.search(r"^```py\n(.*?)^```", (REPOSITORY / "docs/howto/flows.md").read_text(), re.M | re.S)
    assert example is not None
    names: dict[str, Any] = {}
    exec(compile(example[1], "docs/howto/flows.md", "exec", dont_inherit=True), names)
    root = tmp_path / "project"
    shutil.copytree(REPOSITORY / "handlers", root / "handlers")
    shutil.copytree(REPOSITORY / "samples", root / "photos", ignore=shutil.ignore_patterns("*.py", "*.csv", "out"))
    monkeypatch.chdir(root)
    monkeypatch.setenv("HEAVYLIFT_WEBHOOK_ALLOW", "127.0.0.1")
    with Client(url) as client:
        flow = names["publish"](client, "photos", receiver.url)
        work(url, root, tmp_path)
        assert flow.result(timeout=5)["status"] == 200
        assert len(flow.jobs) == 7
    ((headers, body),) = receiver.heard
    assert headers["idempotency-key"] == flow.jobs[-1].id
    (told,) = json.loads(body)
    assert told["result"]["images"] == 5
    pages = PdfReader(root / "photos/out/sheet.pdf").pages
    assert len(pages[0].images) == 5
    assert "harbour-600.jpg" in pages[0].extract_text()
