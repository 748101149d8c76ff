"""Routes: recipes, the schedules that the field knows by name."""

import json
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from preheat.api.answers import etag, is_not_modified, not_modified
from preheat.api.media_types import JSON
from preheat.api.openapi_parts import NOT_MODIFIED, answers
from preheat.api.problems import responses
from preheat.api.queries import NoQuery
from preheat.errors import RecipeNotFound
from preheat.schedule import Schedule
from preheat.specs import parse_spec
from preheat.specs.recipes import Recipe, recipes

router = APIRouter(tags=["recipes"])

_AN_HOUR = "public, max-age=3600"
"""Recipes come with a version of the service and may change with the next."""


class RecipeSummary(BaseModel):
    """A recipe in the list."""

    name: str = Field(description="Name, for `recipe` in a spec.", examples=["llama-3-405b"])
    title: str = Field(description="What it trains.", examples=["Llama 3 405B, AdamW"])
    source: str = Field(description="Paper or configuration.", examples=["Dubey et al., arXiv 2407.21783 §3.4.1"])
    plot_png: str = Field(description="Its picture.", examples=["/v1/plot.png?spec=%7B%22recipe%22..."])


class RecipeAnswer(RecipeSummary):
    """A recipe."""

    notes: str = Field(description="What its units are, and what the source leaves open.", examples=[""])
    recipe: dict[str, Any] = Field(description="The spec as a user writes it.")
    spec: dict[str, Any] = Field(description="The normalised spec.")


class RecipeList(BaseModel):
    """Every recipe."""

    recipes: list[RecipeSummary] = Field(description="The recipes.")


@router.get(
    "/recipes",
    operation_id="list_recipes",
    summary="List recipes",
    responses={**answers(200, "The recipes.", RecipeList), **NOT_MODIFIED, **responses(422)},
    response_class=Response,
)
def list_recipes(request: Request, _query: Annotated[NoQuery, Query()]) -> Response:
    """Every recipe with its source and its picture."""
    return _cachable(request, {"recipes": [_summary(recipe) for recipe in recipes().values()]})


@router.get(
    "/recipes/{name}",
    operation_id="get_recipe",
    summary="A recipe",
    responses={**answers(200, "The recipe.", RecipeAnswer), **NOT_MODIFIED, **responses(404, 422)},
    response_class=Response,
)
def get_recipe(
    request: Request,
    name: Annotated[str, Path(description="Name of the recipe.", examples=["llama-3-405b"])],
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """Its spec as written and as normalised, its source, and what the source leaves open."""
    recipe = recipes().get(name)
    if recipe is None:
        raise RecipeNotFound(name, list(recipes()))
    spec = Schedule(parse_spec(json.dumps({"recipe": name}))).spec_dict
    return _cachable(request, {**_summary(recipe), "notes": recipe.notes, "recipe": recipe.spec, "spec": spec})


def _summary(recipe: Recipe) -> dict[str, Any]:
    plot = f"/v1/plot.png?spec={quote(json.dumps({'recipe': recipe.name}))}"
    return {"name": recipe.name, "title": recipe.title, "source": recipe.source, "plot_png": plot}


def _cachable(request: Request, content: dict[str, Any]) -> Response:
    body = orjson.dumps(content)
    tag = etag(body)
    if is_not_modified(request, tag):
        return not_modified(tag, _AN_HOUR)
    return Response(body, headers={"etag": tag, "cache-control": _AN_HOUR}, media_type=JSON)
