"""What every section of the config shares. Nothing in this package imports torch."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the YAML file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
