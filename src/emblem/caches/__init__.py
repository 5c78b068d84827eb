"""What is remembered of texts beyond a process's memory: on its disk, and in Redis."""
