"""A group of commands that names the nearest ones when a word is mistyped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "list": ("models ls",),
    "ls": ("models ls",),
    "pull": ("models pull",),
    "show": ("models inspect",),
    "inspect": ("models inspect",),
    "rm": ("models rm",),
    "unload": ("models unload",),
    "stop": ("shutdown", "models unload"),
    "top": ("watch", "ps"),
    "history": ("executions ls",),
    "generate": ("run",),
    "start": ("serve",),
    "version": ("--version",),
    "help": ("--help",),
    "models list": ("models ls",),
    "models stop": ("models unload",),
    "models delete": ("models rm",),
    "models alias": ("config show",),
    "config set": ("config show",),
    "config edit": ("config show",),
    "executions rm": ("executions prune",),
    "executions delete": ("executions prune",),
    "plans save": ("proposals apply", "run --plan FILE"),
    "plans add": ("proposals apply", "run --plan FILE"),
}
"""Words that other programs have for what is called otherwise here, after the group that they follow."""
FLAGS_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "-m": ("--model",),
    "-p": ("--prompt",),
    "-t": ("--threads",),
    "-c": ("--context-length",),
    "--ctx-size": ("--context-length",),
    "--num-ctx": ("--context-length",),
    "--temp": ("--temperature",),
    "--format": ("--json-schema", "--json"),
    "--num-predict": ("--max-tokens",),
    "--n-predict": ("--max-tokens",),
    "--quantization": ("--quant",),
    "--keep-alive": ("--keep-alive-s",),
}
"""Flags that other programs have for what is called otherwise here."""


class NarrowHelp(click.HelpFormatter):
    """Help whose first column leaves room for the second, however narrow the terminal is."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms with their meanings; a term that is longer than its column has a line of its own."""
        super().write_dl(rows, max(8, min(col_max, self.width // 3)), col_spacing)


class HelpContext(click.Context):
    """A context whose help is :class:`NarrowHelp`."""

    formatter_class = NarrowHelp


class CommandGroup(click.Group):
    """Its commands' names are suggested for words that are like them."""

    context_class = HelpContext

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises click.UsageError, with what may have been meant."""
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            told = " or ".join(f"`{name}`" for name in self._near(ctx, word))
            ctx.fail(f"No such command {word!r}.{f' Did you mean {told}?' if told else ''}")
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            command.context_class = HelpContext
        return name, command, rest

    def _near(self, ctx: click.Context, word: str) -> list[str]:
        from difflib import get_close_matches

        program, *groups = ctx.command_path.split()
        if elsewhere := ELSEWHERE.get(" ".join((*groups, word))):
            return [f"{program} {name}" for name in elsewhere]
        return [f"{ctx.command_path} {name}" for name in get_close_matches(word, self.list_commands(ctx), n=2)]


def suggested(error: click.NoSuchOption) -> click.UsageError:
    """The error, naming the flags that other programs call so, if the command has them."""
    has = {} if error.ctx is None else {spelling for param in error.ctx.command.params for spelling in param.opts}
    near = [f"'{flag}'" for flag in FLAGS_ELSEWHERE.get(error.option_name, ()) if flag in has]
    if not near:
        return error
    return click.UsageError(f"No such option '{error.option_name}'. Did you mean {' or '.join(near)}?", error.ctx)
