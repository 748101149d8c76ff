"""Steps that are read from memory: many param groups and hyperparameters, across the windows that are fetched."""

import pytest
import torch

from preheat_client import Preheat
from preheat_client.torch import RemoteLR

SPEC = {
    "target_lr": 0.1,
    "total_iterations": 400,
    "warmup": {"iterations": 400},
    "param_groups": [{"name": "a"}, {"name": "b", "factor": 0.5}],
    "hyperparameters": {
        "momentum": {"value": 0.8, "warmup": {"iterations": 400}},
        "weight_decay": {"value": 0.4, "warmup": {"iterations": 400}, "param_groups": ["b"]},
    },
}


@pytest.mark.parametrize("window", [7, 100, 65_536])
@pytest.mark.parametrize("order", ["ab", "ba", "aba"])
def test_every_column_goes_to_its_place(url: str, window: int, order: str) -> None:
    """Each value is its own line through 0, whatever the windows and the order of the groups."""
    on = torch.optim.AdamW(
        [{"params": [torch.zeros(1, requires_grad=True)], "name": name} for name in order], lr=1.0, weight_decay=0.3
    )
    with Preheat(url, window=window) as preheat:
        remote = RemoteLR(on, preheat.create(SPEC))
        for n in range(1, 401):
            for group in on.param_groups:
                share, is_b = n / 400, group["name"] == "b"
                assert group["lr"] == pytest.approx((0.05 if is_b else 0.1) * share, rel=1e-12)
                assert group["betas"] == (pytest.approx(0.8 * share, rel=1e-12), 0.999)
                assert group["weight_decay"] == pytest.approx(0.4 * share if is_b else 0.3, rel=1e-12)
            assert remote.get_last_lr() == [group["lr"] for group in on.param_groups]
            assert remote.get_last_hyperparameters()["momentum"]["b"] == pytest.approx(0.8 * n / 400, rel=1e-12)
            on.step()
            remote.step()
