"""The Python client of ``photoseek serve``: the library's methods over HTTP, by subject."""
