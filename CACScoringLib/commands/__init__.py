"""The subcommands of ``cacscoring``, one a file: what a person types in, calls of the library out."""
