"""Coverage-guided fuzzing of everything that reads bytes of others, with atheris (libFuzzer)."""
