"""Problem documents become the exceptions that the service raised."""

import pytest

from spikewatch.ingest.errors import GeometryError, IngestError
from spikewatch.service.client.problems import error_from_problem
from spikewatch.service.errors import OffsetMismatch, ServiceError, TooManySessions
from spikewatch.service.http.problems import to_problem

KINDS = (*ServiceError.__subclasses__(), *IngestError.__subclasses__())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_returns_as_its_class(kind: type[ServiceError | IngestError]) -> None:
    sent = to_problem(kind("the reason"))
    error = error_from_problem(sent.model_dump(), "http://x answers")
    assert type(error) is kind
    assert error.code == sent.code
    assert str(error) == f"http://x answers: {sent.detail}"
    if isinstance(error, ServiceError):
        assert error.status == sent.status


def test_members_are_kept() -> None:
    error = error_from_problem({"code": "wrong_offset", "status": 409, "detail": "d", "expected_offset": 7})
    assert isinstance(error, OffsetMismatch)
    assert (error.status, error.members) == (409, {"expected_offset": 7})


def test_message_without_status_has_that_of_its_class() -> None:
    error = error_from_problem({"code": "sessions_full", "detail": "full"})
    assert isinstance(error, TooManySessions)
    assert error.status == 503
    assert isinstance(error_from_problem({"code": "bad_geometry", "detail": "x"}), GeometryError)


def test_unknown_code_is_a_service_error_with_that_code() -> None:
    error = error_from_problem({"code": "new_in_2030", "status": 451, "detail": "later\n service"})
    assert type(error) is ServiceError
    assert (error.code, error.status) == ("new_in_2030", 451)
    assert str(error) == "later service"
