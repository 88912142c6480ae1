"""A small software-rendered street and event sensor, behind the recording bundled with the service."""
