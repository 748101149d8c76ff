"""Preview of a change or a restart for a person: the run before and after it, as a table, and what lint says."""

from collections.abc import Iterator, Mapping
from typing import Any

from preheat.cli.output import print_table, remark, say
from preheat.cli.runs.words import number, operation_words, span_words

_MOST_COLUMNS = 8


def print_preview(preview: Mapping[str, Any], what: str) -> None:
    """What a change would do if it were made now."""
    say(f"{what}, {preview['effect']['text']}")
    _print_sides(preview)
    for reason in preview["needs_confirmation"]:
        remark(f"out of the ordinary: {reason}")


def print_restart(run: Mapping[str, Any], preview: Mapping[str, Any]) -> None:
    """What a restart would do to a run if its job made it now."""
    first = number(preview["effect"]["iteration"])
    say(f"{run['label']}: restart at iteration {first}; the next is {number(run['position'])} now")
    rows = [(each["change"]["id"], *_moved(each)) for each in preview["changes"]]
    if not rows:
        say("no change begins there or later, and none before it goes: what follows is as it was")
        return
    print_table(("change", "what", "iterations", "then"), rows)
    _print_sides(preview)


def _moved(each: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a change does, where it stands, and where it would."""
    change, reason = each["change"], each["reason"]
    then = span_words(each) or each["kind"]
    return operation_words(change["operation"]), span_words(change), then if reason is None else f"{then}: {reason}"


def _print_sides(preview: Mapping[str, Any]) -> None:
    """The run before and after what would be, and what lint says of it."""
    before, after = preview["before"], preview["after"]
    columns = _columns(before, after)
    shown = columns[:_MOST_COLUMNS]
    headings: tuple[str, ...] = ("iteration", "column", "before", "after", "change")
    rows = [*_rows(preview, shown), _last(before, after)]
    if len(columns) == 1:  # its name says nothing
        headings, rows = (headings[0], *headings[2:]), [(row[0], *row[2:]) for row in rows]
    print_table(headings, rows, are_numbers=True)
    if len(columns) > len(shown):
        say(f"{len(columns) - len(shown):,} more columns: --json has them all")
    for finding in preview["lint"] or ():
        if finding["severity"] == "info":  # of the base as much as of the change
            continue
        place = "" if finding["iteration"] is None else f" at iteration {number(finding['iteration'])}"
        say(f"{finding['severity']} {finding['rule']}{place}: {finding['detail']}")


def _columns(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of the columns, those that change first."""
    names = dict.fromkeys(name for side in (before, after) for values in side["values"].values() for name in values)
    return sorted(names, key=lambda name: all(_values(before, after, n, name)[2] for n in _iterations(before, after)))


def _rows(preview: Mapping[str, Any], columns: list[str]) -> Iterator[tuple[str, ...]]:
    before, after = preview["before"], preview["after"]
    effect = preview["effect"]["iteration"]
    for n in _iterations(before, after):
        for name in columns:
            was, will, _ = _values(before, after, n, name)
            place = number(int(n)) + (" (from here)" if int(n) == effect else "")
            yield (place, name, _shown(was), _shown(will), _ratio(was, will))
    if before["sums"] is not None and after["sums"] is not None:
        for name in columns:
            was, will = before["sums"].get(name), after["sums"].get(name)
            yield ("sum from there", name, _rounded(was), _rounded(will), _ratio(was, will))


def _last(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    was, will = before["total_iterations"], after["total_iterations"]
    return ("last iteration", "", number(was), number(will), "" if was == will else f"{will - was:+,}")


def _iterations(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return sorted({*before["values"], *after["values"]}, key=int)


def _values(before: Mapping[str, Any], after: Mapping[str, Any], n: str, name: str) -> tuple[Any, Any, bool]:
    was, will = (side["values"].get(n, {}).get(name) for side in (before, after))
    return was, will, was == will


def _shown(value: float | None) -> str:
    return "" if value is None else repr(value)


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _ratio(was: float | None, will: float | None) -> str:
    """How much more or less, as a factor; nothing where there is no change, or nothing to compare."""
    if was is None or will is None or was == will:
        return ""
    return f"×{will / was:.4g}" if was else f"{will:+.4g}"
