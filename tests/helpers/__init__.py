"""What tests share: files, runs, networks and processes to test with."""
