"""`cavs-dist jobs`: what runs, where, how far it is, and what became of the rest. Reads, and changes nothing."""
