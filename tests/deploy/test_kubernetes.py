"""The manifests: what kustomize makes of them is valid, hardened, and fits the service."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from deploy.dockerfile import ROOT
from preheat.api.access import access_of
from preheat.settings import Settings, unknown_variables

MANIFESTS = ROOT / "deploy/kubernetes"
TOOLS = ROOT / ".venv-deploy/bin"
VERSIONS = ["1.27", "1.37"]
"""The oldest Kubernetes that the page on deployment promises, and the one that kubectl is of."""

EXAMPLE = "the page's"
OVERLAYS = ["production", "single", EXAMPLE]
CONNECTIONS_OF_POSTGRESQL = 100 - 3
"""max_connections and superuser_reserved_connections of PostgreSQL, by default."""
CONNECTIONS_OF_A_REPLICA = (10 + 1) + Settings.model_fields["compute_workers"].default * (2 + 1)
"""A worker has a pool and listens; each process that computes for it has two, one of them for news, and listens."""

Document = dict[str, Any]


def tool(name: str) -> str:
    """The program of this name. They are in an environment of their own: make deploy."""
    command = shutil.which(name, path=str(TOOLS))
    assert command, f"{name} is missing: make deploy"
    return command


def example(folder: Path) -> Path:
    """The overlay of a user's own that the page on deployment shows, with a digest."""
    page = (ROOT / "docs/howto/deploy.md").read_text(encoding="utf-8")
    block = re.search(r"^:caption: kustomization.yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert block
    (folder / "kustomization.yaml").write_text(block[1].replace("sha256:…", f"sha256:{'0' * 64}"), encoding="utf-8")
    shutil.copytree(MANIFESTS, folder / "preheat/deploy/kubernetes")
    return folder


@pytest.fixture(scope="module", params=OVERLAYS)
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that kustomize makes of an overlay."""
    folder = tmp_path_factory.mktemp("kustomize")
    overlay = example(folder) if request.param == EXAMPLE else MANIFESTS / "overlays" / request.param
    made = subprocess.run([tool("kubectl"), "kustomize", overlay], capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    file = folder / "manifest.yaml"
    file.write_text(made.stdout, encoding="utf-8")
    return file


@pytest.fixture
def documents(manifest: Path) -> list[Document]:
    """Its documents."""
    return list(yaml.safe_load_all(manifest.read_text(encoding="utf-8")))


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    """Those of one kind."""
    return [document for document in documents if document["kind"] == kind]


def the(documents: list[Document], kind: str) -> Document:
    """The one of its kind."""
    (found,) = of_kind(documents, kind)
    return found


def container_of(documents: list[Document]) -> Document:
    """The one container of the pods."""
    (found,) = the(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    container: Document = found
    return container


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_what_kubernetes_knows(documents: list[Document], version: str) -> None:
    """Strictly: no field that this version does not have. Two kinds are the Prometheus Operator's."""
    for document in documents:
        if document["kind"] not in {"ServiceMonitor", "PrometheusRule"}:
            kubernetes_validate.validate(document, version, strict=True)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "preheat"


def test_checkov_finds_nothing(manifest: Path) -> None:
    """But what deploy/checkov.yaml gives a reason for."""
    command = [
        tool("checkov"),
        "--config-file",
        str(ROOT / "deploy/checkov.yaml"),
        "--output",
        "json",
        "--file",
        str(manifest),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LOG_LEVEL": "ERROR"})
    found = json.loads(run.stdout)
    assert found["summary"]["passed"] > 50
    assert [(check["check_id"], check["resource"]) for check in found["results"]["failed_checks"]] == []


def test_its_settings_are_settings(documents: list[Document]) -> None:
    """And the files that they name are in the mounted Secret."""
    settings = the(documents, "ConfigMap")["data"]
    assert unknown_variables(settings) == []
    (mount,) = (mount for mount in container_of(documents)["volumeMounts"] if mount["name"] == "secrets")
    files = [value for name, value in settings.items() if name.endswith("_FILE")]
    assert files
    assert all(str(Path(file).parent) == mount["mountPath"] for file in files)


def test_a_pod_ends_in_its_own_time(documents: list[Document]) -> None:
    """It goes on answering until load balancers know; the kubelet kills only after that, with five seconds to spare."""
    settings = the(documents, "ConfigMap")["data"]
    delay_s, timeout_s = int(settings["PREHEAT_SHUTDOWN_DELAY_S"]), int(settings["PREHEAT_SHUTDOWN_TIMEOUT_S"])
    assert delay_s > 0
    pod = the(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= delay_s + timeout_s + 5


def test_everything_selects_the_pods(documents: list[Document]) -> None:
    """By their labels, and by a port that they have."""
    deployment = the(documents, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    selectors = [deployment["selector"]["matchLabels"], the(documents, "Service")["spec"]["selector"]]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind(documents, "NetworkPolicy")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind(documents, "PodDisruptionBudget")]
    assert all(selector and selector.items() <= labels for selector in selectors)
    ports = {port["name"] for port in container_of(documents)["ports"]}
    probes = [
        container_of(documents)[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "readiness", "liveness")
    ]
    assert {port["targetPort"] for port in the(documents, "Service")["spec"]["ports"]} | set(probes) == ports


def test_its_probes_are_routes(documents: list[Document], http: httpx.Client) -> None:
    """A pod starts once the database answers, and then does not depend on it: see the comment there."""
    paths = {
        name: container_of(documents)[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/readyz", "readiness": "/livez", "liveness": "/livez"}
    assert all(http.get(path).is_success for path in paths.values())


def test_who_probes_and_measures_needs_no_key(documents: list[Document]) -> None:
    """Neither the kubelet nor Prometheus is given one."""
    paths = [
        container_of(documents)[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    ]
    monitors = of_kind(documents, "ServiceMonitor")
    paths += [endpoint["path"] for monitor in monitors for endpoint in monitor["spec"]["endpoints"]]
    assert {access_of("GET", path, "anybody") for path in paths} == {"anybody"}


def test_the_operator_has_the_same_alerts() -> None:
    """As Prometheus has from a file; the first lines of the manifest say how to make it anew."""
    manifest = yaml.safe_load((MANIFESTS / "components/prometheus/prometheus_rule.yaml").read_text(encoding="utf-8"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))


def test_a_pod_has_no_more_rights_than_it_needs(documents: list[Document]) -> None:
    """Nobody's user, nothing to write to but what it keeps, no token, and no variables of other Services."""
    pod, container = the(documents, "Deployment")["spec"]["template"]["spec"], container_of(documents)
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert "memory" in container["resources"]["limits"]


def test_replicas_fit_the_database(documents: list[Document]) -> None:
    """Several with PostgreSQL, no more than it has connections for during a rollout; one with SQLite."""
    deployment = the(documents, "Deployment")["spec"]
    if not of_kind(documents, "HorizontalPodAutoscaler"):
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        return
    scaler = the(documents, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment, "the autoscaler's would be overwritten by each apply"
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert scaler["minReplicas"] > the(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"]
    assert (scaler["maxReplicas"] + 1) * CONNECTIONS_OF_A_REPLICA <= CONNECTIONS_OF_POSTGRESQL
