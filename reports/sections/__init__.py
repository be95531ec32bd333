"""The parts of the page, one file each: from the store's frames to text, tables and figures."""
