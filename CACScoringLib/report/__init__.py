"""A scored scan in; JSON, CSV, segmentation and picture out."""
