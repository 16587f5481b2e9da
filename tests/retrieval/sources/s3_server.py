"""A real S3 endpoint on loopback (moto), that can be stopped and started again with what it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer
from pytest import MonkeyPatch

from retrieval.sources.stores import STORES

BUCKET = "photos"
KEY, SECRET = "test-key-id", "test-secret-that-is-never-shown"


class S3:
    """One server with one bucket."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self._is_running = True
        self.host, self.port = self._server.get_host_and_port()
        self.url = f"http://{self.host}:{self.port}"
        self._client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        self.root = f"s3://{BUCKET}"
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, data: bytes) -> str:
        """Store an object; its address."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=data)
        return f"{self.root}/{key}"

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._client.delete_object(Bucket=BUCKET, Key=key)

    def held(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket=BUCKET)
        return [each["Key"] for each in found.get("Contents", ())]

    def stop(self) -> None:
        """No connection is accepted any more, and those that are open end."""
        self._server.stop()
        self._is_running = False

    def start(self) -> None:
        """At the same port, with the same objects."""
        self._server = ThreadedMotoServer(self.host, self.port, verbose=False)
        self._server.start()
        self._is_running = True

    def close(self) -> None:
        if not self._is_running:  # a test has failed meanwhile
            self.start()
        self.delete(*self.held())
        self._client.delete_bucket(Bucket=BUCKET)
        self._client.close()
        self._server.stop()


@contextmanager
def s3_server(environment: MonkeyPatch) -> Iterator[S3]:
    """A server, and the environment in which everything finds it."""
    server = S3()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        environment.delenv(name)
    environment.setenv("AWS_ENDPOINT_URL", server.url)
    environment.setenv("AWS_ACCESS_KEY_ID", KEY)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    STORES.forget()
    try:
        yield server
    finally:
        STORES.forget()
        server.close()
