"""One flat vocabulary of errors.

Every message names what is wrong (file, field or part) and the fix. Which errors end a rollout and
which end a run follows from their class: an `InfrastructureError` is never the policy's fault, so the
rollout it ends is not graded, not trained on and not counted.
"""


class TacRlError(Exception):
    """Base of every error that TAC-RL raises on purpose; doors print it without a traceback."""


class ConfigError(TacRlError):
    """The YAML file or a `--set` override is wrong."""


class TaskError(TacRlError):
    """A task package is missing, malformed or breaks the package contract."""


class RunError(TacRlError):
    """A run directory is missing, not a run, of another version, or in use."""


class AdapterError(TacRlError):
    """An adapter directory is missing, corrupt, or made for another base model."""


class OverlayError(TacRlError):
    """An overlay names something that can't be: an unknown person, a number that is taken, a path that leads out."""


class LearnerError(TacRlError):
    """The learner process died, or its input could not be trained on."""


class InfrastructureError(TacRlError):
    """A part of ours failed; the attempt says nothing about the policy."""


class SandboxError(InfrastructureError):
    """A sandbox could not be started, broke its protocol, or died."""


class SandboxUnavailableError(SandboxError):
    """This machine offers no isolation that the config allows; refuse to run model-written commands."""


class OfficeError(InfrastructureError):
    """The office could not be started, could not make a tenant, or died."""


class GradingError(InfrastructureError):
    """A checker raised, hung, flooded its output, or returned something that is not a `Result`."""


class EngineError(InfrastructureError):
    """The engine died, timed out, or refused a request."""


class PublishError(EngineError):
    """An adapter was loaded, but the probe could not prove that it took effect."""


class AgentWorkerError(InfrastructureError):
    """The process that an agent works in could not be started, broke its protocol, or died."""


class GatewayError(InfrastructureError):
    """The gateway could not serve a call that was well-formed."""
