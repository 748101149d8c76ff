"""Forms of a source: JSON with comments, TOML, YAML or command-line arguments, read into plain values.

Whatever the form, what comes out is bounded before any work is done on it: dicts with texts as keys, lists, texts,
numbers, true, false and null, at most 500,000 of them, nested at most 50 deep.
"""

import ast
import json
import re
import shlex
import tomllib
from collections import Counter
from typing import Any

import yaml

from preheat.errors import NotImportable
from preheat.messages import encodable, excerpt
from preheat.specs.yaml_text import TooManyValues, YamlLoader, yaml_values

_MAX_NODES = 500_000
_MAX_DEPTH = 50
_MAX_CHARACTERS = 20_000_000
_MAX_OTHER_CHARACTERS = 200_000
_MAX_CODE_CHARACTERS = 100_000
_MAX_YAML_VALUES = 20_000
_STRING = r'"(?:\\.|[^"\\])*+"?'  # one that never ends is taken whole, or each quote would be tried as a start
# Strings are matched first and kept, so that the // of a URL within one is no comment.
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|#[^\n]*|/\*(?:.*?\*/|.*\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])")
_FLAG = re.compile(r"(?:^|\s)--[A-Za-z]")


def read(source: Any) -> Any:
    """The values of a source, a text in any form or an object; Python code stays a text. Raises NotImportable."""
    return read_text(source) if isinstance(source, str) else plain(source)


def read_text(text: str) -> Any:
    """The values that a text stands for; the text itself where it is Python code, or none of the forms.

    Raises NotImportable where it is too large, begins as JSON and is not, or is neither YAML nor Python.
    """
    if len(text) > _MAX_CHARACTERS:
        raise NotImportable(f"source must have at most {_MAX_CHARACTERS} characters")
    # Some Windows editors begin a UTF-8 file with a byte order mark, which json.loads refuses.
    whole = text.removeprefix("\ufeff").strip()
    # JSON alone may be this large: the log in a trainer_state.json of a long run is.
    if whole.startswith("{"):
        return plain(_json(whole))
    if len(text) > _MAX_OTHER_CHARACTERS:
        raise NotImportable(f"source must have at most {_MAX_OTHER_CHARACTERS} characters where it is not JSON")
    # Before YAML, which reads `lr: float = f(1)` as a mapping.
    if _is_code(whole):
        return text
    if _is_deep(whole):
        raise NotImportable(f"source must be nested at most {_MAX_DEPTH} deep")
    for read in (_toml, _yaml, _arguments):
        values = read(whole)
        # YAML takes almost any text for a scalar: only named fields are a configuration.
        if isinstance(values, dict) and values:
            return plain(values)
    fault = _python_fault(whole)
    if fault:
        raise NotImportable(f"source is not Python ({fault}), and not YAML ({_yaml_fault(whole)})")
    return text


def plain(source: Any) -> Any:
    """The source as plain values. Raises NotImportable where it is too large, too deep, or has a value of another kind.

    A key that is no text (YAML has numbers) becomes one; a text that no UTF-8 document can hold gets escapes.
    """
    return _plain(source, "source", 0, [0])


def _plain(value: Any, path: str, depth: int, count: list[int]) -> Any:
    count[0] += 1
    if depth > _MAX_DEPTH or count[0] > _MAX_NODES:
        raise NotImportable(f"source must have at most {_MAX_NODES} values, nested at most {_MAX_DEPTH} deep")
    if isinstance(value, dict):
        return {
            encodable(str(key)): _plain(each, f"{path}.{excerpt(str(key))}", depth + 1, count)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(each, path, depth + 1, count) for each in value]
    if isinstance(value, str):
        return encodable(value)
    # Python's own ints are unbounded, and float() of one beyond 1024 bits raises OverflowError.
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1024:  # noqa: PLR2004 - a float's
        raise NotImportable(f"{path} is too large a number")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise NotImportable(f"{path} ({type(value).__name__}) must be a text, a number, a list or an object")


def _json(text: str) -> Any:
    """JSON; with comments and trailing commas if need be, or what YAML takes in braces."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise NotImportable("source is nested too deeply") from None
    except ValueError as error:
        reason = f"source is not valid JSON: {error}"
    without = _TRAILING_COMMA.sub(r"\1", _COMMENT.sub(r"\1", text))
    try:
        return json.loads(without, object_pairs_hook=_unique)
    except RecursionError:
        raise NotImportable("source is nested too deeply") from None
    except ValueError:
        # YAML reads {lr: 0.1} and single quotes, but far more slowly than JSON's parser.
        is_small = len(text) <= _MAX_OTHER_CHARACTERS and not _is_deep(text)
        values = _yaml(text) if is_small else None
    if not isinstance(values, dict):
        raise NotImportable(reason)
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of equal keys: an LR that is written twice would be lost without a word.
    unique = dict(pairs)
    if len(unique) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise NotImportable(f"source has the key {excerpt(twice)} more than once in one object")
    return unique


def _is_deep(text: str) -> bool:
    """Whether brackets, or the dots of TOML's keys, nest deeper than any configuration: parsers take their square."""
    # Brackets within strings are counted too: the bound is far above any real configuration.
    depth = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if depth > _MAX_DEPTH:
            return True
    return any(part.count(".") > _MAX_DEPTH for part in re.split(r"[\n,={}]", text))


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _yaml(text: str) -> Any:
    """One YAML document."""
    try:
        return yaml_values(text, _MAX_YAML_VALUES)
    except TooManyValues as error:
        raise NotImportable(f"source {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _yaml_fault(text: str) -> str:
    """Where a text stops to be YAML, and why."""
    try:
        yaml.compose(text, YamlLoader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{excerpt(str(error.problem))}{line}"
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return excerpt(str(error))
    return "it has no named fields"


def _arguments(text: str) -> Any:
    """The options of a command line, `--lr-decay-style cosine`, by their names with underscores."""
    if not _FLAG.search(text):
        return None
    try:
        # A shell script continues a line with a backslash; the last one may have nothing after it.
        words = shlex.split(text.replace("\\\n", " ").rstrip("\\ "), comments=True)
    except ValueError:
        return None
    options: dict[str, Any] = {}
    # Words before the first option, such as `python train.py`, belong to none and are dropped.
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            values = [value] if has_value else []
            # as argparse names them: --lr-decay-style is lr_decay_style
            name = name.replace("-", "_")
            if name in options:
                raise NotImportable(f"source has the option --{excerpt(name)} more than once")
            # the same list and no copy: the words that follow are appended to it
            options[name] = values
        else:
            values.append(word)
    return {name: True if not given else given[0] if len(given) == 1 else given for name, given in options.items()}


def _is_code(text: str) -> bool:
    """Whether a text is Python that calls something; YAML's `lr: 0.1` is valid Python too."""
    if len(text) > _MAX_CODE_CHARACTERS:
        return False
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _python_fault(text: str) -> str | None:
    """Where a text stops to be Python, and why; None where it is."""
    if len(text) > _MAX_CODE_CHARACTERS:
        return f"more than {_MAX_CODE_CHARACTERS} characters"
    try:
        ast.parse(text)
    except SyntaxError as error:
        return f"{excerpt(error.msg)} in line {error.lineno}"
    except (ValueError, RecursionError, MemoryError):
        return "too deeply nested"
    return None
