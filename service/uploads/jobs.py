"""Uploads by their id: those under way, and the results of those that ended, for a while.

Policy `drop_oldest_job`: beyond a number, a sum of bytes or an age, what ended longest ago is forgotten.
What was refused for want of room is forgotten at once, so that it can be sent again under its id.
"""

import asyncio
import time
from collections.abc import Iterator

from fastapi import Request

from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.client import Client
from spikewatch.service.errors import JobNotFound, TooManyJobs
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.spool import Spool
from spikewatch.service.uploads.upload import Upload


class UploadRegistry:
    """Lives on the event loop."""

    def __init__(self, manager: SessionManager, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._manager = manager
        self.spool = Spool(manager.settings.max_spool_bytes)
        self._uploads: dict[str, Upload] = {}
        manager.metrics.jobs.set_function(lambda: len(self._uploads))

    def create(self, request: Request, query: UploadQuery, client: Client) -> Upload:
        """A new upload.

        Raises:
            JobNotFound: it wants to go on with one that is not here.
            TooManyJobs: too many are under way.
        """
        self.evict(free_slots=1)
        if query.offset:
            raise self._not_found_error(str(query.job_id))
        if len(self._uploads) >= self._manager.settings.jobs_max_count:
            raise TooManyJobs(f"{len(self._uploads)} uploads are under way; try again later")
        job_id = client.new_id() if query.job_id is None else client.qualify_id(query.job_id)
        upload = Upload(job_id, request, self._manager, self.spool, query, client, self._authenticator)
        self._uploads[upload.job_id] = upload
        return upload

    def get(self, job_id: str) -> Upload:
        """An upload; JobNotFound if there is none, or it was forgotten."""
        self.evict()
        if job_id not in self._uploads:
            raise self._not_found_error(job_id)
        return self._uploads[job_id]

    def contains(self, job_id: str) -> bool:
        """True if an upload of this id is known."""
        self.evict()
        return job_id in self._uploads

    async def delete(self, upload: Upload) -> None:
        """End an upload and drop its results."""
        self._uploads.pop(upload.job_id, None)
        await upload.stop()

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(self.delete(upload) for upload in list(self._uploads.values())))

    def evict(self, free_slots: int = 0) -> None:
        """Forget what was refused, has been kept long enough, or has no room beside `free_slots` new ones."""
        settings, now_s = self._manager.settings, time.monotonic()
        for upload in [job for job in self._uploads.values() if job.is_retryable]:
            del self._uploads[upload.job_id]
        for upload, ended_s in list(self._ended_uploads()):
            if now_s - ended_s > settings.jobs_keep_s:
                self._evict_upload(upload, "expired")
            elif len(self._uploads) + free_slots > settings.jobs_max_count:
                self._evict_upload(upload, "count")
            elif sum(job.nbytes for job in self._uploads.values()) > settings.jobs_max_bytes:
                self._evict_upload(upload, "bytes")

    def _ended_uploads(self) -> Iterator[tuple[Upload, float]]:
        """Uploads that have ended and when, the longest ago first."""
        ended = [(job, job.finished_s) for job in self._uploads.values() if job.finished_s is not None]
        yield from sorted(ended, key=lambda entry: entry[1])

    def _evict_upload(self, upload: Upload, reason: str) -> None:
        del self._uploads[upload.job_id]
        self._manager.metrics.jobs_dropped.labels(reason).inc()

    def _not_found_error(self, job_id: str) -> JobNotFound:
        return JobNotFound(f"no upload {job_id[:64]!r}; it never was, was refused, or has expired")
