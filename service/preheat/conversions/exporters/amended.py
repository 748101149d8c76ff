"""Amended: a schedule with amendments as functions of plain Python, for a script; one for each param group."""

from collections.abc import Callable
from typing import Any

from preheat.specs import Spec
from preheat.specs.amending import amended_columns, held_from, lengths, moved_by, origin
from preheat.specs.amendments import (
    CooldownAmendment,
    ExtendAmendment,
    HoldAmendment,
    ReplaceAmendment,
    RewarmAmendment,
    ScaleAmendment,
)

FALLS = """FALLS = {
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "1-sqrt": lambda x: 1 - math.sqrt(x),
}


def amended(n, group, base, last, amendments):
    # base[group](n), held past `last`, and what every amendment does with it in turn
    later = []
    for index in range(len(amendments) - 1, -1, -1):
        kind, start, stop, groups, fields = amendments[index]
        if not start <= n < stop or group not in groups:
            continue
        if kind == "extend":
            end, by = fields
            n = n if n <= end else max(end, n - by)
        elif kind == "freeze":
            n = fields
        elif kind == "hold":
            value = fields[group]
            break
        elif kind == "replace":
            functions, origin, end = fields
            value = functions[group](min(n - origin, end))
            break
        elif kind == "cooldown":
            iterations, to, shape = fields
            top = amended(max(start - 1, 0), group, base, last, amendments[:index])
            value = to + (top - to) * FALLS[shape](min((n - start + 1) / iterations, 1.0))
            break
        else:
            later.append((kind, n - start + 1, fields))
    else:
        value = base[group](min(n, last))
    for kind, own, fields in reversed(later):
        if kind == "scale":
            factor, floors = fields
            value = value * factor if floors is None else min(value, max(value * factor, floors[group]))
        else:
            iterations, start_factor = fields
            value = value * (start_factor + (1.0 - start_factor) * (own / iterations))
    return value


"""


def amended_functions(spec: Spec, formulas: Callable[[Spec], list[str]], name: str = "lr") -> str:
    """Definitions of `{name}_0(n)`, `{name}_1(n)`, …: the LR of each param group. Raises NotExpressible.

    `formulas` gives those of a spec without its amendments, as Python; `FALLS` must stand before them.
    """
    groups = range(len(spec.group_names))
    if not spec.amendments:
        return "".join(
            f"def {name}_{i}(n):\n    return {formula}\n\n\n" for i, formula in zip(groups, formulas(spec), strict=True)
        )
    base = spec.model_copy(update={"amendments": None})
    parts = [amended_functions(base, formulas, f"{name}_base")]
    entries = []
    for index, (amendment, before) in enumerate(zip(spec.amendments, lengths(spec), strict=False)):
        own = f"{name}_{index}_base"
        if isinstance(amendment, ReplaceAmendment):
            parts.append(amended_functions(amendment.schedule, formulas, own))
        entries += _entry(spec, amendment, before, own)
    listed = "".join(f"    {entry},\n" for entry in entries)
    parts.append(
        f"{name.upper()}_AMENDMENTS = [\n{listed}]\n{name.upper()}_BASE = {_names(f'{name}_base', len(groups))}\n\n\n"
    )
    parts += [
        f"def {name}_{i}(n):\n"
        f"    return amended(n, {i}, {name.upper()}_BASE, {spec.total_iterations}, {name.upper()}_AMENDMENTS)\n\n\n"
        for i in groups
    ]
    return "".join(parts)


def _entry(spec: Spec, amendment: Any, before: int, own: str) -> list[str]:
    """An amendment as a tuple: kind, start, stop, groups, fields; none where it changes no LR."""
    count = len(spec.group_names)
    # The LRs are the first columns, in the order of the groups.
    groups = [column for column in amended_columns(spec.columns, amendment) if column < count]
    start = amendment.start
    match amendment:
        case ExtendAmendment(moved_from=int(last)):
            start = 0 if amendment.moved_by is None else start
            groups, fields = list(range(count)), f"({last}, {moved_by(amendment, before)})"
        case ExtendAmendment() if start > (held := held_from(amendment, before)) + 1:
            return [repr(("freeze", held + 1, start, list(range(count)), held))]
        case ScaleAmendment():
            floors = None if amendment.floor is None else _by_group(spec, groups, amendment.floor)
            fields = f"({amendment.factor!r}, {floors!r})"
        case HoldAmendment():
            fields = repr(_by_group(spec, groups, amendment.value))
        case ReplaceAmendment():
            last = amendment.schedule.amended_total_iterations
            fields = f"({_names(own, count)}, {origin(amendment)}, {last})"
        case RewarmAmendment():
            # At its last iteration nothing is multiplied.
            end = start + amendment.iterations - 1
            stop = end if amendment.stop is None else min(end, amendment.stop)
            return [repr(("rewarm", start, stop, groups, (amendment.iterations, amendment.start_factor)))]
        case CooldownAmendment():
            fields = repr((amendment.iterations, amendment.to, amendment.shape))
        case _:
            return []
    stop_text = "math.inf" if amendment.stop is None else str(amendment.stop)
    return [f"({amendment.op!r}, {start}, {stop_text}, {groups}, {fields})"] if groups else []


def _by_group(spec: Spec, groups: list[int], value: Any) -> dict[int, float]:
    names = spec.group_names
    return {group: value[names[group]] if isinstance(value, dict) else float(value) for group in groups}


def _names(name: str, count: int) -> str:
    return f"[{', '.join(f'{name}_{index}' for index in range(count))}]"
