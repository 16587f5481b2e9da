"""``photoseek mcp`` as an assistant meets it: a real child process, asked through the protocol's own client."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs photoseek[mcp]")

from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ImageContent, TextContent, Tool
from PIL import Image

from retrieval import Filter, Gallery, Query, QueryEngine, RetrievalError
from retrieval.labels.albums import create_album
from retrieval.search.language import parse_query
from retrieval.web.assistant.tools import SHOWN
from tests.conftest import EXAMPLES
from tests.pictures import save_picture

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", str(ROOT / "cli.py"), "mcp", "--gallery"]


class Assistant:
    """A client of a child process; ``call`` returns what a tool answered."""

    def __init__(self, portal: Any, client: Client) -> None:
        self._portal, self._client = portal, client

    def tools(self) -> list[Tool]:
        found: list[Tool] = self._portal.call(self._client.list_tools).tools
        return found

    def call(self, tool: str, **arguments: Any) -> CallToolResult:
        answer: CallToolResult = self._portal.call(self._client.call_tool, tool, arguments)
        return answer

    def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The data of an answer that is no error; the text for assistants without data says the same."""
        answer = self.call(tool, **arguments)
        assert not answer.is_error, answer.content
        assert isinstance(answer.content[0], TextContent)
        assert json.loads(answer.content[0].text) == answer.structured_content
        data: dict[str, Any] = answer.structured_content
        return data

    def error(self, tool: str, **arguments: Any) -> list[str]:
        """The lines of an answer that is an error."""
        answer = self.call(tool, **arguments)
        assert answer.is_error and answer.structured_content is None
        [text] = answer.content
        assert isinstance(text, TextContent)
        return text.text.splitlines()


@contextmanager
def assistant_of(gallery: Path, cwd: Path = ROOT) -> Iterator[Assistant]:
    child = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], str(gallery)], cwd=cwd, env={"OMP_NUM_THREADS": "1"}
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(child, read_timeout_seconds=600)) as client,
    ):
        yield Assistant(portal, client)


@pytest.fixture(scope="module")
def place(indexed_examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(indexed_examples, tmp_path_factory.mktemp("mcp") / "gallery"))


@pytest.fixture(scope="module")
def assistant(place: Path) -> Iterator[Assistant]:
    with assistant_of(place, EXAMPLES) as assistant:
        yield assistant


@pytest.fixture(scope="module")
def engine(place: Path) -> Iterator[QueryEngine]:
    with QueryEngine(Gallery(place)) as engine:
        yield engine


def test_tools_say_what_they_take_and_that_they_only_read(assistant: Assistant) -> None:
    tools = {tool.name: tool for tool in assistant.tools()}
    assert set(tools) == {"search", "similar", "describe_gallery"}
    for tool in tools.values():
        assert tool.annotations is not None and tool.annotations.read_only_hint
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None and tool.output_schema["type"] == "object"
    conditions = {field.name for field in fields(Filter)}
    for name, own in (("search", {"query", "page", "relevant", "sort", "only"}), ("similar", {"picture"})):
        given = tools[name].input_schema["properties"]
        assert set(given) == conditions | own | {"k", "min_score", "thumbnails"}
        assert all("description" in each or name.startswith("no_") for name, each in given.items())


@pytest.mark.parametrize(
    "query", ["a dog", "2:flower + img:photos/flowers/rose.jpg - water", "a bird -water", "img:id:7"]
)
def test_search_finds_what_the_engine_finds(
    assistant: Assistant, engine: QueryEngine, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = query.replace("img:photos/", "img:")  # the child runs in the folder of the photos
    monkeypatch.chdir(EXAMPLES)
    found = assistant.ask("search", query=query, k=5)
    hits = engine.search(Query(parse_query(query), k=5))
    assert [hit["id"] for hit in found["hits"]] == [hit.image.id for hit in hits]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit.score for hit in hits], abs=1e-5)
    assert [hit["path"] for hit in found["hits"]] == [hit.image.path for hit in hits]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4, 5]


def test_filters_hold_and_what_they_do_not_know_is_told(assistant: Assistant) -> None:
    found = assistant.ask("search", query="a bird", k=50, glob=["birds/"], no_format=["png"])
    assert {Path(hit["path"]).parent.name for hit in found["hits"]} == {"birds"}
    assert {hit["format"] for hit in found["hits"]} == {"JPEG", "WEBP"}
    dated = assistant.ask("search", query="a bird", after="2001")
    assert dated["hits"] == []
    assert dated["notes"] == [
        "120 pictures are left out because their date is unknown",
        "nothing found",
    ]


def test_only_one_source_is_searched(assistant: Assistant) -> None:
    found = assistant.ask("search", query="flamingo", only="names", k=50)
    assert {Path(hit["path"]).stem for hit in found["hits"]} == {"flamingo"}
    assert len(assistant.ask("search", query="flamingo", only="visual", k=50)["hits"]) == 50
    assert assistant.ask("search", query="flamingo", only="text", k=50)["hits"] == []
    refused = assistant.call("search", query="name:flamingo", only="names")
    assert refused.is_error


def test_pages_follow_each_other(assistant: Assistant) -> None:
    whole = assistant.ask("search", query="a flower", k=20)
    second = assistant.ask("search", query="a flower", k=10, page=2)
    assert second["hits"] == whole["hits"][10:]
    assert second["more"] is True
    assert assistant.ask("search", query="a flower", k=50, page=3)["more"] is False


def test_relevant_says_when_there_is_nothing(assistant: Assistant) -> None:
    nothing = assistant.ask("search", query="a surface-to-air missile launcher at a parade", relevant=True, k=50)
    assert nothing["hits"] == []
    assert nothing["notes"][0].startswith("nothing in this gallery matches well (the nearest picture scores ")
    dogs = assistant.ask("search", query="a dog", relevant=True, k=50)
    assert dogs["total"] == len(dogs["hits"]) > 0
    assert all(hit["relevance"] >= 0.99 for hit in dogs["hits"])


def test_similar_by_id_and_by_path_is_the_same(assistant: Assistant, engine: QueryEngine) -> None:
    dog = engine.reader.record_at(EXAMPLES / "animals" / "dog.jpg")
    assert dog is not None
    by_id = assistant.ask("similar", picture=f"id:{dog.id}", k=6)
    assert assistant.ask("similar", picture="animals/dog.jpg", k=6) == by_id
    assert assistant.ask("similar", picture=str(EXAMPLES / "animals" / "dog.jpg"), k=6) == by_id
    assert [hit["id"] for hit in by_id["hits"]] == [hit.image.id for hit in engine.similar(dog.id, 6)]
    assert dog.id not in [hit["id"] for hit in by_id["hits"]]


def test_a_picture_from_elsewhere(assistant: Assistant, tmp_path: Path) -> None:
    copied = tmp_path / "unknown.png"
    with Image.open(EXAMPLES / "animals" / "dog.jpg") as dog:
        dog.save(copied)
    assert Path(assistant.ask("similar", picture=str(copied), k=1)["hits"][0]["path"]).name == "dog.jpg"


def test_describe_counts_what_is_there(assistant: Assistant, engine: QueryEngine) -> None:
    told = assistant.ask("describe_gallery")
    assert told["pictures"] == 120
    assert told["folders"] == [str(EXAMPLES)]
    assert told["model"] == "builtin-224"
    assert {each["value"]: each["count"] for each in told["formats"]} == engine.reader.summary()["formats"]
    assert told["with_date"] == told["with_place"] == 0
    assert any("the date of 120 pictures" in line for line in told["cannot"])
    assert not any("tags" in line for line in told["can"])


def test_describe_knows_cameras_years_and_tags(web_gallery: Gallery, own_gallery: Gallery) -> None:
    with own_gallery.writer() as catalog, catalog.transaction() as transaction:
        run = transaction.connection.exec_driver_sql
        run("UPDATE images SET camera = 'Pentax K-1', taken_at = '2019-07-01T10:00:00' WHERE id <= 10")
        run("UPDATE images SET camera = 'Canon R5', taken_at = '2021-07-01T10:00:00', latitude = 1, longitude = 2 "
            "WHERE id BETWEEN 11 AND 13")  # fmt: skip
        run("INSERT INTO tags (image_id, tag, source) "
            "VALUES (1, 'zoo', 'user'), (2, 'zoo', 'user'), (2, 'rex', 'user')")  # fmt: skip
    create_album(own_gallery, "Summer", [1])
    with assistant_of(own_gallery.path) as assistant:
        told = assistant.ask("describe_gallery")
        hit = assistant.ask("search", query="img:id:2", tag=["zoo"], k=1)["hits"][0]
    assert told["cameras"] == [{"value": "Pentax K-1", "count": 10}, {"value": "Canon R5", "count": 3}]
    assert told["years"] == [{"value": "2021", "count": 3}, {"value": "2019", "count": 10}]
    assert told["tags"] == [{"value": "zoo", "count": 2}, {"value": "rex", "count": 1}]
    assert (told["with_date"], told["with_place"], told["albums"]) == (13, 3, ["Summer"])
    assert (hit["id"], hit["tags"], hit["camera"]) == (2, ["rex", "zoo"], "Pentax K-1")


def test_thumbnails_are_small_jpegs_of_the_first_hits(assistant: Assistant) -> None:
    plain = assistant.call("search", query="a car", k=20)
    assert len(plain.content) == 1
    shown = assistant.call("search", query="a car", k=20, thumbnails=True)
    assert shown.structured_content == plain.structured_content
    texts, pictures = shown.content[1::2], shown.content[2::2]
    assert len(texts) == len(pictures) == SHOWN
    for text, picture, hit in zip(texts, pictures, shown.structured_content["hits"], strict=False):
        assert isinstance(text, TextContent) and isinstance(picture, ImageContent)
        assert text.text == f"rank {hit['rank']}, id:{hit['id']}"
        assert picture.mime_type == "image/jpeg"
        image = Image.open(io.BytesIO(base64.b64decode(picture.data)))
        assert image.format == "JPEG"
        assert max(image.size) <= 256
        assert image.width / image.height == pytest.approx(hit["width"] / hit["height"], rel=0.05)
        assert not image.getexif()


@pytest.mark.parametrize("query", ["a - ", "0:x", "img:/no/such.jpg", "img:https://example.org/a.jpg", "- water"])
def test_errors_are_those_of_the_command_line(assistant: Assistant, engine: QueryEngine, query: str) -> None:
    with pytest.raises(RetrievalError) as raised:
        engine.search(Query(parse_query(query)))
    told = f"{raised.value.message}\n{raised.value.hint}".splitlines()
    assert assistant.error("search", query=query) == told


@pytest.mark.parametrize(
    ("tool", "arguments", "about"),
    [
        ("search", {"query": "x", "k": 51}, "k: "),
        ("search", {"query": "x", "k": 0}, "k: "),
        ("search", {"query": ""}, "query: "),
        ("search", {"query": "x" * 3000}, "query: "),
        ("search", {"query": "x", "yaer": "2020"}, "yaer: "),
        ("search", {"query": "x", "page": 201}, "page: "),
        ("search", {}, "query: "),
        ("similar", {"picture": 7}, "picture: "),
        ("describe_gallery", {"deep": True}, "deep: "),
        ("search", {"query": "x", "after": "someday"}, "'someday' is not a date"),
        ("search", {"query": "x", "after": "2023-13"}, "'2023-13' is not a date"),
        ("search", {"query": "x", "near": ["here"]}, "'here' has no comma"),
        ("search", {"query": "x", "format": ["jepg"]}, "no picture in this gallery has the format"),
        ("similar", {"picture": "id:100000"}, "there is no image 100000"),
        ("similar", {"picture": "id:1", "glob": ["x"] * 100 + ["y"]}, "glob: "),
        ("similar", {"picture": str(ROOT / "README.md")}, ""),
        ("delete", {}, "there is no tool 'delete'"),
    ],
    ids=str,
)
def test_wrong_use_is_an_answer_of_two_lines(
    assistant: Assistant, tool: str, arguments: dict[str, Any], about: str
) -> None:
    lines = assistant.error(tool, **arguments)
    assert len(lines) == 2
    assert lines[0].startswith(about)
    assert "Traceback" not in lines[0]


def test_nothing_is_written_to_the_catalog(place: Path, assistant: Assistant) -> None:
    with Gallery(place).reader() as reader:
        before = reader.version(), reader.change()
        for tool, arguments in (
            ("search", {"query": "a train", "thumbnails": True}),
            ("similar", {"picture": "id:5"}),
            ("describe_gallery", {}),
        ):
            assistant.ask(tool, **arguments)
        assert (reader.version(), reader.change()) == before


def test_many_at_once_are_all_answered(assistant: Assistant) -> None:
    import anyio

    async def ask_all() -> list[str]:
        answers: dict[int, str] = {}

        async def one(number: int) -> None:
            answer = await assistant._client.call_tool("similar", {"picture": f"id:{number}", "k": 1})
            answers[number] = answer.structured_content["hits"][0]["path"]

        async with anyio.create_task_group() as group:
            for number in range(1, 31):
                group.start_soon(one, number)
        return [answers[number] for number in range(1, 31)]

    together = assistant._portal.call(ask_all)
    alone = [assistant.ask("similar", picture=f"id:{number}", k=1)["hits"][0]["path"] for number in range(1, 31)]
    assert together == alone


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end, "it did not happen"


def test_it_follows_an_indexer_and_begins_before_there_is_a_gallery(tmp_path: Path) -> None:
    photos, gallery = tmp_path / "photos", tmp_path / "gallery"
    for number in range(30):
        save_picture(photos / f"{number}.png", "red" if number % 2 else "blue", seed=number)
    shutil.copy(EXAMPLES / "animals" / "dog.jpg", photos)
    index = [sys.executable, str(ROOT / "cli.py"), "index", str(photos), "--gallery", str(gallery), "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with assistant_of(gallery) as assistant:
        lines = assistant.error("search", query="a dog")
        assert lines == [f"there is no gallery at {gallery}", "create one: photoseek index FOLDER"]
        with subprocess.Popen(index, env=environment) as indexer:
            seen = []
            while indexer.poll() is None:
                answer = assistant.call("search", query="a dog", k=50)
                if answer.is_error:  # not there yet
                    assert len(answer.content[0].text.splitlines()) == 2
                else:
                    seen.append(len(answer.structured_content["hits"]))
            assert indexer.returncode == 0
        assert seen == sorted(seen)
        assert len(assistant.ask("search", query="a dog", k=50)["hits"]) == 31
        save_picture(photos / "new.png", "green", seed=77)
        assert subprocess.run(index, env=environment, check=False).returncode == 0
        assert assistant.ask("describe_gallery")["pictures"] == 32
        until(lambda: len(assistant.ask("search", query="a dog", k=50)["hits"]) == 32)


def test_changed_pictures_are_left_out_with_a_note(own_gallery: Gallery, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save_picture(photos / "a.png", "red", seed=1)
    save_picture(photos / "b.png", "red", seed=2)
    index = [sys.executable, str(ROOT / "cli.py"), "index", str(photos), "--gallery", str(tmp_path / "g"), "--quiet"]
    assert subprocess.run(index, check=False).returncode == 0
    save_picture(photos / "b.png", "blue", seed=3)
    with assistant_of(tmp_path / "g") as assistant:
        found = assistant.ask("search", query="red", thumbnails=True)
        assert [Path(hit["path"]).name for hit in found["hits"]] == ["a.png"]
        assert found["notes"] == ["1 picture is skipped: changed since it was indexed; run: photoseek index"]


def test_stdout_is_the_protocol_alone_and_it_leaves_when_stdin_ends(place: Path) -> None:
    ask = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    ask["params"] = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    call["params"] = {"name": "search", "arguments": {"query": "a dog and " * 100, "k": 1}}
    with subprocess.Popen(
        [*COMMAND, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        said = []
        for message in (ask, {"jsonrpc": "2.0", "method": "notifications/initialized"}, call):
            child.stdin.write(json.dumps(message) + "\n")
            child.stdin.flush()
            if "id" in message:
                said.append(json.loads(child.stdout.readline()))
        child.stdin.close()
        assert child.wait(timeout=600) == 0
        assert [each["id"] for each in said] == [1, 2]
        assert said[0]["result"]["serverInfo"]["name"] == "photoseek"
        warning = "the text is longer than the model reads"
        assert said[1]["result"]["structuredContent"]["notes"][0].startswith(warning)
        assert child.stdout.read() == ""
        assert warning in child.stderr.read()


def test_without_the_package_two_lines_say_what_to_install(place: Path) -> None:
    code = f"import sys; sys.modules['mcp'] = None; sys.argv = ['photoseek', 'mcp', '--gallery', {str(place)!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}import cli; cli.main()"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2:] == [
        "photoseek: mcp is not installed",
        "           pip install 'photoseek[mcp]'",
    ]
