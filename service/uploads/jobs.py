"""Uploads by their id: running ones, and ended ones with their results for a limited time.

Policy `drop_oldest_job`: beyond a number, a sum of bytes or an age, the upload that ended first is evicted.
Uploads rejected for lack of capacity are evicted at once, so that they can be sent again under their id.
"""

import asyncio
from collections.abc import Iterator

from fastapi import Request

from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import JobNotFound, TooManyJobs
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.spool import Spool
from spikewatch.service.uploads.upload import Upload


class UploadRegistry:
    """Table of uploads. Lives on the event loop."""

    def __init__(self, manager: SessionManager, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._manager = manager
        self.spool = Spool(manager.settings.max_spool_bytes, manager.upload_pool)
        self._uploads: dict[str, Upload] = {}
        manager.metrics.jobs.set_function(lambda: len(self._uploads))

    def create(self, request: Request, query: UploadQuery, client: Principal) -> Upload:
        """Start and return a new upload.

        Raises:
            JobNotFound: the request resumes an upload that does not exist.
            TooManyJobs: too many concurrent uploads.
        """
        self.evict(free_slots=1)
        if query.offset:
            raise self._not_found_error(str(query.job_id))
        if len(self._uploads) >= self._manager.settings.jobs_max_count:
            raise TooManyJobs(f"too many concurrent uploads, at most {len(self._uploads)}; retry later")
        job_id = client.new_id() if query.job_id is None else client.qualify_id(query.job_id)
        upload = Upload(job_id, request, self._manager, self.spool, query, client, self._authenticator)
        self._uploads[upload.job_id] = upload
        return upload

    def get(self, job_id: str) -> Upload:
        """Return an upload; JobNotFound if it never existed or was evicted."""
        self.evict()
        if job_id not in self._uploads:
            raise self._not_found_error(job_id)
        return self._uploads[job_id]

    def contains(self, job_id: str) -> bool:
        """Return whether an upload has this id."""
        self.evict()
        return job_id in self._uploads

    async def delete(self, upload: Upload) -> None:
        """Cancel an upload and drop its results."""
        self._uploads.pop(upload.job_id, None)
        await upload.stop()

    async def stop(self) -> None:
        """Cancel all uploads."""
        await asyncio.gather(*(self.delete(upload) for upload in list(self._uploads.values())))

    def evict(self, free_slots: int = 0) -> None:
        """Evict rejected and expired uploads, and ended ones until the limits hold with `free_slots` more."""
        settings, now_s = self._manager.settings, self._manager.clock()
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
        """Yield ended uploads and when they ended, oldest first."""
        ended = [(job, job.finished_s) for job in self._uploads.values() if job.finished_s is not None]
        yield from sorted(ended, key=lambda entry: entry[1])

    def _evict_upload(self, upload: Upload, reason: str) -> None:
        del self._uploads[upload.job_id]
        self._manager.metrics.jobs_dropped.labels(reason).inc()

    def _not_found_error(self, job_id: str) -> JobNotFound:
        return JobNotFound(
            f"upload {job_id[:64]!r} not found; it never existed, was rejected, or has expired"
        )
