"""The commands: compose the configuration, build, call."""
