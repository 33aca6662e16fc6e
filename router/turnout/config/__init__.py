"""Configuration: LiteLLM's rows and Router settings, checked, as frozen values."""

from turnout.config.rows import DeploymentSpec, parse_model_list
from turnout.config.settings import Settings, parse_settings

__all__ = ["DeploymentSpec", "Settings", "parse_model_list", "parse_settings"]
