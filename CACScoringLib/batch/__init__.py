"""Many scans in, one table and one folder a scan out."""
