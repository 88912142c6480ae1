"""Zones and lines on the sensor: counts, dwell times and events of the tracks of a session."""
