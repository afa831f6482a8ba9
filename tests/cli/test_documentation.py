from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click

from estafeta.cli.main import COMMANDS, estafeta
from estafeta.cli.sendmail import Exit

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"


def commands(group: click.Group, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, context, f"{path} {name}")


def rendered() -> str:
    sections = []
    for path, command in commands(estafeta, click.Context(estafeta), "estafeta"):
        context = click.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help or ""))
        assert text, f"{path} has no help"
        if isinstance(command, click.Group):
            sections.append(f"### {path}\n\n{text}")
            continue
        lines = [f"#### {path}", "", f"`{path} {usage}`", "", text, ""]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                record = parameter.get_help_record(context)
                assert record is not None, f"{path} {parameter.name} has no help"
                lines.append(f"- `{record[0]}`: {record[1]}")
        sections.append("\n".join(lines).rstrip())
    return "\n\n".join(sections)


def test_the_page_has_every_command_and_every_option() -> None:
    page = PAGE.read_text("utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end
    wanted = f"{before}{BEGIN}\n\n{rendered()}\n\n{END}{after}"
    if os.environ.get("ESTAFETA_WRITE_DOCS"):
        PAGE.write_text(wanted, "utf-8")
        page = wanted
    assert page == wanted, "ESTAFETA_WRITE_DOCS=1 pytest tests/cli/test_documentation.py writes the list anew"


def test_the_list_of_commands_says_of_each_what_its_own_help_says() -> None:
    for name, (_, line) in COMMANDS.items():
        command = estafeta.get_command(click.Context(estafeta), name)
        assert command is not None and command.name == name
        assert line.endswith(".")


def test_the_page_has_every_exit_code_of_sendmail() -> None:
    page = PAGE.read_text("utf-8")
    for code in Exit:
        assert re.search(rf"\| {int(code)} \| `EX_{code.name}` \|", page), code
