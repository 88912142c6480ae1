"""Error classes of the model package.

ModelError
├── ConfigError        invalid configuration value
├── StateError         state whose keys, shapes or types do not fit the network
├── CheckpointError    weights file that cannot be read or does not fit the network
├── TrainingError      training run that cannot continue
├── DatasetError       labels that are missing, damaged, or do not match the recording or the weights
└── MissingExtraError  optional package that is not installed
"""


class ModelError(ValueError):
    """Base class of all errors of the model package; `code` is stable and machine-readable."""

    code = "model_error"


class ConfigError(ModelError):
    """A configuration value is out of range or contradicts another value."""

    code = "bad_config"


class StateError(ModelError):
    """A membrane state lacks a layer, has an unknown layer, or has a wrong shape or type."""

    code = "bad_state"


class CheckpointError(ModelError):
    """A weights file is missing, damaged, or belongs to another network."""

    code = "bad_weights"


class MissingExtraError(ModelError):
    """An optional package is not installed; the message gives the command that installs it."""

    code = "missing_extra"


class DatasetError(ModelError):
    """A data set lacks files, or its labels are damaged or have unknown classes."""

    code = "bad_dataset"


class TrainingError(ModelError):
    """A training run cannot continue: its loss is not finite, or its folder holds another run."""

    code = "training_failed"
