"""Sampling: the few places that are looked at where nothing tells where an LR turns."""

_PARTS = 100


def sampled_numbers(first: int, last: int) -> set[int]:
    """Numbers first … last, at most about two hundred of them, at even distances, and both ends."""
    # last - 1 too: of a window that ends within a wave, the last whole one is the one before.
    return {*range(first, last + 1, max((last - first) // _PARTS, 1)), last - 1, last}


def are_sampled(first: int, last: int) -> bool:
    """Whether `sampled_numbers` leaves any of the numbers out."""
    return (last - first) // _PARTS > 1


def sampled_iterations(start: int, stop: int) -> list[int]:
    """Sixteen iterations of start … stop − 1 at even distances, where nothing tells where an LR turns."""
    # In whole numbers: floats would round the products of iterations near 2**53.
    return [start + (stop - 1 - start) * part // 15 for part in range(16)] if stop > start else []
