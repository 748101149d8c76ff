"""The key that an operator gives by a setting: PREHEAT_FIRST_KEY, or a file with it."""

from typing import Any

from pydantic import SecretStr

from preheat.keys import Key, own_key
from preheat.masking import hide
from preheat.settings import Settings, text_of_file


def first_key(settings: Settings) -> Key | None:
    """The key of the settings, which has every scope; None if they give none.

    From here on log lines and problem documents of this process hide its text. Raises ValueError, which does not show
    it.
    """
    token = _token(settings)
    if token is None:
        return None
    field = "first_key" if settings.first_key_file is None else f"first_key_file ({settings.first_key_file})"
    try:
        key = own_key(token)
    except ValueError as error:
        raise ValueError(f"{field} {error}") from None
    hide(token)
    return key


def without_file(settings: Settings) -> dict[str, Any]:
    """The settings of the first key for a process that starts later, when the file may have changed or gone."""
    token = _token(settings)
    return {"first_key": None if token is None else SecretStr(token), "first_key_file": None}


def _token(settings: Settings) -> str | None:
    file = settings.first_key_file
    if settings.first_key is not None and file is not None:
        raise ValueError("first_key and first_key_file must not both be set")
    if settings.first_key is None and file is None:
        return None
    if settings.without_keys:
        raise ValueError("without_keys must not be set beside a first key, which it would not ask for")
    if settings.first_key is not None:
        return settings.first_key.get_secret_value()
    return None if file is None else text_of_file("first_key_file", file)
