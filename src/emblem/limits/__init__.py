"""What keys and teams may ask for, counted: in this process, or in Redis for several."""
