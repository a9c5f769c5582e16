"""The version of jobsched, as the packages and the OpenAPI document name it."""

__version__ = "0.1.0"
