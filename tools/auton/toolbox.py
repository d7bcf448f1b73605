"""The tools that each role has, in OpenAI's form, and what comes of calling them. A model's mistake is told to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from auton.paths import is_allowed, safe_path
from auton.provider import ToolCall
from auton.repository import Worktree
from auton.settings import Role
from auton.text import steers, whole

_MOST_READ = 32_768
_MOST_LISTED = 500
_MOST_TASKS = 32
_MOST_SUMMARY = 500
_TAKEN = frozenset({"goal", "joined"})
"""Names of the run's own: what it is for, and the branch where all comes together."""


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("say what is wrong")
    return text


def _summary(text: str) -> str:
    if len(text) > _MOST_SUMMARY or steers(text):
        raise ValueError(f"one line of plain text, of at most {_MOST_SUMMARY} characters")
    return text


_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
_Pattern = Annotated[str, Field(min_length=1, max_length=200)]
# Checked beside the schema: not every server's grammar holds an answer to lengths.
_Reason = Annotated[str, AfterValidator(_reason)]
_Summary = Annotated[str, AfterValidator(_summary)]


class _Tool(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListFiles(_Tool):
    """List the repository's files."""


class ReadFile(_Tool):
    """Read a file."""

    path: str


class WriteFile(_Tool):
    """Write a whole file, a new one or in place of one that is there."""

    path: str
    content: str


class ReplaceText(_Tool):
    """Replace a piece of a file that stands in it exactly once."""

    path: str
    old: str
    new: str


class AddTask(_Tool):
    """Add a task to the plan. `paths` are patterns of files that it may change; `after` names tasks that come first."""

    task: _Name
    description: str
    paths: Annotated[tuple[_Pattern, ...], Field(min_length=1, max_length=32)]
    after: Annotated[tuple[_Name, ...], Field(max_length=_MOST_TASKS)] = ()


class FinishPlan(_Tool):
    """End planning."""


class Submit(_Tool):
    """Hand in the task's changes, with a line that says what they do."""

    summary: _Summary


class Approve(_Tool):
    """Let the changes in."""


class Reject(_Tool):
    """Send the changes back, with what must be different."""

    reason: _Reason


class Accept(_Tool):
    """Say that what came together does what was wanted."""


class ReportFault(_Tool):
    """Say what does not."""

    fault: _Reason


TOOLS: dict[Role, tuple[type[_Tool], ...]] = {
    "manager": (ListFiles, ReadFile, AddTask, FinishPlan),
    "developer": (ListFiles, ReadFile, WriteFile, ReplaceText, Submit),
    "reviewer": (ListFiles, ReadFile, Approve, Reject),
    "tester": (ListFiles, ReadFile, Accept, ReportFault),
}


def tool_name(tool: type[_Tool]) -> str:
    """A tool's name, as models call it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", tool.__name__).lower()


def descriptions(role: Role) -> tuple[dict[str, Any], ...]:
    """The tools of a role, as a request names them."""
    found = []
    for tool in TOOLS[role]:
        schema = tool.model_json_schema()
        about = schema.pop("description")
        found.append(
            {"type": "function", "function": {"name": tool_name(tool), "description": about, "parameters": schema}}
        )
    return tuple(found)


@dataclass
class Toolbox:
    """A role's tools over a worktree. ``decision`` is what ended its work."""

    role: Role
    worktree: Worktree
    allowed: tuple[str, ...] = ()
    """Patterns of paths that may be written."""
    tasks: list[AddTask] = field(default_factory=list)
    decision: FinishPlan | Submit | Approve | Reject | Accept | ReportFault | None = None

    def use(self, call: ToolCall) -> str:
        """What comes of a call; a mistake is an answer that begins with ``error``."""
        return whole(self._answer(call))

    def _answer(self, call: ToolCall) -> str:
        kinds = {tool_name(tool): tool for tool in TOOLS[self.role]}
        if call.name not in kinds:
            return f"error: no tool {call.name}; there are {', '.join(kinds)}"
        try:
            return self._do(kinds[call.name].model_validate(_parsed(call.arguments)))
        except json.JSONDecodeError as error:
            return f"error: the arguments are not JSON: {error}"
        except ValidationError as error:
            fault = error.errors()[0]
            return f"error: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        except RecursionError:
            return "error: it is nested too deeply"
        except (ValueError, OSError) as error:
            return f"error: {error}"

    def _do(self, tool: _Tool) -> str:
        match tool:
            case ListFiles():
                return self._list()
            case ReadFile(path=path):
                return self._read(path)
            case WriteFile(path=path, content=content):
                return self._write(path, content)
            case ReplaceText(path=path, old=old, new=new):
                return self._replace(path, old, new)
            case AddTask():
                return self._add(tool)
            case FinishPlan() | Submit() | Approve() | Reject() | Accept() | ReportFault():
                self.decision = tool
                return "done"
        raise AssertionError(tool)

    def _list(self) -> str:
        root = self.worktree.folder
        files = (
            path for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.relative_to(root).parts
        )
        names = [str(path.relative_to(root)) for path in files]
        more = [f"and {len(names) - _MOST_LISTED} more"] if len(names) > _MOST_LISTED else []
        return "\n".join(names[:_MOST_LISTED] + more) or "no files"

    def _read(self, path: str) -> str:
        content = safe_path(self.worktree.folder, path).read_bytes().decode(errors="replace")
        return content if len(content) <= _MOST_READ else f"{content[:_MOST_READ]}\n[{len(content)} characters in all]"

    def _write(self, path: str, content: str) -> str:
        file = safe_path(self.worktree.folder, path)
        if not is_allowed(path, self.allowed):
            raise ValueError(f"{path} is not among the task's paths: {', '.join(self.allowed)}")
        encoded = content.encode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded)
        return f"{path} is written. If the task is done, submit it."

    def _replace(self, path: str, old: str, new: str) -> str:
        content = safe_path(self.worktree.folder, path).read_bytes().decode()
        times = content.count(old) if old else 0
        if times != 1:
            raise ValueError(f"that piece stands in {path} {times} times")
        return self._write(path, content.replace(old, new))

    def _add(self, task: AddTask) -> str:
        known = {one.task for one in self.tasks}
        if task.task in _TAKEN:
            raise ValueError(f"{task.task} is a name of the run's own: take another")
        if task.task in known:
            raise ValueError(f"there is a task {task.task} already")
        if missing := set(task.after) - known:
            raise ValueError(f"{', '.join(sorted(missing))} must be added before what comes after")
        if len(self.tasks) == _MOST_TASKS:
            raise ValueError(f"a plan has at most {_MOST_TASKS} tasks")
        self.tasks.append(task)
        return f"{len(self.tasks)} tasks. If the plan is whole, finish it."


def _parsed(arguments: str) -> Any:
    """JSON as it is, but for halves of characters, which no file can hold."""
    found = json.loads(arguments or "{}")
    if whole(text := json.dumps(found, ensure_ascii=False)) != text:
        raise ValueError("the arguments hold half of a character (a surrogate)")
    return found
