"""Everything that touches the world: Flask, HTTP clients, files, clocks, the environment, the command line."""
