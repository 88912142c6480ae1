"""A service of our own under many clients for long: nothing lost or doubled, memory flat. See `__main__`."""
