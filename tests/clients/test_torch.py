"""RemoteLR where a torch scheduler stands, with real torch optimizers and a real service."""

import copy
import gc
import importlib
import math
import weakref
from typing import Any

import pytest
import torch
from torch.optim import Adam

from preheat_client import IterationOutOfRange, ParamGroupMismatch, Preheat, ScheduleMismatch
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer, torch_stepped
from running_service import free_port, service, wait_until

GROUPS = [{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]


def named(*names: str | None) -> torch.optim.SGD:
    """An optimizer with named param groups."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], **({"name": name} if name else {})} for name in names]
    return torch.optim.SGD(groups, lr=1.0)


def lrs(of: Any) -> list[float]:
    """The LR of each param group."""
    return [float(group["lr"]) for group in of.param_groups]


def test_updates_count_from_1_by_default(preheat: Preheat) -> None:
    """Construction sets lr[1], each step the next: update n runs at lr[n]."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        assert scheduler.get_last_lr() == lrs(on)
        on.step()
        scheduler.step()
    assert used == list(REFERENCE_ROWS)


def test_loops_that_count_from_0_start_at_lr_0(preheat: Preheat) -> None:
    """With first_iteration=0 update k runs at lr[k]."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC), first_iteration=0)
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        on.step()
        scheduler.step()
    assert used == ["0.0", *REFERENCE_ROWS[:-1]]


def test_step_of_an_iteration_sets_that_one(preheat: Preheat) -> None:
    """`step(n)` before update n sets lr[n], in any order."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for n in (5, 20, 1, 13):
        scheduler.step(n)
        assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[n - 1]


@pytest.mark.parametrize("strict", [False, True])
def test_the_step_after_the_last_update_is_no_overrun(url: str, strict: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A loop of exactly total_iterations updates ends without a word; one more update is an overrun."""
    with Preheat(url, strict=strict) as preheat:
        on = optimizer(1.0)
        scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
        caplog.clear()
        for _ in range(20):
            on.step()
            scheduler.step()
        assert lrs(on) == [0.0]
        assert caplog.records == []
        on.step()
        if strict:
            with pytest.raises(IterationOutOfRange):
                scheduler.step()
        else:
            scheduler.step()
            assert "iteration 21 is past the end (20)" in caplog.text


def test_a_saved_run_resumes_where_it_was(preheat: Preheat) -> None:
    """New objects that load the states of any iteration read exactly the LRs that were to come."""
    schedule = preheat.create(REFERENCE_SPEC)
    for stop in range(20):
        on = Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = RemoteLR(on, schedule)
        for _ in range(stop):
            on.step()
            scheduler.step()
        saved = copy.deepcopy((on.state_dict(), scheduler.state_dict()))
        resumed_on = Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
        resumed = RemoteLR(resumed_on, preheat.schedule(schedule.id))
        resumed.load_state_dict(saved[1])
        resumed_on.load_state_dict(saved[0])
        used = []
        for _ in range(stop, 20):
            used.append(str(resumed_on.param_groups[0]["lr"]))
            resumed_on.step()
            resumed.step()
        assert used == list(REFERENCE_ROWS[stop:])


def test_the_state_of_another_schedule_is_refused(preheat: Preheat) -> None:
    """The error says how to change schedules on purpose."""
    state = RemoteLR(optimizer(1.0), preheat.create(REFERENCE_SPEC)).state_dict()
    other = RemoteLR(optimizer(1.0), preheat.create({**REFERENCE_SPEC, "target_lr": 0.02}))
    with pytest.raises(ScheduleMismatch, match="construct RemoteLR with first_iteration=1"):
        other.load_state_dict(state)


def test_named_groups_are_matched_by_name(preheat: Preheat) -> None:
    """Their order in the optimizer does not matter."""
    schedule = preheat.create({**REFERENCE_SPEC, "param_groups": GROUPS})
    on = named("head", "backbone")
    scheduler = RemoteLR(on, schedule)
    scheduler.step(10)
    assert lrs(on) == scheduler.get_last_lr() == [0.01, 0.001]


@pytest.mark.parametrize("groups", [[{"target_lr": 0.001}, {}], GROUPS])
def test_unnamed_groups_are_matched_by_position(preheat: Preheat, groups: list[dict[str, Any]]) -> None:
    """Order counts if the optimizer or the schedule has no names."""
    on = named(None, None)
    RemoteLR(on, preheat.create({**REFERENCE_SPEC, "param_groups": groups})).step(10)
    assert lrs(on) == [0.001, 0.01]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((None,), "the optimizer has 1 param groups, the schedule has 2"),
        ((None, None, None), "the optimizer has 3 param groups"),
        (("head", "backbone", "neck"), "named head, backbone, neck, the schedule's backbone, head"),
        (("head", "body"), r"named head, body, the schedule's backbone, head"),
        (("head", None), r"named head, None"),
    ],
)
def test_other_param_groups_are_refused_at_construction(
    preheat: Preheat, names: tuple[str | None, ...], message: str
) -> None:
    """They raise before any LR is set."""
    schedule = preheat.create({**REFERENCE_SPEC, "param_groups": GROUPS})
    on = named(*names)
    with pytest.raises(ParamGroupMismatch, match=message):
        RemoteLR(on, schedule)
    assert lrs(on) == [1.0] * len(names)


def test_tensor_lrs_are_filled_in_place(preheat: Preheat) -> None:
    """The Tensor stays the same object."""
    lr = torch.tensor(1.0, dtype=torch.float64)
    on = Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    held = on.param_groups[0]["lr"]
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for row in REFERENCE_ROWS:
        assert on.param_groups[0]["lr"] is held
        assert str(held.item()) == row
        on.step()
        scheduler.step()


@pytest.mark.parametrize(
    ("groups", "spec", "keywords"),
    [
        ([{"name": "a"}, {"name": "b"}], {"param_groups": [{"name": "a", "factor": 0.5}, {"name": "b"}]}, {}),
        ([{"lr_scale": 0.5}, {}], {}, {"group_lrs": "scale"}),
    ],
)
def test_groups_that_share_a_tensor_lr_run_at_their_own(
    preheat: Preheat, groups: list[dict[str, Any]], spec: dict[str, Any], keywords: dict[str, Any]
) -> None:
    """Torch hands the Tensor of `lr=` to every param group, also to one that is added; each gets one of its own."""
    made = [{"params": [torch.zeros(1, requires_grad=True)], **group} for group in groups]
    on = torch.optim.SGD(made, lr=torch.tensor(1.0, dtype=torch.float64))
    scheduler = RemoteLR(on, preheat.create({**REFERENCE_SPEC, **spec}), **keywords)
    for row in REFERENCE_ROWS:
        assert lrs(on) == [float(row) / 2, float(row)]
        on.step()
        scheduler.step()
    copied = copy.deepcopy(on)
    RemoteLR(copied, preheat.create({**REFERENCE_SPEC, **spec}), **keywords)
    assert lrs(copied) == [0.0005, 0.001]


@pytest.mark.parametrize("first", [None, "1", 1.5])
def test_a_first_iteration_that_is_no_whole_number_is_named(preheat: Preheat, first: Any) -> None:
    """Also where the optimizer has nothing to compare it with yet."""
    with pytest.raises(TypeError, match=r"first_iteration \(.*\) must be a whole number"):
        RemoteLR(optimizer(1.0), preheat.create(REFERENCE_SPEC), first)


def test_an_iteration_that_is_no_whole_number_is_named(preheat: Preheat) -> None:
    """By the argument's name, as where the scheduler is made."""
    remote = RemoteLR(optimizer(1.0), preheat.create(REFERENCE_SPEC))
    with pytest.raises(TypeError, match=r"cur_iteration \('7'\) must be a whole number"):
        remote.step("7")  # type: ignore[arg-type]


def test_an_int_lr_becomes_a_float(preheat: Preheat) -> None:
    """An optimizer that was built with lr=1 gets a float."""
    on = optimizer(1)
    RemoteLR(on, preheat.create(REFERENCE_SPEC))
    assert lrs(on) == [0.001]


HYPER_SPEC = {
    "target_lr": 0.1,
    "total_iterations": 20,
    "warmup": {"iterations": 10},
    "param_groups": [{"name": "a"}, {"name": "b", "factor": 0.5}],
    "hyperparameters": {
        "momentum": {"value": 0.9, "warmup": {"iterations": 20, "start_lr": 0.5}},
        "weight_decay": {"value": 0.4, "warmup": {"iterations": 20}, "param_groups": ["b"]},
        "gradient_clip": {"value": 2.0, "after_scheduler": {"type": "StepLR", "step_size": 10}},
    },
}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_other_hyperparameters_are_set_with_the_lr(url: str, optimizer: Any) -> None:
    """Momentum or β1 and weight decay are set, and a clip is for the loop to read."""
    groups = [{"params": [torch.zeros(1)], "name": name} for name in ("b", "a")]
    on = optimizer(groups, lr=1.0, weight_decay=0.0)
    with Preheat(url) as preheat:
        remote = RemoteLR(on, preheat.create(HYPER_SPEC))
        for update in range(1, 21):
            b, a = on.param_groups
            assert (a["lr"], b["lr"]) == pytest.approx((0.1 * min(update / 10, 1), 0.05 * min(update / 10, 1)))
            momenta = [group["momentum"] if "momentum" in group else group["betas"][0] for group in (a, b)]
            assert momenta == pytest.approx([0.5 + 0.4 * update / 20] * 2)
            assert (a["weight_decay"], b["weight_decay"]) == pytest.approx((0.0, 0.4 * update / 20))
            assert remote.get_last_hyperparameters()["gradient_clip"]["a"] == pytest.approx(2.0 * 0.1 ** (update // 10))
            on.step()
            remote.step()


def test_a_hyperparameter_that_the_optimizer_lacks_is_refused_at_construction(url: str) -> None:
    """RMSprop-like optimizers without momentum or betas cannot follow OneCycleLR's momentum."""
    on = torch.optim.Adagrad([torch.zeros(1)], lr=1.0)
    spec = {"target_lr": 0.1, "total_iterations": 20, "after_scheduler": {"type": "OneCycleLR", "max_lr": 0.3}}
    with Preheat(url) as preheat, pytest.raises(ParamGroupMismatch, match="sets momentum, which the optimizer's"):
        RemoteLR(on, preheat.create(spec))


def test_a_single_group_with_other_hyperparameters_still_reads_a_number(url: str) -> None:
    """lr(n) is a float; the rest is asked for apart, across windows too."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 200_000,
        "hyperparameters": {"momentum": {"value": 0.9, "warmup": {"iterations": "100%"}}},
    }
    with Preheat(url, on_outage="raise") as preheat:
        schedule = preheat.create(spec)
        for n in (0, 1, 1023, 1024, 150_000, 5):
            assert schedule.lr(n) == 0.1
            assert schedule.hyperparameters(n) == [0.9 * n / 200_000]
        assert schedule.hyperparameter_columns == (("default", "momentum"),)
        assert list(schedule.lrs(3, 5)) == [0.1, 0.1]


def test_beta2_is_the_second_of_the_betas(url: str) -> None:
    """beta1 and beta2 are set by name, each in its place, and the other stays."""
    on = torch.optim.AdamW([torch.zeros(1)], lr=1.0, betas=(0.5, 0.6))
    spec = {
        "target_lr": 0.1,
        "total_iterations": 20,
        "hyperparameters": {"beta2": {"value": 0.999, "warmup": {"iterations": 20, "start_lr": 0.9}}},
    }
    with Preheat(url) as preheat:
        remote = RemoteLR(on, preheat.create(spec))
        remote.step(10)
        assert on.param_groups[0]["betas"] == (0.5, pytest.approx(0.9495))
    assert remote.get_last_hyperparameters() == {"beta2": {"default": pytest.approx(0.9495)}}


def test_it_is_a_torch_scheduler(preheat: Preheat) -> None:
    """It is an LRScheduler with optimizer, base LRs and last_epoch, and in no cycle of references."""
    gc.collect()
    gc.disable()
    try:
        on = optimizer(1.0)
        scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
        assert (scheduler.optimizer, scheduler.last_epoch, scheduler.base_lrs) == (on, 1, [1.0])
        assert scheduler.get_lr() == scheduler.get_last_lr() == [0.001]
        gone = weakref.ref(scheduler)
        del scheduler
        assert gone() is None
    finally:
        gc.enable()
    fake = type("Fake", (), {"param_groups": [], "register_step_post_hook": print})()
    with pytest.raises(TypeError, match="is not an Optimizer"):
        RemoteLR(fake, preheat.create(REFERENCE_SPEC))


@pytest.mark.parametrize("given", [REFERENCE_SPEC, "0" * 32, None])
def test_what_is_no_schedule_is_refused(given: Any) -> None:
    """A spec that was not posted, or an id: the error names the argument and says what makes a schedule of it."""
    with pytest.raises(TypeError, match=rf"schedule \({type(given).__name__}\) is not a schedule: .*create\(spec\)"):
        RemoteLR(optimizer(1.0), given)


def test_a_step_without_an_update_changes_nothing(preheat: Preheat, caplog: pytest.LogCaptureFixture) -> None:
    """The iteration is the number of updates performed; a thousand idle steps are worth one line."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for _ in range(2500):
        scheduler.step()
    assert (scheduler.iteration, lrs(on)) == (1, [0.001])
    said = [record.getMessage() for record in caplog.records if "performed no update" in record.getMessage()]
    assert len(said) == 1
    on.step()
    on.step()
    scheduler.step()
    assert (scheduler.iteration, lrs(on)) == (3, [0.003])


@pytest.mark.parametrize("accumulated", [1, 4])
def test_accumulated_gradients_are_one_update(preheat: Preheat, accumulated: int) -> None:
    """It is all the same whether the scheduler is stepped for each micro-batch or for each update."""
    for steps_always in (True, False):
        on = optimizer(1.0)
        scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
        used = []
        for micro_batch in range(1, 20 * accumulated + 1):
            is_update = micro_batch % accumulated == 0
            if is_update:
                used.append(str(on.param_groups[0]["lr"]))
                on.step()
            if is_update or steps_always:
                scheduler.step()
        assert used == list(REFERENCE_ROWS)


@pytest.mark.parametrize("fused", [False, True])
def test_updates_that_a_grad_scaler_skips_are_none(preheat: Preheat, fused: bool) -> None:
    """When gradients overflow now and then each performed update runs at the next LR of the table.

    A fused optimizer is called all the same, and the scheduler is told what the falling scale tells.
    """
    weight = torch.nn.Parameter(torch.ones(3))
    on = torch.optim.SGD([weight], lr=1.0, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    used = []
    for attempt in range(30):
        on.zero_grad()
        loss = (weight * (math.inf if attempt in {0, 1, 7, 8, 20} else 1.0)).sum()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call] # torch leaves it so
        before, lr, scale = weight.detach().clone(), on.param_groups[0]["lr"], scaler.get_scale()
        scaler.step(on)
        scaler.update()
        if not torch.equal(before, weight.detach()):
            used.append(str(lr))
        scheduler.step(was_skipped=fused and scaler.get_scale() < scale)
    assert used == list(REFERENCE_ROWS[:19])  # the last one of the table is 0, and moves nothing


def test_accelerate_does_not_multiply_steps(preheat: Preheat) -> None:
    """Accelerate steps a scheduler once for every process: one and four read the same."""
    accelerate = pytest.importorskip("accelerate", reason="`make adapters` installs it")
    state = importlib.import_module("accelerate.state")
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    accelerator = accelerate.Accelerator(cpu=True)
    prepared_on, prepared = accelerator.prepare(on, scheduler)
    state.AcceleratorState().__dict__["num_processes"] = 4  # what AcceleratedScheduler.step reads
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        prepared_on.step()
        prepared.step()
    assert used == list(REFERENCE_ROWS)


def test_param_groups_that_are_added_later_follow(preheat: Preheat) -> None:
    """One LR drives all; named ones find their own; others are refused."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    on.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 1.0})
    scheduler.step(5)
    assert lrs(on) == scheduler.get_last_lr() == [0.005, 0.005]

    head = named("head")
    scheduler = RemoteLR(head, preheat.create({**REFERENCE_SPEC, "param_groups": GROUPS}))
    assert lrs(head) == [0.001]
    head.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "name": "backbone"})
    scheduler.step(10)
    assert lrs(head) == [0.01, 0.001]
    head.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "name": "neck"})
    with pytest.raises(ParamGroupMismatch, match="named head, backbone, neck"):
        scheduler.step(11)


def test_hyperparameters_reach_an_optimizer_whose_state_was_loaded(url: str) -> None:
    """Loading replaces the param groups, and the new ones are written to."""
    with Preheat(url) as preheat:
        groups = [{"params": [torch.zeros(1)], "name": name} for name in ("a", "b")]
        on = torch.optim.SGD(groups, lr=1.0, weight_decay=0.0)
        remote = RemoteLR(on, preheat.create(HYPER_SPEC))
        on.load_state_dict(copy.deepcopy(on.state_dict()))
        remote.step(10)
        assert on.param_groups[1]["weight_decay"] == pytest.approx(0.2)
        assert on.param_groups[0]["momentum"] == pytest.approx(0.7)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch's own affair
def test_a_compiled_optimizer_sees_every_lr(preheat: Preheat) -> None:
    """Weights move by the table under torch.compile, which does not compile anew for each update."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    on = torch.optim.SGD([weight], lr=torch.tensor(1.0, dtype=torch.float64))
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    compilations = []

    def backend(graph: Any, _inputs: Any) -> Any:
        compilations.append(graph)
        return graph.forward

    update = torch.compile(lambda: on.step(), backend=backend)  # noqa: PLW0108 - step is wrapped
    moved = []
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        before = weight.item()
        update()
        moved.append(before - weight.item())
        scheduler.step()
    assert moved == pytest.approx([float(row) for row in REFERENCE_ROWS], rel=1e-9)
    assert len(compilations) <= 3


def test_a_schedule_that_takes_over_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    """Its momentum is set too, and a schedule that the optimizer cannot follow ends no run."""
    port = free_port()
    spec = {"target_lr": 0.1, "total_iterations": 20, "after_scheduler": {"type": "OneCycleLR", "max_lr": 0.3}}
    with Preheat(f"http://127.0.0.1:{port}", start_timeout_s=0.2) as preheat:
        schedule = preheat.create(spec, fallback=0.5)
        on, without = optimizer(1.0), torch.optim.Adagrad([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedulers = RemoteLR(on, schedule), RemoteLR(without, schedule)
        assert lrs(on) == [0.5]
        with service(port):
            wait_until(lambda: schedule.status.state == "READY", 30)
            for scheduler in schedulers:
                scheduler.step(19)
    expected = torch_stepped({"type": "OneCycleLR", "max_lr": 0.3, "total_steps": 21}, (0.1,), 19)[-1]
    assert lrs(on) == lrs(without) == expected
    share = (19 - 5.3) / (20 - 5.3)  # of the way down, which begins at 0.3 · 21 − 1 and ends at 20
    assert on.param_groups[0]["momentum"] == pytest.approx(0.95 - 0.05 * (1 + math.cos(math.pi * share)))
    assert "does not suit the optimizer" in caplog.text


class Halving:
    """A schedule of one's own, with what every adapter reads."""

    id, total_iterations, group_names = "mine", 20, ("default",)
    hyperparameter_columns: tuple[tuple[str, str], ...] = ()

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {}

    def lr(self, iteration: int) -> float:
        """The LR there."""
        return 0.5**iteration

    def hyperparameters(self, _: int) -> list[float]:
        """There are none."""
        return []

    def lrs(self, start: int = 0, stop: int | None = None) -> list[float | list[float]]:
        """All of them."""
        return [self.lr(n) for n in range(start, 21 if stop is None else stop)]


def test_a_schedule_of_ones_own_drives_an_optimizer() -> None:
    """Anything that can be read as a schedule can, without a service."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, Halving())
    used = []
    for _ in range(5):
        used += lrs(on)
        on.step()
        scheduler.step()
    assert used == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_the_first_update_of_an_added_group_runs_at_the_schedules_lr(preheat: Preheat) -> None:
    """And not at the optimizer's own default, a hundred times as high, until the next step."""
    on = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    used = []
    on.register_step_post_hook(lambda *_: used.append(lrs(on)))
    on.step()
    scheduler.step()
    on.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    for _ in range(2):
        on.step()
        scheduler.step()
    assert used == [[0.001], [0.002, 0.002], [0.003, 0.003]]


def test_added_groups_are_left_to_the_scheduler_whose_turn_it_is(preheat: Preheat) -> None:
    """In a SequentialLR, before RemoteLR has begun."""
    on = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    constant = torch.optim.lr_scheduler.ConstantLR(on, 0.5, 100)
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    both = torch.optim.lr_scheduler.SequentialLR(on, [constant, remote], [3])
    on.step()
    both.step()
    on.load_state_dict(on.state_dict())
    on.step()
    assert lrs(on) == [0.05]
