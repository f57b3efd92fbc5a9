"""Uploaded files stay in memory: they may hold secrets, which a temporary file would keep."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from orgs.services.bulk.files.rows import MAX_BYTES


class InMemory(FileUploadHandler):
    """The only upload handler (settings): no file of any page is ever written to disk.

    Of a file larger than `MAX_BYTES` nothing is kept but its size, by which forms
    tell it; memory stays bounded, and the rest of the form arrives.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.kept = BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > MAX_BYTES:
            self.kept = BytesIO()
        else:
            self.kept.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile:
        self.kept.seek(0)
        return InMemoryUploadedFile(
            self.kept, self.field_name, self.file_name, self.content_type, file_size, self.charset
        )
