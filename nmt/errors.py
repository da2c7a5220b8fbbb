"""What can go wrong for a user: every expected failure is an `NmtError`, and its message is one line."""


class NmtError(Exception):
    """An expected failure; the message says where, what was found and what was expected."""


class ConfigError(NmtError):
    """A setting, recipe or combination of settings that cannot be used."""


class UsageError(ConfigError):
    """Options that contradict or lack each other, whatever the data, the settings and the model are."""


class DataError(NmtError):
    """A text file or a prepared data folder that cannot be used."""


class ModelError(NmtError):
    """A model folder or checkpoint that cannot be used."""


class TrainingError(NmtError):
    """A training run that cannot go on; the last good checkpoint is kept."""


class NmtWarning(UserWarning):
    """What a user should know though the work goes on; the message is one line, which `nmt` writes to stderr."""
