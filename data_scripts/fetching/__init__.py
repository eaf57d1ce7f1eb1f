"""Published data sets: where they come from, how they are fetched and unpacked, and how they become our folders."""
