"""Memory: what a service takes at most, as the page for operators adds it up, fits the containers that it is given."""

import math
import re
from typing import Any

import pytest
import yaml

from deploy.dockerfile import ROOT
from preheat.settings import Settings

MB, GB = 10**6, 10**9
UNITS = {"Mi": 2**20, "Gi": 2**30, "m": 2**20, "g": 2**30}
"""Of Kubernetes, and of compose, whose units are powers of two as well."""

PAGE = (ROOT / "docs/howto/operate.md").read_text(encoding="utf-8")
WORKER_BYTES = 330 * MB
COMPUTING_BYTES = 280 * MB
"""Measured: a worker with torch, and the processes that compute for it, before they do."""


def bytes_of(text: str) -> int:
    """A size as manifests write it."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def kubernetes() -> tuple[dict[str, str], str, int]:
    """Environment, limit and folders in memory of the pod; overlays change none of them."""
    pod: Any = yaml.safe_load((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text(encoding="utf-8"))
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    for overlay in (ROOT / "deploy/kubernetes/overlays").rglob("*.yaml"):
        text = overlay.read_text(encoding="utf-8")
        assert not re.search(r"PREHEAT_(WORKERS|COMPUTE_|CURVE_|PICTURE_)|limits:", text), overlay
    return {}, container["resources"]["limits"]["memory"], 0


def compose() -> tuple[dict[str, str], str, int]:
    """The same of the compose file, where what is in /tmp counts too."""
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))["services"]["preheat"]
    folders = [re.search(r"size=(\w+)", mount)[1] for mount in service["tmpfs"]]  # type: ignore[index]
    return service["environment"], service["deploy"]["resources"]["limits"]["memory"], sum(map(bytes_of, folders))


def most_bytes(settings: Settings) -> int:
    """What the page adds up, for all workers."""
    own = WORKER_BYTES + settings.curve_cache_bytes + settings.picture_cache_bytes
    computing = COMPUTING_BYTES + settings.compute_workers * settings.compute_memory_bytes
    return settings.workers * (own + computing)


@pytest.mark.parametrize("deployed", [kubernetes, compose])
def test_the_most_that_a_service_takes_fits_its_container(deployed: Any) -> None:
    """With bodies that are arriving, answers that clients are slow to read, and folders in memory."""
    environment, limit, folders = deployed()
    chosen = {name.removeprefix("PREHEAT_").lower(): value for name, value in environment.items()}
    settings = Settings(**{name: value for name, value in chosen.items() if not name.endswith("_file")})
    on_their_way = settings.workers * (settings.max_arriving_bytes + settings.max_unsent_bytes)
    assert most_bytes(settings) + on_their_way + folders <= bytes_of(limit)


def test_the_page_adds_up_the_defaults() -> None:
    """Each part rounded up to a tenth of a gigabyte, and what they were measured to be."""
    settings = Settings()
    own = WORKER_BYTES + settings.curve_cache_bytes + settings.picture_cache_bytes
    tenths = [math.ceil(part / GB * 10) for part in (own, most_bytes(settings) - own)]
    total, of_itself, computing = (f"{count / 10:.1f} GB" for count in (sum(tenths), *tenths))
    text = " ".join(PAGE.split())
    assert f"a worker takes {total} at most, {of_itself} for itself and its caches and {computing} for two pro" in text
    assert f"{WORKER_BYTES // MB} MB, of which" in text
    assert f"{COMPUTING_BYTES // MB} MB together at first" in text
