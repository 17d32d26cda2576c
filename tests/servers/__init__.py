"""Real servers for tests: OpenSSH's sshd, asyncssh with named faults, and a line that can be cut or frozen."""
