"""The gin files of t5rank, installed: `gin/<folder>/x.gin` is `t5rank/configs/<folder>/x.gin`."""
