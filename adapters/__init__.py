"""Where outside technology is met: one technology a module, and no module knows another."""
