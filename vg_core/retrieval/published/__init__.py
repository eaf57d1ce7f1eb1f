"""Published retrieval benchmarks, each under its authors' protocol."""
