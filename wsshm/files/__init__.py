"""Files and folders on any filesystem: whole or not there, checked when read, and done by one process at a time."""
