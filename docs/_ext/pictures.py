"""Pictures of README and documentation, drawn by the service's own code."""

from typing import Any

import facts

_RUN = {"target_lr": 0.01, "total_iterations": 20}

PICTURES: dict[str, list[dict[str, Any]]] = {
    "reference": [{**_RUN, "warmup": {"iterations": 10}, "after_scheduler": {"type": "CosineAnnealingLR"}}],
    "compare": [
        {**_RUN, "warmup": {"iterations": 5}, "after_scheduler": {"type": "CosineLR"}, "label": "cosine"},
        {
            **_RUN,
            "warmup": {"iterations": 5},
            "after_scheduler": {"type": "WSDLR", "decay_length": 5},
            "label": "hold, then decay",
        },
    ],
    "run": [{"recipe": "pythia-160m", "total_iterations": 2000}],
    "conventions": [
        {
            "target_lr": 1,
            "total_iterations": 6,
            "warmup": {"iterations": 4, "convention": convention},
            "label": convention,
        }
        for convention in ("n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W")
    ],
    "clocks": [
        {
            **_RUN,
            "warmup": {"iterations": 10, "convention": "(n+1)/W", "decay_clock": clock},
            "after_scheduler": {"type": "CosineLR"},
            "label": clock,
        }
        for clock in ("after_warmup", "from_peak", "from_zero", "dampened", "meets_decay")
    ],
    "groups": [
        {
            "target_lr": 1e-3,
            "total_iterations": 100,
            "warmup": {"iterations": 10},
            "after_scheduler": {"type": "CosineLR"},
            "param_groups": [{"name": "backbone", "factor": 0.1}, {"name": "head"}],
            "label": "backbone at a tenth",
        }
    ],
}
"""The specs that each picture shows, by its name; those of a page have the numbers of the page's example."""

README = ("reference", "compare")
"""Those in the README."""


def draw(name: str, kind: str = "png", **options: Any) -> bytes:
    """A picture of PICTURES as PNG or SVG; `options` are those of the plot routes."""
    return facts.picture(PICTURES[name], kind, **options)
