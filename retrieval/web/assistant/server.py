"""``photoseek mcp``: three read-only tools for AI assistants (Model Context Protocol over stdin and stdout).

The protocol owns stdout; warnings go to stderr. One thread opens the engine, loads the model and answers, because a
``sqlite3`` connection belongs to one thread and encoding must not keep the protocol waiting.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from retrieval.errors import RetrievalError, RuntimeUnavailable
from retrieval.interrupts import leave_on_interrupt

try:
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server
    from mcp.types import (
        CallToolRequestParams,
        CallToolResult,
        ContentBlock,
        ImageContent,
        ListToolsResult,
        PaginatedRequestParams,
        TextContent,
        Tool,
        ToolAnnotations,
    )
    from pydantic import BaseModel, ValidationError
except ModuleNotFoundError as error:
    missing = str(error.name).partition(".")[0]
    raise RuntimeUnavailable(f"{missing} is not installed", "pip install 'photoseek[mcp]'") from error

from retrieval.search.current import CurrentEngine
from retrieval.system_errors import explained
from retrieval.web.assistant.models import DescribeArguments, Description, Found, SearchArguments, SimilarArguments
from retrieval.web.assistant.tools import Answer, describe, search, similar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.context import ServerRequestContext

    from retrieval.gallery import Gallery
    from retrieval.search.engine import QueryEngine

logger = logging.getLogger("photoseek")

_INSTRUCTIONS = (
    "Searches the user's own photos on this machine. Call describe_gallery first: it says what is there and what the "
    "model can and cannot find. A search always lists the nearest pictures; set relevant to learn whether any of them "
    "answers. Refer to pictures by their path. Nothing here changes a file."
)

T = TypeVar("T")


class _Offered(NamedTuple):
    """A tool: its purpose, its arguments and answer, and the function that answers."""

    title: str
    description: str
    arguments: type[BaseModel]
    answer: type[BaseModel]
    run: Callable[[QueryEngine, Any], Answer]


_TOOLS = {
    "search": _Offered(
        "Search photos",
        "Find the user's pictures by what they show, in words, and by date, place, camera, folder, tag and shape.",
        SearchArguments,
        Found,
        search,
    ),
    "similar": _Offered(
        "Similar photos",
        "Find the user's pictures that look like one: an id from an earlier answer, or a picture file.",
        SimilarArguments,
        Found,
        similar,
    ),
    "describe_gallery": _Offered(
        "Describe the gallery",
        "What the user's gallery holds (counts, folders, cameras, years, tags, model), and what can be found in it.",
        DescribeArguments,
        Description,
        lambda engine, _: describe(engine),
    ),
}


class AssistantEngine:
    """The one thread that holds a gallery's engine, kept up to date with the gallery."""

    def __init__(self, gallery: Gallery) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="photoseek-engine")
        self._current = CurrentEngine(gallery)

    def wake(self) -> None:
        """Begin to load model and index; errors are reported to later callers."""
        self._pool.submit(self._wake)

    async def ask(self, job: Callable[[QueryEngine], T]) -> T:
        """Run a job on the engine; raises the errors of the job and of opening the gallery."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: job(self._current.engine()))

    def close(self) -> None:
        """Let the job at hand finish, and close the engine in its own thread."""
        self._pool.submit(self._current.close).result()
        self._pool.shutdown()

    def _wake(self) -> None:
        try:
            self._current.wake()
        except RetrievalError as error:
            logger.warning("%s\n%s", error.message, error.hint)


def serve_stdio(gallery: Gallery) -> None:
    """Answer an assistant on stdin and stdout until it hangs up, or Ctrl-C ends the process."""
    # There is nothing to clean up; the thread that reads stdin would delay an interrupt until
    # the next line.
    leave_on_interrupt()
    asyncio.run(_serve(gallery))


async def _serve(gallery: Gallery) -> None:
    thread = AssistantEngine(gallery)
    thread.wake()
    server = _server(thread)
    try:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        thread.close()


def _server(thread: AssistantEngine) -> Server[Any]:
    async def tools(_context: ServerRequestContext[Any], _asked: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(name, offered) for name, offered in _TOOLS.items()])

    async def call(_context: ServerRequestContext[Any], asked: CallToolRequestParams) -> CallToolResult:
        return await _call(thread, asked.name, asked.arguments or {})

    return Server(
        "photoseek",
        title="photoseek",
        version=version("photoseek"),
        description="Search your own photos with words and with pictures.",
        instructions=_INSTRUCTIONS,
        on_list_tools=tools,
        on_call_tool=call,
    )


def _tool(name: str, offered: _Offered) -> Tool:
    return Tool(
        name=name,
        title=offered.title,
        description=offered.description,
        input_schema=offered.arguments.model_json_schema(),
        output_schema=offered.answer.model_json_schema(mode="serialization"),
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
    )


async def _call(thread: AssistantEngine, name: str, values: Mapping[str, Any]) -> CallToolResult:
    """The answer of a tool; errors are answers, too: assistants read them and try again."""
    if name not in _TOOLS:
        return _failed(f"there is no tool {name!r:.80}", f"there are {', '.join(_TOOLS)}")
    offered = _TOOLS[name]
    try:
        asked = offered.arguments.model_validate(values)
        answer, warnings = await thread.ask(lambda engine: _warned(lambda: offered.run(engine, asked)))
    except ValidationError as error:
        return _failed("; ".join(_wrong(one) for one in error.errors()[:3]), f"see the arguments of {name}")
    except RetrievalError as error:
        return _failed(error.message, error.hint)
    except Exception as error:
        known = explained(error)
        if known is not None:
            return _failed(known.message, known.hint)
        logger.exception("the tool %s failed", name)
        return _failed("internal error", "see what photoseek mcp wrote to stderr")
    if isinstance(answer.found, Found):
        answer.found.notes.extend(warnings)
    return _told(answer)


def _told(answer: Answer) -> CallToolResult:
    """The answer as data and again as text, for assistants that read only text; then the thumbnails."""
    content: list[ContentBlock] = [TextContent(type="text", text=answer.found.model_dump_json())]
    for shown in answer.shown:
        content.append(TextContent(type="text", text=f"rank {shown.rank}, id:{shown.id}"))
        data = base64.b64encode(shown.jpeg).decode("ascii")
        content.append(ImageContent(type="image", data=data, mime_type="image/jpeg"))
    return CallToolResult(content=content, structured_content=answer.found.model_dump(mode="json"))


def _failed(message: str, hint: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=f"{message}\n{hint}")], is_error=True)


def _wrong(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}"


class _Kept(logging.Handler):
    """Collects the warnings of one job, to be added to the answer."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def _kept() -> Iterator[list[str]]:
    handler = _Kept()
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def _warned(job: Callable[[], T]) -> tuple[T, list[str]]:
    with _kept() as lines:
        return job(), lines
