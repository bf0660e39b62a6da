"""Where archived calls go: a folder, or a bucket of S3 or of what speaks like it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from surtitle.settings import UserError


class Place(Protocol):
    """Holds documents by name. `UserError` where it cannot."""

    async def read(self, name: str) -> bytes | None:
        """The document, None where there is none."""

    async def write(self, name: str, data: bytes) -> None:
        """Put the document there, wholly or not at all."""


def place_of(destination: str) -> Place:
    """The folder, or the bucket of `s3://bucket/prefix`; nothing is written yet."""
    scheme, separator, rest = destination.partition("://")
    if not separator:
        return Folder(Path(destination))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UserError(
            f"cannot archive to {destination!r}; it takes a folder or s3://bucket/prefix"
        )
    return Bucket(bucket, prefix.strip("/"))


class Folder:
    """Files that only their owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, name: str) -> bytes | None:
        """See `Place`."""
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: str, data: bytes) -> None:
        """See `Place`."""
        await asyncio.to_thread(self._write, name, data)

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read the archive: {error}") from None

    def _write(self, name: str, data: bytes) -> None:
        temporary = None
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Beside it, since only within a file system a rename is all or nothing.
            descriptor, temporary = tempfile.mkstemp(dir=self._path, prefix=".", suffix=".part")
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            Path(temporary).replace(self._path / name)
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise UserError(f"cannot write to the archive: {error}") from None


class Bucket:
    """Objects; credentials, region and endpoint are those of the AWS variables and files."""

    def __init__(self, bucket: str, prefix: str) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise UserError("archiving to S3 needs boto3: pip install 'surtitle[s3]'") from None
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        with _failures(bucket):
            patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
            self._client: Any = boto3.client("s3", config=patience)

    async def read(self, name: str) -> bytes | None:
        """See `Place`."""
        return await asyncio.to_thread(self._read, name)

    async def write(self, name: str, data: bytes) -> None:
        """See `Place`."""
        await asyncio.to_thread(self._write, name, data)

    def _read(self, name: str) -> bytes | None:
        with _failures(self._bucket):
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._client.exceptions.NoSuchKey:
                return None
            return bytes(found["Body"].read())

    def _write(self, name: str, data: bytes) -> None:
        with _failures(self._bucket):
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=data,
                ContentType="application/json",
            )


@contextmanager
def _failures(bucket: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(f"the bucket {bucket!r} cannot be used: {error}") from None
