"""The OpenAPI document is valid, and what it says is what the service does."""

from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    """The OpenAPI document."""
    content: dict[str, Any] = http.get("/openapi.json").json()
    return content


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by its id."""
    return {
        operation["operationId"]: operation for methods in document["paths"].values() for operation in methods.values()
    }


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """By openapi-spec-validator."""
    validate(document)


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    """Generated clients are named after them."""
    assert set(operations(document)) == {
        "create_schedule",
        "list_schedules",
        "get_schedule",
        "get_window",
        "get_lr",
        "plot_schedule_png",
        "plot_schedule_svg",
        "plot_spec_png",
        "plot_spec_svg",
        "get_lr_at",
        "sum_lr",
        "find_crossing",
        "diff_schedules",
        "resume_with",
        "lint_spec",
        "list_recipes",
        "get_recipe",
        "import_schedule",
        "export_schedule",
        "livez",
        "readyz",
    }


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    """Everything that a user can send has a description and an example."""
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        for field, content in schema.get("properties", {}).items():
            if field != "type" and "const" not in content and name not in {"Problem", "ProblemError"}:
                assert content.get("description"), f"{name}.{field}"
    for name, operation in operations(document).items():
        for parameter in operation.get("parameters", []):
            described = {**parameter["schema"], **parameter}
            assert described.get("description"), f"{name}: {parameter['name']}"
            assert "examples" in described, f"{name}: {parameter['name']}"


def test_every_operation_documents_its_problems(document: dict[str, Any]) -> None:
    """Each error status has the problem document as its content."""
    for name, operation in operations(document).items():
        errors = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
        assert {"405", "500"} <= set(errors), name
        for answer in errors.values():
            assert list(answer["content"]) == ["application/problem+json"], name
