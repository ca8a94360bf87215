"""The command line: one module per subcommand, all of them thin."""
