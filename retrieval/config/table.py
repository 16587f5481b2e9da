"""Every setting, one row each: ``photoseek config``, the defaults of flags, completion and docs/settings.md use it.

To add a setting, add a row. If it is the default of a flag, name the flag's command and parameter, and nothing else is
necessary; otherwise call ``values.setting`` where it is used.

A gallery may come from a stranger. Its file may only set rows with ``in_gallery``: none with a path, a program,
an address, a device or a model, none that makes more accessible over the network; and numbers have bounds that are
harmless on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from retrieval.config.kinds import Number, OneOf, OnOff, Text, Texts, Whole

if TYPE_CHECKING:
    from retrieval.config.kinds import Kind


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: in a file; ``serve.port`` is ``port`` in the table ``[serve]``.
        default: its value if it is not set; None: see ``usual``.
        help: a description, a sentence without its full stop.
        in_gallery: the gallery's file may set it.
        flags: parameters of commands that have it as default: ``index.workers``.
        variable: of the environment; by default derived from the name: ``PHOTOSEEK_SERVE_PORT``.
        usual: a description of the default.
    """

    name: str
    kind: Kind
    default: object
    help: str
    in_gallery: bool = False
    flags: tuple[str, ...] = ()
    variable: str = ""
    usual: str = ""

    @property
    def environment(self) -> str:
        """The name of its variable."""
        return self.variable or "PHOTOSEEK_" + self.name.upper().replace(".", "_").replace("-", "_")


SETTINGS = (
    Setting("gallery", Text(4096, is_folder=True), None, "Gallery folder", variable="PHOTOSEEK_GALLERY",
            usual="in your data folder"),
    Setting("models", Text(4096, is_folder=True), None, "Folder of fetched and exported models",
            variable="PHOTOSEEK_MODELS", usual="in your data folder"),
    Setting("model", Text(), None, "Model where command and gallery have none", usual="the best installed"),
    Setting("precision", OneOf(("auto", "bf16", "fp32", "int8")), "auto", "Precision of the image tower",
            in_gallery=True, variable="PHOTOSEEK_PRECISION"),
    Setting("device", Text(20), "auto", "auto, cpu, cuda or cuda:N, for index and train",
            flags=("index.device", "train.device")),
    Setting("compile", OnOff(), False, "Run torch models through torch.compile", variable="PHOTOSEEK_TORCH_COMPILE"),
    Setting("text-cache", OnOff(says_no=True), True, "Remember embeddings of words (the variable turns it off)",
            in_gallery=True, variable="PHOTOSEEK_NO_CACHE"),
    Setting("daemon", OneOf(("never", "running", "start"), (("0", "never"), ("1", "start"))), "running",
            "Let a background process answer searches: never, if one is running, or start one (variable: 0, 1)",
            variable="PHOTOSEEK_DAEMON"),
    Setting("exclude", Texts(), [], "Patterns of files to exclude in every folder, in .gitignore syntax; the "
            "exclusions of single folders (index --exclude) are in the catalog and decide first", in_gallery=True),
    Setting("include", Texts(), [], "Patterns of files to include in every folder although a default excludes them",
            in_gallery=True),
    Setting("index.workers", Whole(0, 256), 0, "Number of threads, or of Ray workers; 0: automatic",
            flags=("index.workers",)),
    Setting("index.executor", OneOf(("local", "ray")), "local", "What encodes: this machine, or a Ray cluster",
            flags=("index.executor",)),
    Setting("index.address", Text(), None, "Ray cluster, HOST:PORT; local: this machine alone",
            flags=("index.address",), usual="the one that runs here"),
    Setting("index.cpus-per-worker", Whole(0, 1024), 0, "Cores of a Ray worker; 0: automatic",
            flags=("index.cpus_per_worker",)),
    Setting("index.gpus-per-worker", Number(0, 64), 0.0, "GPUs of a Ray worker, 0.25 for four on one; 0: automatic",
            flags=("index.gpus_per_worker",)),
    Setting("index.thumbnails", OnOff(), False, "Make the web page's thumbnails while indexing", in_gallery=True,
            flags=("index.thumbnails",)),
    Setting("index.archives", OnOff(), False, "Also index the pictures in tar and parquet files of the folders",
            in_gallery=True, flags=("index.archives",)),
    Setting("index.servers", Texts(100), [], "Servers of vectors that galleries may use for their index, by address; "
            "index --index adds to them"),
    Setting("index.frames-per-minute", Whole(1, 60), 10, "Most frames to search in a minute of a new video",
            in_gallery=True, flags=("index.frames_per_minute",)),
    Setting("index.ocr", OnOff(), None, "Read the words in pictures, in runs without --ocr or --no-ocr, and while "
            "watching; default: as the gallery was last asked by one of the two", in_gallery=True,
            usual="as last asked"),
    Setting("catalog.servers", Texts(100), [], "PostgreSQL servers that galleries may use for their catalog, by "
            "address; init --catalog adds to them"),
    Setting("catalog.read-seconds", Whole(1, 86_400), 300,
            "Seconds after which a question to a catalog in PostgreSQL is given up"),
    Setting("search.limit", Whole(1, 10_000), 10, "Maximum number of hits", in_gallery=True,
            flags=("search.limit", "similar.limit", "shell.limit")),
    Setting("search.raw-pairs", OneOf(("both", "jpeg", "raw")), "both", "How a shot in RAW and JPEG is shown",
            in_gallery=True, flags=("search.raw_pairs", "similar.raw_pairs")),
    Setting("search.live-pairs", OneOf(("both", "still")), "both", "How a live photo and its video are shown",
            in_gallery=True, flags=("search.live_pairs", "similar.live_pairs")),
    Setting("serve.title", Text(60), "photoseek", "Name of the web page", in_gallery=True),
    Setting("serve.host", Text(), "127.0.0.1", "Address to listen on", flags=("serve.host",)),
    Setting("serve.port", Whole(0, 65_535), 8765, "Port to listen on; 0: any free one", flags=("serve.port",)),
    Setting("serve.allow-hosts", Texts(100), [], "Host names under which clients may reach it",
            flags=("serve.allow_host",)),
    Setting("serve.allow-new-folders", OnOff(), False, "Let the page index folders that are not in the gallery yet",
            flags=("serve.allow_new_folders",)),
    Setting("serve.allow-folders", Texts(100), [], "Folders in which the page may choose folders to index",
            flags=("serve.allow_folder",)),
    Setting("serve.read-only", OnOff(), False, "Refuse everything that changes labels, albums or files",
            in_gallery=True, flags=("serve.read_only",)),
    Setting("serve.thumbnails-mib", Whole(16, 65_536), 1024, "Limit of the web page's thumbnails, in MiB",
            in_gallery=True),
    Setting("serve.requests-per-minute", Whole(0, 1_000_000), 0,
            "Requests that each token may send in a minute, to each server; 0: no limit"),
    Setting("serve.readers", Whole(1, 64), 2, "Threads of a server that read the catalog, each with one connection"),
    Setting("serve.upload-mib", Whole(1, 1024), 64, "Limit of a picture that a client uploads, in MiB"),
    Setting("watch.nice", Whole(0, 19), 10, "Priority of photoseek watch: 0 to 19, 19 lets all others go first",
            flags=("watch.nice",)),
    Setting("watch.max-cpu", Whole(0, 10_000), 0, "Percent of one core to use at most; 0: no limit",
            flags=("watch.max_cpu",)),
    Setting("watch.on-battery", OneOf(("run", "pause")), "run", "What to do on battery", flags=("watch.on_battery",)),
    Setting("watch.poll", Whole(0, 86_400), 0, "Look every so many seconds, not by events; 0: only on shares, every 10",
            flags=("watch.poll",)),
    Setting("watch.look-every", Whole(0, 10_080), 15, "Minutes between looks at everything; 0: never",
            flags=("watch.look_every",)),
    Setting("watch.sidecars", OnOff(), True, "Import tags and captions from XMP files that change", in_gallery=True,
            flags=("watch.sidecars",)),
)  # fmt: skip
"""In the order of listing."""

BY_NAME = {row.name: row for row in SETTINGS}
