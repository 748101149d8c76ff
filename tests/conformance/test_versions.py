"""The libraries that are compared with are those whose source was read."""

import importlib.metadata


def test_the_versions_are_those_that_were_read() -> None:
    """A newer major version may do something else: look again before believing this folder."""
    read = {"transformers": "5", "optax": "0", "keras": "3", "pytorch-ignite": "0", "pytorch-warmup": "0", "timm": "1"}
    for name, major in read.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert installed.partition(".")[0] == major, f"{name} {installed}"
