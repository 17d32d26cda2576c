"""The demo: a shop, its partners' SFTP server on loopback, and the example project. `story.tell` plays it."""
