"""The OpenAPI document is valid, and what it says is what the service does."""

import copy
from typing import Any

import httpx
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from reference import REFERENCE_SPEC
from rest import posted_id


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
    """The document is valid by openapi-spec-validator."""
    validate(document)


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    """Generated clients name their functions after operation ids, which therefore stay."""
    assert set(operations(document)) == {
        "create_schedule",
        "list_schedules",
        "get_schedule",
        "delete_schedule",
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
        "create_run",
        "list_runs",
        "get_run",
        "delete_run",
        "attach",
        "list_attempts",
        "close_attempt",
        "ask_window",
        "report",
        "get_reports",
        "change_run",
        "list_changes",
        "get_change",
        "cancel_change",
        "roll_back",
        "withdraw_rollback",
        "fork_run",
        "finish_run",
        "lock_run",
        "list_controllers",
        "add_controller",
        "remove_controller",
        "get_run_window",
        "get_run_lr",
        "get_events",
        "plot_run_png",
        "plot_run_svg",
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


JSON_ROUTES = {
    "create_schedule": "/v1/schedules?start=3",
    "list_schedules": "/v1/schedules?limit=3",
    "get_schedule": "/v1/schedules/{id}",
    "get_window": "/v1/schedules/{id}/lr?start=3",
    "get_lr": "/v1/schedules/{id}/lr/3",
    "get_lr_at": "/v1/schedules/{id}/at?iteration=3",
    "sum_lr": "/v1/schedules/{id}/sum",
    "find_crossing": "/v1/schedules/{id}/crossing?value=9",
    "diff_schedules": "/v1/diff?a={id}&b={id}",
    "resume_with": "/v1/schedules/{id}/resume?iteration=3",
    "lint_spec": "/v1/lint",
    "list_recipes": "/v1/recipes",
    "get_recipe": "/v1/recipes/llama-3-405b",
    "livez": "/livez",
    "readyz": "/readyz",
}
WITH_MOMENTUM: dict[str, Any] = {
    **REFERENCE_SPEC,
    "hyperparameters": {"momentum": {"value": 0.9, "warmup": {"iterations": 5}}},
}


@pytest.mark.parametrize("operation_id", JSON_ROUTES)
def test_an_answer_has_the_fields_of_its_model(http: httpx.Client, document: Any, operation_id: str) -> None:
    """Answers are valid by the document's schema and have no field that it has not, those written by hand too."""
    closed = copy.deepcopy(document["components"])
    for schema in closed["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    place = JSON_ROUTES[operation_id].replace("{id}", posted_id(http, WITH_MOMENTUM))
    operation = operations(document)[operation_id]
    answer = http.post(place, json=WITH_MOMENTUM) if "requestBody" in operation else http.get(place)
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    OAS31Validator({**schema, "components": closed}).validate(answer.json())


def test_a_posted_schedule_has_every_field(http: httpx.Client, document: Any) -> None:
    """With and without LRs: what is not there is null."""
    schema = document["components"]["schemas"]["ScheduleWindowAnswer"]
    for query in ("", "?stop=0"):
        assert set(http.post(f"/v1/schedules{query}", json=WITH_MOMENTUM).json()) == set(schema["properties"])
    assert set(schema["required"]) == set(schema["properties"])
    assert "empty" in schema["properties"]["lint"]["description"]


@pytest.mark.parametrize(
    ("model", "field", "bounds"),
    [
        ("Units", "dataset_size", {"minimum": 1, "maximum": 10**12}),
        ("LayerDecay", "layers", {"minimum": 1, "maximum": 250}),
        ("RangeTestLR", "start_lr", {"exclusiveMinimum": 0, "maximum": 1e6}),
        ("StepLR", "gamma", {"minimum": 0, "maximum": 1e6}),
    ],
)
def test_bounds_have_json_schemas_names(document: dict[str, Any], model: str, field: str, bounds: Any) -> None:
    """Also behind a validator, where pydantic writes ge and le, which no reader of JSON Schema knows."""
    schema = document["components"]["schemas"][model]["properties"][field]
    schema = schema.get("anyOf", [schema])[0]
    assert {name: schema.get(name) for name in bounds} == bounds
    assert not {"ge", "gt", "le", "lt"} & set(schema)
