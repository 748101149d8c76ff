"""A training job of the demo: `python -m preheat.cli.demo_trainer URL SCHEDULE_ID`.

Trains a small torch model with the schedule's LRs and writes one JSON line per update.
"""

import json
import sys

import torch

from preheat_client import Preheat
from preheat_client.torch import RemoteLR


def train(url: str, schedule_id: str) -> None:
    """Fits a sine with a two-layer network, one update per iteration of the schedule."""
    torch.manual_seed(0)
    x = torch.linspace(-3, 3, 256).unsqueeze(1)
    model = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    with Preheat(url) as preheat:
        schedule = preheat.schedule(schedule_id)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scheduler = RemoteLR(optimizer, schedule)
        for _ in range(schedule.total_iterations):
            loss = torch.nn.functional.mse_loss(model(x), torch.sin(2 * x))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it so
            optimizer.step()
            sys.stdout.write(json.dumps({"lr": optimizer.param_groups[0]["lr"], "loss": loss.item()}) + "\n")
            sys.stdout.flush()
            scheduler.step()


if __name__ == "__main__":
    train(*sys.argv[1:])
