"""batchxfer beside the tools that people use today, on this machine, in one run: `make bench`."""
