"""Sinks: receivers of results beside the client, such as a broker, a webhook or a file."""
