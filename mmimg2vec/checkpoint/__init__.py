"""Everything about files of tensors: reading, filling, writing, foreign layouts, export."""
