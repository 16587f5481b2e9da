"""Request and response models of indexing runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]

Standing = Literal["idle", "starting", "running", "stopping", "stopped", "done", "failed"]


class IndexRequest(BaseModel):
    """Which folders to look through."""

    folders: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        default_factory=list,
        max_length=100,
        description="Whole paths, at or below folders that the gallery knows or that `GET /index/folders` offers; "
        "empty: all that it knows.",
    )


class Failing(BaseModel):
    """A file that cannot be used, and why."""

    path: str
    reason: str


class FolderEntry(BaseModel):
    """A folder that can be opened, or chosen."""

    path: str
    name: str


class FolderListing(BaseModel):
    """The folders in a folder of this machine."""

    path: str | None = Field(description="With symbolic links resolved; null: the folders to begin with.")
    parent: str | None = Field(description="The folder around it; null where that may not be looked into.")
    pictures: Count = Field(description="Picture files directly in it, by their names.")
    folders: list[FolderEntry] = Field(max_length=1000)


class TwoLines(BaseModel):
    """What went wrong, and what can be done: the two lines of the command line."""

    title: str
    detail: str


class IndexState(BaseModel):
    """The run that this server started last, or that no one was started yet."""

    state: Standing = Field(
        default="idle",
        description="idle: none was started; stopped: as asked, nothing is lost; failed: error says why.",
    )
    running: bool = Field(default=False, description="True from the start until there is nothing left to wait for.")
    folders: list[str] = Field(default_factory=list, description="Asked for; empty: all.")
    encoder: str | None = None
    device: str | None = None
    started_at: str | None = Field(default=None, description="UTC, ISO 8601.")
    finished_at: str | None = None
    stage: Literal["walk", "encode", "index", "text", "faces"] | None = None
    done: Count = Field(default=0, description="Files settled, unchanged ones included.")
    total: Count | None = Field(default=None, description="Files that will be met; null until they are counted.")
    encoded: Count = Field(default=0, description="Pictures that went through the encoder.")
    failed: Count = Field(default=0, description="Files of this run that cannot be used.")
    rate: Seconds | None = Field(default=None, description="Pictures a second through the encoder.")
    seconds: Seconds = 0.0
    seconds_left: Seconds | None = None
    report: dict[str, Any] | None = Field(default=None, description="What the run did, as in the catalog's runs.")
    error: TwoLines | None = None


class IndexAnswer(IndexState):
    """The run, and what can be asked for."""

    may_add: bool = Field(description="Folders that the gallery does not know may be asked for.")
    may_browse: bool = Field(description="Some of them can be found by `GET /index/folders`.")
    failures: list[Failing] = Field(max_length=100, description="Files that cannot be used, the first hundred.")
