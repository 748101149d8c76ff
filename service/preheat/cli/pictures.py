"""Pictures as files of commands: what kind a file's name asks for, and writing it."""

from pathlib import Path

from rich.markup import escape

from preheat.cli.output import OUT, fail, write_data


def picture_kind(output: str) -> str:
    """The kind of picture that a file's name asks for, png or svg; ends the command for another one."""
    kind = "png" if output == "-" else Path(output).suffix.lower().removeprefix(".")
    if kind not in {"png", "svg"}:
        fail(f"-o ({output}) must end in .png or .svg", code=2)
    return kind


def write_picture(output: str, picture: bytes) -> None:
    """Writes a picture to a file, or to stdout for `-`; ends the command if it cannot be written."""
    if output == "-":
        write_data(picture)
        return
    try:
        Path(output).write_bytes(picture)
    except OSError as error:
        fail(f"-o ({output}) cannot be written: {error.strerror}")
    OUT.print(f"{escape(output)}: {len(picture):,} bytes", soft_wrap=True)
