"""The cache of pictures: what was rendered once is not rendered again."""

import pytest

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import ComputeTimeout
from preheat.plot.cache import PictureCache
from preheat.plot.options import PlotOptions
from preheat.plot.render import render
from support.specs import curve


def asked() -> Curve:
    """The same schedule each time, with nothing of its curve computed yet."""
    return curve(after_scheduler={"type": "CosineAnnealingLR"})


def expired() -> Deadline:
    """A deadline at which nothing can be computed any more."""
    times = iter([0.0, *[10.0] * 1000])
    return Deadline(1.0, clock=lambda: next(times))


def test_a_picture_is_rendered_once() -> None:
    """The second request gets the same bytes, counts as a hit, and succeeds where rendering would not."""
    pictures = PictureCache(10**7)
    with pytest.raises(ComputeTimeout):
        pictures.picture([asked()], PlotOptions(), "png", expired())
    first = pictures.picture([asked()], PlotOptions(), "png", NO_DEADLINE)
    again = pictures.picture([asked()], PlotOptions(), "png", expired())
    assert again == first == render([asked()], PlotOptions())
    assert (pictures.cache.hits, pictures.cache.misses) == (1, 2)


@pytest.mark.parametrize(
    ("curves", "options", "kind"),
    [
        ([asked()], PlotOptions(), "svg"),
        ([asked()], PlotOptions(at=3), "png"),
        ([asked(), curve()], PlotOptions(), "png"),
        ([curve()], PlotOptions(), "png"),
    ],
    ids=["kind", "option", "comparison", "schedule"],
)
def test_one_picture_is_not_taken_for_another(curves: list[Curve], options: PlotOptions, kind: str) -> None:
    """A request that differs in anything is a miss, and gets what `render` gives."""
    pictures = PictureCache(10**7)
    pictures.picture([asked()], PlotOptions(), "png", NO_DEADLINE)
    assert pictures.picture(curves, options, kind, NO_DEADLINE) == render(curves, options, kind)
    assert (pictures.cache.hits, pictures.cache.misses) == (0, 2)


def test_pictures_larger_than_the_cache_are_rendered_again() -> None:
    """Nothing is kept in a cache of a few bytes, and every request is answered."""
    pictures = PictureCache(100)
    first = pictures.picture([asked()], PlotOptions(), "png", NO_DEADLINE)
    assert pictures.picture([asked()], PlotOptions(), "png", NO_DEADLINE) == first
    assert (pictures.cache.hits, pictures.cache.misses) == (0, 2)
