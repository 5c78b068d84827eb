"""What runs tensors in this process, one file each."""
