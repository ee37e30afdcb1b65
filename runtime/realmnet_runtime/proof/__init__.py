"""What this machine is, and that it answers as the bundle says."""
