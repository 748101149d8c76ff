import pytest

from preheat.api.heaviness import asks_for_little, is_at_hand, may_be_heavy
from preheat.curve import Curve
from preheat.schedule import Schedule
from reference import REFERENCE_SPEC

ID = "630e8304e0352e14c20ae59b8f487901"
CLOSED = Curve(Schedule.of({**REFERENCE_SPEC, "total_iterations": 10**9}))
STEPPED = Curve(
    Schedule.of(
        {"target_lr": 1, "total_iterations": 10**6, "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 1}}
    )
)


def amended(scales: int) -> Curve:
    """A cosine with so many changes in force at its end."""
    amendments = [{"op": "scale", "start": 10 + n, "factor": 0.999} for n in range(scales)]
    return Curve(Schedule.of({**REFERENCE_SPEC, "total_iterations": 10**9, "amendments": amendments}))


AMENDED = amended(1000)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/schedules", True),
        ("POST", "/v1/a-route-of-tomorrow", True),
        ("GET", f"/v1/schedules/{ID}/lr", True),
        ("HEAD", f"/v1/schedules/{ID}/sum", True),
        ("GET", "/v1/schedules", True),
        ("DELETE", f"/v1/schedules/{ID}", False),
        ("OPTIONS", "/v1/schedules", False),
        *(
            (method, f"/v1/runs{path}", False)
            for method, path in (
                ("GET", ""),
                ("GET", "/r"),
                ("HEAD", "/r"),
                ("DELETE", "/r"),
                ("POST", "/r/windows"),
                ("POST", "/r/attempts"),
                ("POST", "/r/attempts/1/close"),
                ("POST", "/r/reports"),
                ("GET", "/r/events"),
                ("GET", "/r/changes"),
                ("POST", "/r/changes/c/cancel"),
                ("POST", "/r/rollback"),
                ("PUT", "/r/lock"),
                ("GET", "/r/lr/12"),
            )
        ),
        *(
            (method, f"/v1/runs{path}", True)
            for method, path in (
                ("POST", ""),
                ("POST", "/r/changes"),
                ("GET", "/r/lr"),
                ("GET", "/r/plot.png"),
                ("GET", "/r/tomorrow"),
            )
        ),
        ("GET", "/v1/recipes", False),
        ("GET", "/v1/recipes/llama-3-405b", False),
        ("GET", "/v1/recipesque", True),
        ("GET", "/livez", False),
        ("GET", "/openapi.json", False),
    ],
)
def test_what_is_not_known_to_be_cheap_may_be_heavy(method: str, path: str, *, expected: bool) -> None:
    """Below /v1 everything but recipes, deletion and what HTTP itself answers; a new route without any entry."""
    assert may_be_heavy(method, path) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", False),
        ("dry_run=true", True),
        ("a=1&dry%5Frun", True),
        ("a=dry_run", False),
        ("dry_run" + "&a" * 100, False),
    ],
)
def test_a_dry_run_computes_what_the_deed_need_not(query: str, *, expected: bool) -> None:
    """A restart is a note for the job; what it would do is a whole run."""
    assert may_be_heavy("POST", "/v1/runs/r/rollback", query.encode()) == expected


@pytest.mark.parametrize(
    ("curve", "rest", "query", "expected"),
    [
        (CLOSED, "/lr/999999999", "", True),
        (CLOSED, "/lr/none", "", True),  # refused, which takes no time
        (CLOSED, "/lr", "", False),
        (CLOSED, "/lr", "start=10&stop=5010", True),
        (CLOSED, "/lr", "start=10&stop=5011", False),
        (CLOSED, "/lr", "step=1000000", True),
        (CLOSED, "/lr", "step=0", True),
        (CLOSED, "/lr", "stop=10" + "&a=1" * 99, True),
        (CLOSED, "/lr", "stop=10" + "&a=1" * 100, False),
        (CLOSED, "/lr", "start=999999990&stop=99999999999999", True),
        (CLOSED, "/at", "epoch=3", True),
        (CLOSED, "", "lint=false", True),
        (CLOSED, "", "", False),
        (STEPPED, "/lr/4095", "", True),
        (STEPPED, "/lr/4096", "", False),
        (STEPPED, "/lr", "start=0&stop=1000", True),
        (STEPPED, "/lr", "start=4000&stop=5000", False),
        (STEPPED, "/at", "epoch=3", False),
        (AMENDED, "/lr/999999999", "", True),
        (AMENDED, "/lr", "stop=1000", True),
        (AMENDED, "/lr", "stop=1001", False),
    ],
)
def test_little_of_a_light_schedule_is_at_hand(curve: Curve, rest: str, query: str, *, expected: bool) -> None:
    """Up to 5,000 values of a closed form, or of blocks that are near; a picture never."""
    path = f"/v1/schedules/{ID}{rest}"
    assert asks_for_little(path)
    assert is_at_hand(curve, path, query.encode(), "application/json, text/csv") == expected
    if rest == "/lr" and "step=0" not in query:
        assert not is_at_hand(curve, path, query.encode(), "image/png")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, True),
        ("*/*", True),
        ("text/csv, image/png;q=0.5", True),
        ("audio/mpeg", True),  # refused
        ("image/png", False),
        ("IMAGE/PNG", False),
        ("Image/*", False),
        ("application/json;q=0, */*", False),
    ],
)
def test_what_would_be_drawn_is_not_at_hand(accept: str | None, *, expected: bool) -> None:
    """However Accept asks for it (RFC 9110 §12.5.1: types have no case, ranges may leave only pictures)."""
    assert is_at_hand(CLOSED, f"/v1/schedules/{ID}/lr", b"start=0&stop=10", accept) == expected


@pytest.mark.parametrize("rest", ["/sum", "/crossing", "/export", "/plot.png", "/resume", "/lrs"])
def test_all_else_asks_for_much(rest: str) -> None:
    """What reads, draws or writes down a whole schedule is never at hand."""
    assert not asks_for_little(f"/v1/schedules/{ID}{rest}")


def test_a_thousand_amendments_are_light_and_more_are_not() -> None:
    """Their text is long, but a point is quick; it is that of the closed form times every factor in force."""
    assert (AMENDED.is_light, amended(1001).is_light) == (True, False)
    row, plain = AMENDED.row_at_hand(10**8), CLOSED.lr(10**8)
    assert row == pytest.approx([lr * 0.999**1000 for lr in plain], rel=1e-9)
    steps = {"type": "MultiStepLR", "milestones": list(range(1, 1000))}
    groups = [{"name": f"g{n}", "after_scheduler": steps} for n in range(6)]
    long = {"target_lr": 0.1, "total_iterations": 10_000, "param_groups": groups}
    few = [{"op": "scale", "start": 10, "factor": 0.5}]
    assert not Curve(Schedule.of({**long, "amendments": few})).is_light
