"""Specs in files: JSON or YAML."""

import json
import re
from typing import Any

import yaml

from preheat.specs import InvalidSpec, Spec, parse_spec, violation


def parse_spec_file(text: str) -> Spec:
    """The normalised spec that a JSON or YAML text stands for; what starts with a brace is JSON.

    YAML is read as its version 1.2 has it where PyYAML's 1.1 surprises: 1e-3 is a number, 2026-01-31 a text.
    Raises InvalidSpec.
    """
    if text.lstrip().startswith("{"):
        return parse_spec(text)
    try:
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidSpec([violation((), f"is not valid YAML: {' '.join(str(error).split())}")]) from None
    return parse_spec(json.dumps(content, default=str))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {key!r} twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
