"""Version: of this client, and whether it and a service understand each other, by what the service says of itself."""

import re

from preheat_client.errors import VersionMismatch

VERSION = "0.1.0"
"""As in the project file."""

API_LEVEL = 1
"""The level of the API that a service must speak for this client; it goes up when the client needs something new."""

HEADER = "preheat-version"
_SERVICE = re.compile(r'"([^"]{1,40})"')
_LEVEL = re.compile(r";\s*(api|oldest-api)=(\d{1,9})(?=\s*(?:;|$))")


def check_version(said: str | None) -> None:
    """Looks at a header such as `"0.1.0"; api=1; oldest-api=1`. Raises VersionMismatch if the two cannot work together.

    A service that says nothing of the kind, or that a proxy keeps from saying it, is judged by its answers.
    """
    service, levels = _SERVICE.match(said or ""), dict(_LEVEL.findall(said or ""))
    if service is None or len(levels) < 2:  # noqa: PLR2004 - the newest and the oldest
        return
    newest, oldest = int(levels["api"]), int(levels["oldest-api"])
    if newest < API_LEVEL:
        raise VersionMismatch(
            f"the service is too old: preheat {service[1]} speaks API level {newest}, and preheat-client {VERSION} "
            f"needs {API_LEVEL}: upgrade the service, or install the preheat-client of its version"
        )
    if oldest > API_LEVEL:
        raise VersionMismatch(
            f"this client is too old: preheat-client {VERSION} needs API level {API_LEVEL}, and preheat {service[1]} "
            f"speaks {oldest} and newer: upgrade preheat-client"
        )
