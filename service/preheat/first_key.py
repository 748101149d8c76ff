"""The key that an operator gives by a setting: PREHEAT_FIRST_KEY, or a file with it."""

from preheat.keys import Key, own_key
from preheat.settings import Settings, text_of_file


def first_key(settings: Settings) -> Key | None:
    """The key of the settings, which has every scope; None if they give none.

    Raises ValueError, which does not show the key.
    """
    file = settings.first_key_file
    if settings.first_key is not None and file is not None:
        raise ValueError("first_key and first_key_file must not both be set")
    if settings.first_key is None and file is None:
        return None
    if settings.without_keys:
        raise ValueError("without_keys must not be set beside a first key, which it would not ask for")
    if file is None:
        return _checked("first_key", settings.first_key.get_secret_value() if settings.first_key else "")
    return _checked(f"first_key_file ({file})", text_of_file("first_key_file", file))


def _checked(field: str, token: str) -> Key:
    try:
        return own_key(token)
    except ValueError as error:
        raise ValueError(f"{field} {error}") from None
