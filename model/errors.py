"""Errors of the model package.

ModelError
├── ConfigError        a configuration that describes no network
├── StateError         a state dict whose keys, shapes or types do not fit the network
├── CheckpointError    a weights file that cannot be read or does not fit
├── TrainingError      a training run that cannot go on
├── DatasetError       labels or annotations that are missing, damaged, or fit neither recording nor weights
└── MissingExtraError  an optional package is not installed
"""


class ModelError(ValueError):
    """Base of all errors of the model package; `code` is stable and machine-readable."""

    code = "model_error"


class ConfigError(ModelError):
    """A configuration value is out of range or contradicts another."""

    code = "bad_config"


class StateError(ModelError):
    """A membrane state is missing a layer, has one too many, or has another shape."""

    code = "bad_state"


class CheckpointError(ModelError):
    """A weights file is missing, damaged, or made for another network."""

    code = "bad_weights"


class MissingExtraError(ModelError):
    """A package that exporting needs is not installed; the message says how to get it."""

    code = "missing_extra"


class DatasetError(ModelError):
    """A data set lacks files, or its labels are damaged or made for other classes."""

    code = "bad_dataset"


class TrainingError(ModelError):
    """A training run cannot go on: a loss that is not finite, or a folder that holds another run."""

    code = "training_failed"
