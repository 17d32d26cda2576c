"""Programs that are measured as processes of their own: scripts that people write, and batchxfer's parts by themselves."""
