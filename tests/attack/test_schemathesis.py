"""Whatever the service is sent, it answers as its OpenAPI document says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from running_service import service

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "30"))


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Examples, coverage, fuzzing and stateful phases, with every check there is."""
    with service(database_url=f"sqlite:///{tmp_path}/preheat.db", compute_timeout_s=10) as url:
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            f"{Path(__file__).parent}/schemathesis.toml",
        ]
        command += ["run", f"{url}/openapi.json", "--max-examples", str(EXAMPLES), "--workers", "2"]
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    report = "\n".join(line[:1_000] for line in run.stdout.splitlines())[-20_000:]  # of an address of any length, too
    assert run.returncode == 0, report
    assert all(re.search(rf"✅\s+{phase}", report) for phase in ("Examples", "Coverage", "Fuzzing", "Stateful")), report
    generated = re.search(r"(\d+) generated", report)
    assert generated is not None
    assert int(generated[1]) > 1000
