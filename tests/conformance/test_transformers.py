"""transformers: get_scheduler, stepped for real, against the import of the arguments that Trainer passes it."""

import warnings
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.comparison import RATES, SHARES, assert_same, imported, library, of_spec, randomly, stepped
from reference import optimizer

_cycles = st.sampled_from([0.5, 1.0, 1.5, 3.0]) | st.floats(0.05, 5)
_floor = st.fixed_dictionaries({"min_lr_rate": SHARES}) | st.fixed_dictionaries({"min_lr": st.floats(0, 1e-6)})
_shapes = st.sampled_from(["linear", "cosine", "1-sqrt"])


def _fields(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required or {}, optional=optional)


ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "linear": _fields(),
    "constant": _fields(),
    "constant_with_warmup": _fields(),
    "cosine": _fields(num_cycles=_cycles),
    "cosine_with_restarts": _fields(num_cycles=st.integers(1, 12)),
    "polynomial": _fields({"lr_end": st.floats(0, 1e-6)}, power=st.floats(0, 4) | st.just(1.0)),
    "inverse_sqrt": _fields(timescale=st.integers(1, 500)),
    "cosine_with_min_lr": st.builds(lambda floor, own: floor | own, _floor, _fields(num_cycles=_cycles)),
    "cosine_warmup_with_min_lr": st.builds(
        lambda floor, own: floor | own, _floor, _fields(num_cycles=_cycles, warmup_lr_rate=SHARES)
    ),
    "warmup_stable_decay": _fields(
        {"num_decay_steps": st.integers(0, 100)},
        decay_type=_shapes,
        warmup_type=_shapes,
        min_lr_ratio=SHARES,
        num_stable_steps=st.integers(0, 100),
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_schedule_is_that_of_get_scheduler(name: str) -> None:
    """Every LR of the run, whatever the arguments, with a warm-up of any length from 0 to the whole run."""
    transformers = library("transformers")

    @randomly
    @given(arguments=ARGUMENTS[name], lr=RATES, total=st.integers(1, 150), share=SHARES)
    def compare(arguments: dict[str, Any], lr: float, total: int, share: float) -> None:
        warmup = int(share * total)
        source = {
            "learning_rate": lr,
            "max_steps": total,
            "warmup_steps": warmup,
            "lr_scheduler_type": name,
            "lr_scheduler_kwargs": arguments,
        }
        spec = imported("transformers", source).spec
        on = optimizer(lr)
        # get_scheduler passes none of them on to a constant schedule
        own = None if name.startswith("constant") else dict(arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that num_stable_steps goes before the run's length
            scheduler = transformers.get_scheduler(name, on, warmup, total, scheduler_specific_kwargs=own)
        assert_same("transformers", of_spec(spec), stepped(on, lambda _: scheduler.step(), total))

    if name == "cosine_warmup_with_min_lr":
        compare = example(arguments={"min_lr_rate": 0.1}, lr=0.02, total=20, share=0.0)(compare)
    compare()
