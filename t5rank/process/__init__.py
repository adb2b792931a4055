"""The running process: its cores, memory pages, signals and packages."""
