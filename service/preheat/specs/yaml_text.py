"""YAML: a text's values, counted before they are made, since a few lines of aliases can stand for billions."""

import re
from collections.abc import Hashable
from typing import Any

import yaml
from typing_extensions import override

_MOST_NUMBER_CHARACTERS = 400
"""Of a number: a float has up to 309 digits, and Python takes the square of their count for a whole one."""

_MOST_BRACKETS = 200


class TooManyValues(ValueError):
    """A text that stands for more than `most` values."""

    def __init__(self, most: int) -> None:
        super().__init__(f"must have at most {most} values where its YAML aliases are followed")


class YamlLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, and a number of more digits than any number needs."""

    @override
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each of whose keys stands there once."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        seen: set[Any] = set()
        others: list[Any] = []  # a key of a YAML mapping may itself be a mapping, which has no hash
        for key in keys:
            known = seen if isinstance(key, Hashable) else others
            if key in known:
                raise yaml.constructor.ConstructorError(None, None, f"found the key {key!r} twice", node.start_mark)
            seen.add(key) if known is seen else others.append(key)
        return super().construct_mapping(node, deep)

    @override
    def construct_scalar(self, node: Any) -> Any:
        """The text of a scalar."""
        is_number = node.tag in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
        if is_number and len(node.value) > _MOST_NUMBER_CHARACTERS:
            problem = f"found a number of more than {_MOST_NUMBER_CHARACTERS} characters"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_scalar(node)


# JSON has no dates: a label such as 2026-01-31 is a text in both notations.
YamlLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# In YAML 1.1 a float needs a dot, and its exponent a sign: PyYAML reads 1e-3 as a text.
YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def yaml_values(text: str, most: int) -> Any:
    """The values of one YAML document, None of an empty one.

    YAML is read as its version 1.2 has it where PyYAML's 1.1 surprises: 1e-3 is a number, 2026-01-31 a text. Raises
    TooManyValues, yaml.YAMLError, RecursionError, ValueError.
    """
    if _is_deep(text):
        raise ValueError("nested too deeply")
    loader = YamlLoader(text)
    try:
        # Composed and not yet constructed: an alias is still one shared node here.
        node = loader.get_single_node()
        if node is not None and _expanded(node, most, {}) > most:
            raise TooManyValues(most)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _is_deep(text: str) -> bool:
    """Whether brackets are nested deeper than in any document, of which PyYAML takes the square."""
    # Brackets within texts are counted too: the bound is far above what these have.
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > _MOST_BRACKETS:
            return True
    return False


def _expanded(node: yaml.Node, most: int, known: dict[int, int]) -> int:
    """Values of a YAML node with every alias followed; too many where it contains itself."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = most + 1  # until it is counted: whoever meets it within itself never ends
    pairs = node.value if isinstance(node, yaml.CollectionNode) else []
    children = [child for pair in pairs for child in (pair if isinstance(pair, tuple) else (pair,))]
    known[id(node)] = 1 + sum(_expanded(child, most, known) for child in children)
    return known[id(node)]
