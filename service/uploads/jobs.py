"""Uploads by their id: those under way, and the results of those that ended, for a while.

Policy `drop_oldest_job`: beyond a number, a sum of bytes or an age, what ended longest ago is forgotten.
What was refused for want of room is forgotten at once, so that it can be sent again under its id.
"""

import asyncio
import time
from collections.abc import Iterator

from fastapi import Request

from spikewatch.service.auth.access import Access
from spikewatch.service.auth.client import Caller
from spikewatch.service.errors import JobUnknown, TooManyJobs
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.spool import Spool
from spikewatch.service.uploads.upload import Upload


class Jobs:
    """Lives on the event loop."""

    def __init__(self, host: SessionHost, access: Access) -> None:
        self._access = access
        self._host = host
        self.spool = Spool(host.settings.max_spool_bytes)
        self._jobs: dict[str, Upload] = {}
        host.metrics.jobs.set_function(lambda: len(self._jobs))

    def begin(self, request: Request, query: UploadQuery, caller: Caller) -> Upload:
        """A new upload.

        Raises:
            JobUnknown: it wants to go on with one that is not here.
            TooManyJobs: too many are under way.
        """
        self.tidy(room=1)
        if query.offset:
            raise self._unknown(str(query.job_id))
        if len(self._jobs) >= self._host.settings.jobs_max_count:
            raise TooManyJobs(f"{len(self._jobs)} uploads are under way; try again later")
        job_id = caller.new_id() if query.job_id is None else caller.inside(query.job_id)
        upload = Upload(job_id, request, self._host, self.spool, query, caller, self._access)
        self._jobs[upload.job_id] = upload
        return upload

    def get(self, job_id: str) -> Upload:
        """An upload; JobUnknown if there is none, or it was forgotten."""
        self.tidy()
        if job_id not in self._jobs:
            raise self._unknown(job_id)
        return self._jobs[job_id]

    def holds(self, job_id: str) -> bool:
        """True if an upload of this id is known."""
        self.tidy()
        return job_id in self._jobs

    async def forget(self, upload: Upload) -> None:
        """End an upload and drop its results."""
        self._jobs.pop(upload.job_id, None)
        await upload.stop()

    async def stop(self) -> None:
        """End all."""
        await asyncio.gather(*(self.forget(upload) for upload in list(self._jobs.values())))

    def tidy(self, room: int = 0) -> None:
        """Forget what was refused, has been kept long enough, or has no room beside `room` new ones."""
        settings, now_s = self._host.settings, time.monotonic()
        for upload in [job for job in self._jobs.values() if job.refused]:
            del self._jobs[upload.job_id]
        for upload, ended_s in list(self._ended()):
            if now_s - ended_s > settings.jobs_keep_s:
                self._drop(upload, "expired")
            elif len(self._jobs) + room > settings.jobs_max_count:
                self._drop(upload, "count")
            elif sum(job.nbytes for job in self._jobs.values()) > settings.jobs_max_bytes:
                self._drop(upload, "bytes")

    def _ended(self) -> Iterator[tuple[Upload, float]]:
        """Uploads that have ended and when, the longest ago first."""
        ended = [(job, job.finished_s) for job in self._jobs.values() if job.finished_s is not None]
        yield from sorted(ended, key=lambda entry: entry[1])

    def _drop(self, upload: Upload, reason: str) -> None:
        del self._jobs[upload.job_id]
        self._host.metrics.jobs_dropped.labels(reason).inc()

    def _unknown(self, job_id: str) -> JobUnknown:
        return JobUnknown(f"no upload {job_id[:64]!r}; it never was, was refused, or has expired")
