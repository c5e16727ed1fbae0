"""Where keys outlive the process."""
