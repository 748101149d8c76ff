"""Torch code: names, optimizers, groups, wrappers and Lightning's dict are read for what they make; nothing is run."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from support.imports import columns, imported, lrs, notes, refusal


def stepped(make: Callable[[Any], Any], total: int, *group_lrs: float) -> list[list[float]]:
    """LRs of each group of a real optimizer, stepped by hand."""
    optimizer = SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in group_lrs], lr=1.0, momentum=0.9)
    found: list[list[float]] = [[] for _ in group_lrs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for n in range(total + 1):
            for lrs_of_group, group in zip(found, optimizer.param_groups, strict=True):
                lrs_of_group.append(float(group["lr"]))
            if n < total:
                scheduler.step()
    return found


ONE_CYCLE = "{'scheduler': OneCycleLR(o, 0.01, total_steps=100), 'interval': 'step'}"

SCRIPTS: list[tuple[str, Callable[[Any], Any], tuple[float, ...], int]] = [
    (
        "epochs = 90\nopt = SGD(p, lr=0.1)\ns = CosineAnnealingLR(opt, T_max=epochs)",
        lambda o: lr_scheduler.CosineAnnealingLR(o, 90),
        (0.1,),
        90,
    ),
    (
        (
            "steps = 200\no = torch.optim.AdamW(model.parameters(), 0.1)\n"
            "MultiStepLR(o, milestones=[int(0.5 * steps), int(0.75 * steps)], gamma=10 ** -1)"
        ),
        lambda o: lr_scheduler.MultiStepLR(o, [100, 150]),
        (0.1,),
        200,
    ),
    (
        "o = SGD(p, lr=0.1)\nLambdaLR(o, lambda s: float(s) / float(max(1, 100)))",
        lambda o: lr_scheduler.LambdaLR(o, lambda s: s / 100),
        (0.1,),
        100,
    ),
    (
        (
            "lrf, epochs = 0.01, 300\nlf = lambda x: ((1 - math.cos(x * math.pi / epochs)) / 2) * (lrf - 1) + 1\n"
            "o = SGD(g, lr=0.1)\nscheduler = lr_scheduler.LambdaLR(o, lr_lambda=lf)"
        ),
        lambda o: lr_scheduler.LambdaLR(o, lambda x: ((1 - math.cos(x * math.pi / 300)) / 2) * (0.01 - 1) + 1),
        (0.1,),
        300,
    ),
    (
        (
            "def rule(epoch):\n    '''Halves.'''\n    return 0.5 ** int(epoch / 3) + round(epoch / 4) / 100\n"
            "o = SGD(g, lr=0.1)\ns = LambdaLR(o, rule)"
        ),
        lambda o: lr_scheduler.LambdaLR(o, lambda n: 0.5 ** int(n / 3) + round(n / 4) / 100),
        (0.1,),
        30,
    ),
    (
        "o = AdamW([{'params': a, 'lr': 1e-5}, {'params': b}], lr=1e-3)\ns = CosineAnnealingLR(o, 50)",
        lambda o: lr_scheduler.CosineAnnealingLR(o, 50),
        (1e-5, 1e-3),
        50,
    ),
    (
        "o = SGD(p, lr=1)\nOneCycleLR(o, max_lr=[1e-4, 1e-3], total_steps=100)",
        lambda o: lr_scheduler.OneCycleLR(o, [1e-4, 1e-3], total_steps=100),
        (1.0, 1.0),
        99,
    ),
    (
        "o = SGD([{'params': a}, {'params': b}], lr=0.1)\nLambdaLR(o, [lambda e: 0.9 ** e, lambda e: 1 / (1 + e)])",
        lambda o: lr_scheduler.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)]),
        (0.1, 0.1),
        40,
    ),
    (
        (
            "class M(LightningModule):\n  def configure_optimizers(self):\n    o = SGD(self.parameters(), lr=0.1)\n"
            f"    return {{'optimizer': o, 'lr_scheduler': {ONE_CYCLE}}}"
        ),
        lambda o: lr_scheduler.OneCycleLR(o, 0.01, total_steps=100),
        (0.1,),
        99,
    ),
    (
        "parts = [LinearLR(o, 0.1, total_iters=5), CosineAnnealingLR(o, 45)]\nSequentialLR(o, parts, milestones=[5])",
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 45)], [5]
        ),
        (0.1,),
        50,
    ),
]


@pytest.mark.parametrize(("text", "make", "group_lrs", "total"), SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_has_the_lrs_of_what_it_makes(
    text: str, make: Callable[[Any], Any], group_lrs: tuple[float, ...], total: int
) -> None:
    """Every param group's, as torch itself steps them."""
    known = {"target_lr": 0.1} if "SGD" not in text and "AdamW" not in text else {}
    found = columns("torch", text, total_iterations=total, **known)
    for column, expected in zip(found, stepped(make, total, *group_lrs), strict=False):
        assert column == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_a_gradual_warmup_is_not_lost() -> None:
    """The GradualWarmupScheduler with multiplier 1: n / 5, one step more at the peak, then the StepLR."""
    text = "a = StepLR(o, 10)\ns = GradualWarmupScheduler(o, multiplier=1, total_epoch=5, after_scheduler=a)"
    expected = [0.1 * n / 5 for n in range(6)] + [0.1 * 0.1 ** (max(n - 6, 0) // 10) for n in range(6, 41)]
    assert lrs("torch", text, target_lr=0.1, total_iterations=40) == pytest.approx(expected)
    higher = "o = SGD(p, lr=0.1)\ns = GradualWarmupScheduler(o, 8, 5)"
    rise = [0.1 * (7 * n / 5 + 1) for n in range(6)]
    assert lrs("torch", higher, total_iterations=8) == pytest.approx(rise + [0.8] * 3)
    assert "is lost after the warm-up" in refusal("torch", text.replace("multiplier=1", "multiplier=8"), target_lr=0.1)


def test_transformers_functions_are_read_like_its_arguments() -> None:
    """get_scheduler and the functions of one schedule, with the names above."""
    text = (
        "o = AdamW(model.parameters(), lr=5e-5)\nsteps = 3 * 100\n"
        "s = get_scheduler('linear', optimizer=o, num_warmup_steps=30, num_training_steps=steps)"
    )
    expected = [5e-5 * n / 30 for n in range(30)] + [5e-5 * (300 - n) / 270 for n in range(30, 301)]
    assert lrs("torch", text) == pytest.approx(expected)
    cosine = "s = get_cosine_schedule_with_warmup(o, num_warmup_steps=0, num_training_steps=100, num_cycles=1.5)"
    waves = [0.05 * (1 + math.cos(3 * math.pi * n / 100)) for n in range(101)]
    assert lrs("torch", cosine, target_lr=0.1) == pytest.approx(waves, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s = WarmupWrapper(StepLR(o, 3))", "must be a scheduler of torch.optim.lr_scheduler: remove it"),
        ("s = create_lr_scheduler_with_warmup(StepLR(o, 3), 0.0, 5)", "must be a scheduler of torch.optim"),
        ("s = StepLR(o, 3)\ns = CosineAnnealingLR(o, 9)", "source makes 2 schedulers (StepLR(o, 3); CosineAnnealingLR"),
        ("s = CosineAnnealingLR(o, self.trainer.max_epochs)", "T_max (self.trainer.max_epochs) must be written out"),
        ("n = 3\nn = len(loader)\ns = StepLR(o, n)", "StepLR.step_size (n) must be written out as a value"),
        ("s = StepLR(o, 1j)", "must be written out as a value"),
        ("s = StepLR(o, 1e308 * 10)", "must be written out as a value"),
        ("s = LambdaLR(o, lambda e: open(e))", "must not call open"),
        (
            "return {'lr_scheduler': {'scheduler': StepLR(o, 3), 'frequency': 5}, 'optimizer': o}",
            "frequency must be 1",
        ),
        (
            "get_scheduler('cosine_warmup_with_min_lr', o, 3, 9, scheduler_specific_kwargs={'min_lr': 0.01})",
            "get_scheduler needs the optimizer's lr: write the optimizer above it",
        ),
        ("OneCycleLR(o, max_lr=[1, 'x'], total_steps=9)", "OneCycleLR.max_lr[1] ('x') must be a number"),
    ],
)
def test_what_makes_another_schedule_is_refused(text: str, reason: str) -> None:
    """A wrapper, a second scheduler or a value that is found out when the script runs: never the rest of it."""
    assert reason in refusal("torch", text, target_lr=0.1, total_iterations=100)


_90 = "epochs = 90\no = SGD(p, lr=0.1)\n"
UNTOLD = "T_max (epochs) must be written out as a value"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{_90}def f(epochs):\n  return CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}def f(epochs=10):\n  return CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}for epochs in (10, 20):\n  pass\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}for trial in trials:\n  s = CosineAnnealingLR(o, epochs)\n  epochs += 10", UNTOLD),
        (f"{_90}if is_long:\n  epochs = 300\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}try:\n  epochs = 30\nexcept OSError:\n  pass\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}match kind:\n  case 1:\n    epochs = 30\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (
            (
                "class M:\n  def a(self):\n    self.n = 30\n  def b(self):\n    self.n = 90\n"
                "  def c(self):\n    return CosineAnnealingLR(o, self.n)"
            ),
            "T_max (self.n) must be written out as a value",
        ),
        (f"{_90}with open(f) as epochs:\n  pass\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}from config import epochs\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"from config import *\n{_90}from config import *\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}print(epochs := 30)\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}epochs, b = f()\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}[epochs, b] = 30, 4\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}del epochs\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}def f():\n  global epochs\n  epochs = 30\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}class C:\n  epochs = 3\n  def s(self):\n    return CosineAnnealingLR(o, epochs)", UNTOLD),
        ("class C:\n  epochs = 3\ns = CosineAnnealingLR(o, epochs)", UNTOLD),
        (f"{_90}def s():\n  return CosineAnnealingLR(o, epochs)\nepochs = 3", UNTOLD),
        (f"{_90}class C:\n  def s(self):\n    return CosineAnnealingLR(o, epochs)\nif x:\n  epochs = 3", UNTOLD),
        ("c.n = 90\nc = other\ns = CosineAnnealingLR(o, c.n)", "T_max (c.n) must be written out as a value"),
        (
            "if adam:\n  o = Adam(p, lr=1e-3)\nelse:\n  o = SGD(p, lr=0.1)\ns = CosineAnnealingLR(o, 90)",
            "target_lr is required",
        ),
        (
            (
                "if linear:\n  f = lambda n: 1 - n / 90\nelse:\n  f = one_cycle(1, 0.1, 90)\n"
                "o = SGD(p, lr=0.1)\ns = LambdaLR(o, f)"
            ),
            "must be written as a lambda",
        ),
        (
            f"{_90}s = StepLR(o, 30)\nfor g in o.param_groups:\n  g['lr'] = 0.1 * n / 5",
            "g['lr'] = 0.1 * n / 5 sets an LR besides the scheduler",
        ),
        (f"{_90}s = StepLR(o, 30)\no.param_groups[0]['lr'] *= 0.1", "o.param_groups[0]['lr'] *= 0.1 sets an LR"),
        (f"{_90}o.add_param_group({{'params': q, 'lr': 1}})\ns = StepLR(o, 30)", "may give a param group an LR of its"),
        (f"{_90}w = 5\ns = LambdaLR(o, lambda e: min(1, e / w))\nw = 50", "w is assigned more than once"),
        (f"{_90}w = 5\ndef f(e):\n  return e / w\ns = LambdaLR(o, f)\nw = 50", "w is assigned more than once"),
        ("c.w = 5\n" + f"{_90}s = LambdaLR(o, lambda e: min(1, e / c.w))\nc.w = 50", "c.w is assigned more than once"),
        (f"{_90}s = ExponentialLR(o, 0.9)\ns.gamma = 0.99", "s.gamma is set after the scheduler is made"),
        (f"from t import ConstantLR as LinearLR\n{_90}s = LinearLR(o)", "LinearLR is another name's in the script"),
        (f"{_90}StepLR = ConstantLR\ns = StepLR(o, 30)", "StepLR is another name's in the script"),
        (f"{_90}m = [10]\nm[0] = 20\ns = MultiStepLR(o, m)", "milestones (m) must be written out"),
        (f"{_90}m = [10]\nm.append(20)\ns = MultiStepLR(o, m)", "milestones (m) must be written out"),
        (
            f"class StepLR(LRScheduler):\n  gamma = 1\n{_90}s = StepLR(o, 30)",
            "StepLR is a class of the script's own, and not torch's",
        ),
    ],
)
def test_what_only_a_run_can_tell_is_not_guessed(text: str, reason: str) -> None:
    """A parameter, a branch that may not run, an LR that the loop sets: no value that stands above takes its place."""
    assert reason in refusal("torch", text, total_iterations=100)


@pytest.mark.parametrize(
    "text",
    [
        f"{_90}def other(epochs):\n  epochs = 3\n  n = 5\ns = CosineAnnealingLR(o, epochs)",
        f"{_90}class Config:\n  epochs = 3\ns = CosineAnnealingLR(o, epochs)",
        f"{_90}def s():\n  return CosineAnnealingLR(o, epochs)\ndef other():\n  epochs = 3",
        f"{_90}if verbose:\n  print(1)\nelse:\n  log = 3\ns = CosineAnnealingLR(o, epochs)",
        "try:\n  import apex\nfinally:\n  o = SGD(p, lr=0.1)\nwith device:\n  n = 90\ns = CosineAnnealingLR(o, n)",
        (
            "class M:\n  def __init__(self):\n    self.n = 90\n"
            "  def c(self):\n    o = SGD(p, lr=0.1)\n    return CosineAnnealingLR(o, self.n)"
        ),
        f"{_90}o.add_param_group({{'params': q}})\nconfig['lr'] = 3\ns = CosineAnnealingLR(o, epochs)",
    ],
)
def test_a_name_keeps_its_value_where_nothing_may_change_it(text: str) -> None:
    """Another function's names are its own, and blocks that leave a name alone do not hide it."""
    expected = [0.05 * (1 + math.cos(math.pi * n / 90)) for n in range(91)]
    assert lrs("torch", text) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    "text",
    [
        "s = LambdaLR(o, lambda step: min(1.0, (step + 1) / w))\nstep = 0\nwhile step < 9:\n  step += 1",
        "def f(e):\n  return min(1.0, (e + 1) / w)\ns = LambdaLR(o, f)\nfor e in r:\n  a()\nfor e in r:\n  b()",
        "def other():\n  w = model.weight\n  return w\ns = LambdaLR(o, lambda e: min(1.0, (e + 1) / w))",
        "def f():\n  return LambdaLR(o, lambda e: min(1.0, (e + 1) / w))\nn = sum(w for w in sizes)",
        "SGD = torch.optim.SGD\nd.update(a=1)\ns = LambdaLR(o, lambda e: min(1.0, (e + 1) / w))\ns.last_epoch = 0",
        "class Muon(Base):\n  pass\ns = LambdaLR(o, lambda e: min(1.0, (e + 1) / w))",
        "class Lamb(Optimizer):\n  pass\no = Lamb(p, lr=0.1)\ns = LambdaLR(o, lambda e: min(1.0, (e + 1) / w))",
    ],
)
def test_a_lambda_keeps_what_nothing_around_it_changes(text: str) -> None:
    """Its own parameter, another function's names, a comprehension's and a class that is not used are none of it."""
    text = f"{'' if 'Lamb(p' in text else 'o = SGD(p, lr=0.1)'}\nw = 4\n{text}"
    assert lrs("torch", text, total_iterations=9) == pytest.approx([0.1 * min(1, (n + 1) / 4) for n in range(10)])


def test_names_that_change_places_do_so_at_once() -> None:
    """As Python computes all of the right side first; the same value for several names is that of each."""
    text = "lr, g = 0.5, 0.3\nlr, g = g, lr\na = b = g\no = SGD(p, lr=lr)\ns = ExponentialLR(o, b)"
    assert lrs("torch", text, total_iterations=3) == pytest.approx([0.3 * 0.5**n for n in range(4)])


def test_an_lr_that_the_scheduler_ignores_is_named() -> None:
    """OneCycleLR starts from max_lr / 25, whatever the optimizer has."""
    text = "o = SGD(p, lr=0.5)\ns = OneCycleLR(o, 0.1, total_steps=100)"
    assert notes("torch", text)["optimizer.lr"] == "(0.5) is ignored by OneCycleLR, which sets LRs of its own"
    assert imported("torch", text).spec["target_lr"] == 0.1


STATES: list[Callable[[Any], Any]] = [
    lambda o: lr_scheduler.OneCycleLR(o, 2.5, total_steps=61, cycle_momentum=False),
    lambda o: lr_scheduler.OneCycleLR(
        o, 2.5, total_steps=61, cycle_momentum=False, three_phase=True, anneal_strategy="linear"
    ),
    lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 55)], [5]
    ),
    lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(o, 0.5, 7), lr_scheduler.ExponentialLR(o, 0.9)]),
]


@pytest.mark.parametrize("make", STATES, ids=range(len(STATES)))
def test_a_state_gives_the_whole_schedule(make: Callable[[Any], Any]) -> None:
    """From the middle of a run: a OneCycleLR's peak follows from its first LR, and is checked by its last."""
    expected = stepped(make, 60, 0.1)[0]
    optimizer = SGD([torch.zeros(1)], lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for _ in range(40):
            scheduler.step()
    found = lrs("torch", scheduler.state_dict(), total_iterations=60)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_state_that_does_not_tell_its_peak_asks_for_it() -> None:
    """Torch keeps max_lr in the optimizer: at iteration 0, or with another div_factor, the state alone does not say."""
    optimizer = SGD([torch.zeros(1)], lr=0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=61, cycle_momentum=False)
    assert refusal("torch", scheduler.state_dict()).startswith(
        "target_lr is required: a OneCycleLR's state has no max_lr"
    )
    assert imported("torch", scheduler.state_dict(), target_lr=0.5).spec["after_scheduler"]["div_factor"] == 25.0
    state = {"base_lrs": [0.1], "lr_lambdas": [None], "last_epoch": 3}
    assert "does not save its lambdas" in refusal("torch", state, total_iterations=9)


@pytest.mark.parametrize(
    "source",
    [
        {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 100, "eta_min": "1e-3"},
        (
            "optimizer:\n  class_path: Adam\n  init_args: {lr: 0.1}\nlr_scheduler:\n  class_path: CosineAnnealingLR\n"
            "  init_args:\n    T_max: 100.0\n    eta_min: 1e-3\n"
        ),
        'scheduler = {_target_ = "torch.optim.lr_scheduler.CosineAnnealingLR", T_max = 100, eta_min = 1e-3}',
    ],
)
def test_a_configuration_names_a_class_and_its_arguments(source: Any) -> None:
    """Hydra's `_target_` and Lightning's `class_path`, in YAML or TOML, with numbers as text or 100.0."""
    known = {} if isinstance(source, str) and "Adam" in source else {"target_lr": 0.1}
    expected = [1e-3 + (0.1 - 1e-3) * (1 + math.cos(math.pi * n / 100)) / 2 for n in range(101)]
    assert lrs("torch", source, **known) == pytest.approx(expected)
