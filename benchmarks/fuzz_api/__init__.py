"""Requests to every route of a running service, made from its OpenAPI description with schemathesis."""
