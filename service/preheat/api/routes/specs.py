"""Routes: specs that are not stored: what lint says about one, and recipes to start from."""

import json
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response

from preheat.api.caching import REVALIDATE, conditional, response
from preheat.api.dependencies import Context, JSONBody
from preheat.api.models import LintAnswer, RecipeAnswer, RecipeList, RecipeSummary
from preheat.api.openapi import NOT_MODIFIED, SPEC_BODY, answer, problems
from preheat.api.queries import NoQuery
from preheat.errors import RecipeNotFound
from preheat.lint import refusals
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, parse_spec
from preheat.specs.recipes import Recipe, recipes

router = APIRouter(default_response_class=Response)


@router.post(
    "/lint",
    tags=["lint"],
    operation_id="lint_spec",
    summary="What a spec does that its author may not have meant",
    openapi_extra=SPEC_BODY,
    responses={**answer("The findings.", LintAnswer), **problems(413, 415, 422, 503)},
)
def lint_spec(context: Context, body: JSONBody, _query: Annotated[NoQuery, Query()]) -> Response:
    """Findings about a valid spec, or an error for each rule that it breaks; nothing is stored."""
    try:
        schedule = context.schedule(parse_spec(body, context.deadline.check))
    except InvalidSpec as error:
        findings = refusals(error)  # what other routes answer 422 for is what this one is asked for
    else:
        findings = context.lint(context.catalogue.curve_of(schedule))
    is_valid = all(finding.severity != "error" for finding in findings)
    return response(LintAnswer(is_valid=is_valid, findings=findings))


@router.get(
    "/recipes",
    tags=["recipes"],
    operation_id="list_recipes",
    summary="List recipes",
    responses={**answer("The recipes.", RecipeList), **NOT_MODIFIED, **problems(422)},
)
def list_recipes(context: Context, _query: Annotated[NoQuery, Query()]) -> Response:
    """Every recipe with its source and its picture."""
    body = RecipeList(recipes=[_summary(recipe, context.root_path) for recipe in recipes().values()]).model_dump_json()
    return conditional(context.request, context.etag(body), lambda: body, REVALIDATE)


@router.get(
    "/recipes/{name}",
    tags=["recipes"],
    operation_id="get_recipe",
    summary="A recipe",
    responses={**answer("The recipe.", RecipeAnswer), **NOT_MODIFIED, **problems(404, 422)},
)
def get_recipe(
    context: Context,
    name: Annotated[str, Path(description="Name of the recipe.", examples=["llama-3-405b"])],
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """Its spec as written and as normalised, its source, and what the source leaves open."""
    recipe = recipes().get(name)
    if recipe is None:
        raise RecipeNotFound(name, list(recipes()))
    spec = Schedule.of({"recipe": name}).spec_dict
    whole = RecipeAnswer(
        **_summary(recipe, context.root_path).model_dump(), notes=recipe.notes, recipe=recipe.spec, spec=spec
    )
    body = whole.model_dump_json()
    return conditional(context.request, context.etag(body), lambda: body, REVALIDATE)


def _summary(recipe: Recipe, root_path: str) -> RecipeSummary:
    plot = f"{root_path}/v1/plot.png?spec={quote(json.dumps({'recipe': recipe.name}))}"
    return RecipeSummary(name=recipe.name, title=recipe.title, source=recipe.source, plot_png=plot)
